"""Line plots over steps or epochs: losses, and accuracies beside their baselines."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from textual.app import ComposeResult
from textual.containers import Vertical
from textual.reactive import reactive
from textual_plot import HiResMode, PlotWidget

from tui.charts import thinned
from tui.text import one_line, say
from tui.widgets.text_block import TextBlock

MIN_WIDTH = 24
"""In narrower plots nothing can be read."""

DARK = {
    "raw": "rgb(105,105,115)",
    "one": "rgb(80,200,120)",
    "other": "rgb(90,170,255)",
    "mark": "rgb(230,180,80)",
}
LIGHT = {
    "raw": "rgb(170,170,180)",
    "one": "rgb(0,120,60)",
    "other": "rgb(20,90,200)",
    "mark": "rgb(150,90,0)",
}


@dataclass(frozen=True, slots=True)
class Line:
    """Points joined by a line. `style` is raw, one, other or mark; the label appears above the plot."""

    x: Sequence[float]
    y: Sequence[float]
    style: str
    label: str = ""
    dots: bool = False


def ticks(low: float, high: float, most: int) -> list[float]:
    """Round numbers between two ends, about `most` of them: 0, 200, 400 and so on."""
    span = high - low
    if span <= 0:
        return [low]
    step = 10.0 ** math.floor(math.log10(span / most))
    step = next(step * by for by in (1, 2, 5, 10, 20) if span / (step * by) < most + 1)
    return [number * step for number in range(math.ceil(low / step), math.floor(high / step) + 1)]


class Plot(PlotWidget, can_focus=False):  # type: ignore[misc, call-arg]
    """A plot without zoom whose margins fit labels of losses and steps."""

    margin_top = reactive(0)
    margin_bottom = reactive(1)
    margin_left = reactive(7)

    def __init__(self) -> None:
        super().__init__(allow_pan_and_zoom=False)


class LinePlot(Vertical, can_focus=False):
    """A plot with a legend, drawn again only when its lines have changed."""

    DEFAULT_CSS = """
    LinePlot { height: 12; }
    LinePlot Plot { height: 1fr; }
    LinePlot TextBlock { height: 1; text-wrap: nowrap; text-overflow: ellipsis; }
    """

    def __init__(self, *, id: str | None = None, unit: bool = False, x_unit: str = "step") -> None:
        super().__init__(id=id)
        self._drawn: tuple[Any, ...] | None = None
        self._wanted: tuple[object, Sequence[Line]] | None = None
        self._unit = unit  # y runs from 0 to 1
        self._x_unit = x_unit

    def compose(self) -> ComposeResult:
        """The legend and the plot."""
        yield TextBlock()
        yield Plot()

    def on_resize(self) -> None:
        """Another width needs other points."""
        self._drawn = None
        if self._wanted is not None:
            self.draw(*self._wanted)

    def draw(self, key: object, lines: Sequence[Line]) -> None:
        """Shows lines; `key` identifies their data. They are kept until the widget has a size."""
        self._wanted = key, lines
        width, dark = self.size.width, self.app.current_theme.dark
        state = (
            key,
            tuple((len(line.x), line.x[-1:], line.y[-1:], line.label) for line in lines),
            width,
            dark,
        )
        if repr(state) == repr(self._drawn) or width < MIN_WIDTH:
            return
        self._drawn = state
        colours = DARK if dark else LIGHT
        legend = [
            piece
            for line in lines
            if line.label
            for piece in (("── ", colours[line.style]), (f"{one_line(line.label)}   ", "dim"))
        ]
        self.query_one(TextBlock).write(say((f"by {self._x_unit}   ", "dim"), *legend))
        plot = self.query_one(Plot)
        plot.clear()
        for line in sorted(lines, key=lambda line: line.dots or len(line.x) == 1):  # dots on top
            if not line.x:
                continue
            at = thinned(line.y, 2 * width)
            x, y, colour = [line.x[i] for i in at], [line.y[i] for i in at], colours[line.style]
            if len(x) > 1:
                plot.plot(x, y, line_style=colour, hires_mode=HiResMode.BRAILLE)
            if len(x) == 1 or line.dots:
                plot.scatter(x, y, marker="●", marker_style=colour)
        ends = [line.x[at] for line in lines if line.x for at in (0, -1)]
        plot.set_xticks(ticks(min(ends, default=0.0), max(ends, default=1.0), max(2, (width - 9) // 7)))
        if self._unit:
            plot.set_xlimits(0.0, 1.04 * max(ends, default=1.0))
            plot.set_ylimits(0.0, 1.0)
            plot.set_yticks([0.0, 0.2, 0.4, 0.6, 0.8, 1.0])
