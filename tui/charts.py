"""Bars and sparklines as one-line strings, and the series behind plots. Pure."""

from __future__ import annotations

from collections.abc import Sequence

_EIGHTHS = " ▁▂▃▄▅▆▇█"


def bar(share: float, width: int) -> str:
    """A bar of `width` cells, filled to `share` (0 to 1)."""
    full = round(max(0.0, min(1.0, share)) * width)
    return "█" * full + "░" * (width - full)


def sparkline(values: Sequence[float], width: int) -> str:
    """The values as a sparkline of at most `width` cells, scaled from zero to their maximum.

    If there are more values than cells, each cell shows the largest value it covers.
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
