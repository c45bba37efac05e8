"""Bars and sparklines as strings of one line. Pure."""

from __future__ import annotations

from collections.abc import Sequence

_EIGHTHS = " ▁▂▃▄▅▆▇█"


def bar(share: float, width: int) -> str:
    """A bar `width` cells wide, `share` (0 to 1) of it full."""
    full = round(max(0.0, min(1.0, share)) * width)
    return "█" * full + "░" * (width - full)


def spark(values: Sequence[float], width: int) -> str:
    """The last of `values` as a sparkline at most `width` cells wide, from zero to their maximum.

    Where there are more values than cells, each cell shows the largest of its share of them.
    """
    if not values or width <= 0:
        return ""
    if len(values) > width:
        cells = [max(values[i * len(values) // width : (i + 1) * len(values) // width]) for i in range(width)]
    else:
        cells = list(values)
    top = max(cells)
    if top <= 0:
        return "▁" * len(cells)
    return "".join(_EIGHTHS[max(1, min(8, round(value / top * 8)))] for value in cells)


def smoothed(values: Sequence[float], weight: float = 0.9) -> list[float]:
    """An exponential average, without the pull towards its start (as Adam's moments are corrected)."""
    result, mean, share = [], 0.0, 1.0
    for value in values:
        mean = weight * mean + (1 - weight) * value
        share *= weight
        result.append(mean / (1 - share))
    return result


def thinned(values: Sequence[float], most: int) -> list[int]:
    """Positions of at most `most` of the values, evenly spread, first and last among them."""
    if len(values) <= most:
        return list(range(len(values)))
    step = (len(values) - 1) / (most - 1)
    return [round(i * step) for i in range(most)]
