"""Bars, sparklines, areas and forest plots as lines of text, and the series behind plots. Pure."""

from __future__ import annotations

from collections.abc import Sequence

from rich.text import Text

from tui.colours import colours, mixed
from tui.text import Part, say

_EIGHTHS = " ▁▂▃▄▅▆▇█"
_FILL = ((0, 0x40, 0x44, 0x46, 0x47), (0, 0x80, 0xA0, 0xB0, 0xB8))
"""Braille dots of a cell's left and right column, by how many are filled from its foot."""


def bar(share: float, width: int, role: str = "accent") -> Text:
    """A thin bar of `width` cells, filled to `share` (0 to 1) in half cells; green once it is full."""
    halves = round(max(0.0, min(1.0, share)) * 2 * width)
    full, half = divmod(halves, 2)
    return say(
        ("━" * full + "╸" * half, role),
        ("─" * (width - full - half), "track"),
    )


def progress(share: float, width: int) -> Text:
    """A bar of something that gets complete: blue, and green when it is."""
    return bar(share, width, "good" if share >= 1 else "accent")


def sparkline(values: Sequence[float], width: int, top: float = 0.0) -> str:
    """The values as a sparkline of at most `width` cells, scaled from zero to their maximum (at least `top`).

    If there are more values than cells, each cell shows the largest value it covers.
    """
    if not values or width <= 0:
        return ""
    cells = resampled(values, width)
    top = max(top, max(cells))
    if top <= 0:
        return "▁" * len(cells)
    return "".join(_EIGHTHS[max(1, min(8, round(value / top * 8)))] for value in cells)


def resampled(values: Sequence[float], width: int) -> list[float]:
    """At most `width` values: each is the largest of those it stands for."""
    if len(values) <= width:
        return list(values)
    return [max(values[i * len(values) // width : (i + 1) * len(values) // width]) for i in range(width)]


def area(values: Sequence[float], width: int, height: int, top: float, role: str = "accent") -> list[Text]:
    """A filled area in braille dots, two columns to a cell; darker towards its foot.

    Args:
        values: oldest first; fewer than fit are stretched, more are thinned by their maxima.
        width: cells.
        height: rows.
        top: the value at the upper edge.
        role: of the upper rows.
    """
    columns = resampled(values, 2 * width)
    columns = (
        [columns[at * len(columns) // (2 * width)] for at in range(2 * width)]
        if columns
        else [0.0] * 2 * width
    )
    dots = [round(max(0.0, min(1.0, value / top if top > 0 else 0.0)) * 4 * height) for value in columns]
    now = colours()
    found = []
    for row in range(height):
        foot = 4 * (height - 1 - row)
        cells = "".join(
            chr(
                0x2800
                + _FILL[0][max(0, min(4, dots[2 * at] - foot))]
                + _FILL[1][max(0, min(4, dots[2 * at + 1] - foot))]
            )
            for at in range(width)
        ).replace("\u2800", " ")
        share = 0.45 * row / max(1, height - 1)
        found.append(say((cells, mixed(getattr(now, role), now.background, share))))
    return found


def blocks(
    values: Sequence[float], width: int, height: int, *, roles: Sequence[str], labels: Sequence[str]
) -> list[Text]:
    """Columns with their counts on top and their labels below, as many as fit; empty if they cannot be read."""
    if height < 4 or not values or width < 3 * len(values):
        return []
    room = min(9, width // len(values) - 1)
    rows, top = height - 2, max(values) or 1
    levels = [round(8 * rows * value / top) for value in values]
    grid = [[(" " * room, "")] * len(values) for _ in range(rows + 1)]
    for at, level in enumerate(levels):
        full, part = divmod(max(level, 1 if values[at] else 0), 8)
        for row in range(full):
            grid[rows - row][at] = (" " * room, f"on {roles[at]}")  # the background: glyphs leave seams
        if part:
            grid[rows - full][at] = (_EIGHTHS[part] * room, roles[at])
        words = f"{values[at]:,.0f}"
        if len(words) > room and values[at] >= 1_000:
            words = f"{values[at] / 1000:.1f}k" if room >= 4 else f"{values[at] / 1000:.0f}k"
        grid[rows - full - bool(part)][at] = (words.center(room)[:room], "text")
    left = " " * ((width - len(values) * (room + 1) + 1) // 2)
    found = [say(left, *(part for cell in line for part in (cell, " "))) for line in grid]
    return [*found, say((left + " ".join(label.center(room)[:room] for label in labels), "muted"))]


def round_top(peak: float) -> float:
    """The round number (1, 2, 3, 4, 5 and so on, times a power of ten) at or above a peak, for the upper edge of a plot."""
    if peak <= 0:
        return 1.0
    unit = 1.0
    while unit > peak:
        unit /= 10
    while unit * 10 <= peak:
        unit *= 10
    return next(unit * by for by in (1, 1.2, 1.6, 2, 2.4, 3, 4, 5, 6, 8, 10) if unit * by >= peak)


def forest(
    width: int,
    *,
    point: float | None,
    low: float = 0.0,
    high: float = 0.0,
    base: float | None = None,
    teacher: float | None = None,
    role: str = "accent",
) -> Text:
    """One line of a forest plot from 0 to 1: interval `━`, point `●`, base `┃`, teacher `◆`.

    Args:
        width: cells.
        point: the accuracy; None draws the references alone.
        low: of its interval.
        high: of its interval.
        base: of the model before training, if it was measured.
        teacher: of its teacher, if it was measured.
        role: of point and interval.
    """

    def cell(share: float) -> int:
        return max(0, min(width - 1, round(share * (width - 1))))

    cells: list[Part] = [" "] * width
    for quarter in range(5):
        cells[cell(quarter / 4)] = ("·", "faint")
    if point is not None:
        for at in range(cell(low), cell(high) + 1):
            cells[at] = ("━", role)
    if base is not None:
        cells[cell(base)] = ("┃", "muted")
    if teacher is not None:
        cells[cell(teacher)] = ("◆", "teacher")
    if point is not None:
        cells[cell(point)] = ("●", role)
    return say(*cells)


def smoothed(values: Sequence[float], weight: float = 0.9) -> list[float]:
    """An exponential moving average with bias correction, as in Adam."""
    result, mean, share = [], 0.0, 1.0
    for value in values:
        mean = weight * mean + (1 - weight) * value
        share *= weight
        result.append(mean / (1 - share))
    return result


def thinned(values: Sequence[float], most: int) -> list[int]:
    """Indices of at most `most` values, evenly spread, always with the first and the last."""
    if len(values) <= most:
        return list(range(len(values)))
    step = (len(values) - 1) / (most - 1)
    return [round(i * step) for i in range(most)]
