"""Line plots as lines of text: a frame with round ticks, a faint grid, braille curves, points with intervals. Pure.

The canvas is ours: a plot has to fit into any rectangle, take the theme's colours, and cost nothing at the start.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from rich.text import Text

from tui.charts import thinned
from tui.text import Part, one_line, say

MIN_WIDTH, MIN_HEIGHT = 20, 5
"""In a smaller plot nothing can be read."""
SHORTEST = 5
"""Cells that a level has at least before its name."""
_DOTS = ((0x01, 0x02, 0x04, 0x40), (0x08, 0x10, 0x20, 0x80))

Ends = tuple[float, float]
Say = Callable[[float], str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """Points joined by a line, in the colour of a role."""

    x: Sequence[float]
    y: Sequence[float]
    role: str = "accent"
    label: str = ""
    """For the legend; a dashed line carries it at its end."""
    dots: bool = False
    """Each point is marked, as is a line of one point."""
    low: Sequence[float] = ()
    """The lower ends of the points' intervals, with `high`."""
    high: Sequence[float] = ()
    dashed: bool = False
    """A level: the height of its first value, over the whole width."""


def ticks(low: float, high: float, most: int) -> list[float]:
    """Round numbers between two ends, about `most` of them: 0, 200, 400 and so on."""
    span = high - low
    if span <= 0:
        return [low]
    step = 10.0 ** math.floor(math.log10(span / most))
    step = next(step * by for by in (1, 2, 5, 10, 20) if span / (step * by) < most + 1)
    first, last = math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9)
    return [number * step for number in range(first, last + 1)]


def number(value: float) -> str:
    """A tick: `400`, `1.5`, `12k`."""
    if abs(value) >= 10_000:
        return f"{value / 1000:.0f}k"
    return f"{value:,.0f}" if abs(value) >= 100 or value == int(value) else f"{value:.3g}"


def hundredths(value: float) -> str:
    """A tick of a share, in percent: `40`."""
    return f"{100 * value:.0f}"


def legend(lines: Sequence[Line]) -> Text:
    """The names of the lines, each with its mark."""
    named = [line for line in lines if line.label and not line.dashed]
    return say(
        *(
            part
            for at, line in enumerate(named)
            for part in (
                "  " if at else "",
                ("● " if line.dots else "━ ", line.role),
                (one_line(line.label), "text"),
            )
        )
    )


def plot(
    lines: Sequence[Line],
    width: int,
    height: int,
    *,
    x: Ends | None = None,
    y: Ends | None = None,
    x_text: Say = number,
    y_text: Say = number,
    x_unit: str = "",
    x_marks: Sequence[float] = (),
) -> list[Text]:
    """The plot in `height` lines of `width` cells; empty if it is too small to be read.

    Args:
        lines: drawn in their order, points on top.
        width: cells, with the labels.
        height: rows, with the labels.
        x: the ends of the axis; by default those of the data.
        y: the ends of the axis; by default those of the data, widened to round numbers.
        x_text: says a tick.
        y_text: says a tick.
        x_unit: stands before the last tick: "epoch".
        x_marks: the ticks; by default round numbers.
    """
    if width < MIN_WIDTH or height < MIN_HEIGHT:
        return []
    x = x or _ends([value for line in lines if not line.dashed for value in line.x])
    data = y or _ends(
        [value for line in lines for values in (line.y, line.low, line.high) for value in values]
    )
    rows = height - 2
    marks = ticks(*data, max(2, rows // 3))
    if y is None and len(marks) > 1:
        step = marks[1] - marks[0]
        data = (
            min(data[0], marks[0]),
            max(data[1], marks[-1] if data[1] <= marks[-1] + step / 9 else marks[-1] + step),
        )
        marks = ticks(*data, max(2, rows // 3))
    labels = [y_text(mark) for mark in marks]
    margin = max(len(label) for label in labels) + 1
    canvas = _Canvas(width - margin - 1, rows, x, data)
    side: list[Part] = [(" " * margin + "│", "line")] * rows
    for mark, label in zip(marks, labels, strict=True):
        at = canvas.row(mark)
        side[at] = say((f"{label:>{margin - 1}} ", "muted"), ("┤", "line"))
        canvas.fill(at, "┈", "faint")
    for line in lines:
        canvas.level(line) if line.dashed else canvas.curve(line)
    for line in lines:
        if not line.dashed and (line.dots or len(line.x) == 1):
            canvas.points(line)
    for line in lines:
        if line.dashed:
            canvas.name(line)
    foot, said = _foot(canvas, x_marks or ticks(*x, max(2, canvas.width // 10)), x_text, x_unit, margin)
    return [say(each, *canvas.parts(at)) for at, each in enumerate(side)] + [foot, said]


def _ends(values: Sequence[float]) -> Ends:
    finite = [value for value in values if math.isfinite(value)]
    if not finite:
        return 0.0, 1.0
    low, high = min(finite), max(finite)
    return (low, high) if high > low else (low - 0.5, high + 0.5)


def _foot(canvas: _Canvas, marks: Sequence[float], words: Say, unit: str, margin: int) -> tuple[Text, Text]:
    """The axis with its ticks, and the row of labels below."""
    axis, said, free = ["─"] * canvas.width, [" "] * (canvas.width + 1), 0
    for mark in marks:
        at, label = canvas.column(mark), words(mark)
        start = max(0, min(at - len(label) // 2 + 1, canvas.width + 1 - len(label)))
        axis[at] = "┬"
        if start >= free:
            said[start : start + len(label)] = label
            free = start + len(label) + 1
    text = "".join(said).rstrip()
    if unit and len(text) + len(unit) + 1 <= canvas.width:
        text += f" {unit}"
    elif unit:  # before the last one
        last = text.rpartition(" ")[2]
        before = text[: -len(last)].rstrip()
        room = len(text) - len(last) - len(unit) - 1
        text = f"{before:<{room}}{unit} {last}" if room > len(before) else text
    return say((" " * margin + "└" + "".join(axis), "line")), say((" " * margin + text, "muted"))


class _Canvas:
    """Cells of one glyph each; braille dots of several lines share a cell, the last one gives it its colour."""

    def __init__(self, width: int, rows: int, x: Ends, y: Ends) -> None:
        self.width, self.rows = width, rows
        self._x, self._y = x, y
        self._cells: list[list[tuple[str, str]]] = [[(" ", "")] * width for _ in range(rows)]
        self._dots = [[0] * width for _ in range(rows)]

    def _share(self, value: float, ends: Ends) -> float:
        return (value - ends[0]) / (ends[1] - ends[0]) if ends[1] > ends[0] else 0.5

    def column(self, x: float) -> int:
        """The cell of a value."""
        return max(0, min(self.width - 1, round(self._share(x, self._x) * (self.width - 1))))

    def row(self, y: float) -> int:
        """The row of a value."""
        return max(0, min(self.rows - 1, round((1 - self._share(y, self._y)) * (self.rows - 1))))

    def fill(self, row: int, glyph: str, role: str) -> None:
        """A horizontal line."""
        self._cells[row] = [(glyph, role)] * self.width

    def parts(self, row: int) -> list[tuple[str, str]]:
        """A row, cells of one colour joined."""
        found: list[tuple[str, str]] = []
        for (glyph, role), dots in zip(self._cells[row], self._dots[row], strict=True):
            glyph = chr(0x2800 + dots) if dots else glyph
            if found and found[-1][1] == role:
                found[-1] = (found[-1][0] + glyph, role)
            else:
                found.append((glyph, role))
        return found

    def level(self, line: Line) -> None:
        """A dashed line."""
        if not line.y:
            return
        self._cells[self.row(line.y[0])] = [("╌", line.role)] * self.width

    def name(self, line: Line) -> None:
        """The name of a level: at its right end, or at its left end where curves pass the right one."""
        label = one_line(line.label)
        if len(label) > self.width - SHORTEST:  # its name alone rather than half a number
            label = label.partition(" ")[0]
        if not line.y or not (label := label[: self.width - SHORTEST]):
            return
        row, room = self.row(line.y[0]), len(label) + 1
        right, left = range(self.width - room, self.width), range(room)
        at_left = any(map(self._taken(row), right)) and not any(map(self._taken(row), left))
        for at, glyph in zip(
            left if at_left else right, f"{label} " if at_left else f" {label}", strict=True
        ):
            self._mark(row, at, glyph, line.role)

    def _taken(self, row: int) -> Callable[[int], bool]:
        return lambda column: bool(self._dots[row][column]) or self._cells[row][column][0] in "│●"

    def curve(self, line: Line) -> None:
        """Braille dots from point to point."""
        chosen = [at for at in thinned(line.y, 4 * self.width) if math.isfinite(line.y[at])]
        before: tuple[int, int] | None = None
        for at in chosen:
            here = (
                round(self._share(line.x[at], self._x) * (2 * self.width - 1)),
                round((1 - self._share(line.y[at], self._y)) * (4 * self.rows - 1)),
            )
            start = before if before is not None else here
            steps = max(1, abs(here[0] - start[0]), abs(here[1] - start[1]))
            for step in range(steps + 1):
                self._dot(
                    round(start[0] + (here[0] - start[0]) * step / steps),
                    round(start[1] + (here[1] - start[1]) * step / steps),
                    line.role,
                )
            before = here

    def _dot(self, column: int, row: int, role: str) -> None:
        if 0 <= column < 2 * self.width and 0 <= row < 4 * self.rows:
            self._dots[row // 4][column // 2] |= _DOTS[column % 2][row % 4]
            self._cells[row // 4][column // 2] = (" ", role)

    def points(self, line: Line) -> None:
        """A mark for each point, with its interval."""
        for at, (x, y) in enumerate(zip(line.x, line.y, strict=True)):
            column = self.column(x)
            if at < len(line.low) and at < len(line.high):
                for row in range(self.row(line.high[at]), self.row(line.low[at]) + 1):
                    self._mark(row, column, "│", line.role)
            if math.isfinite(y):
                self._mark(self.row(y), column, "●", line.role)

    def _mark(self, row: int, column: int, glyph: str, role: str) -> None:
        self._dots[row][column] = 0
        self._cells[row][column] = (glyph, role)
