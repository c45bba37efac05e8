"""The loss of a run over its steps, raw and smoothed."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from textual.app import ComposeResult
from textual.containers import Vertical
from textual.reactive import reactive
from textual_plot import HiResMode, PlotWidget

from tui.meter import smoothed, thinned

LEAST = (24, 8)
"""Cells under which a plot says less than the numbers beside it."""


class Plot(PlotWidget, can_focus=False):  # type: ignore[misc, call-arg]
    """Without zoom, and with the room that labels of losses and steps need."""

    margin_top = reactive(0)
    margin_bottom = reactive(2)
    margin_left = reactive(7)

    def __init__(self) -> None:
        super().__init__(allow_pan_and_zoom=False)


class LossPlot(Vertical, can_focus=False):
    """Draws again only when there is something new to draw."""

    DEFAULT_CSS = "LossPlot { height: 12; } LossPlot Plot { height: 1fr; }"

    def __init__(self) -> None:
        super().__init__()
        self._drawn: tuple[Any, ...] | None = None

    def compose(self) -> ComposeResult:
        """The plot itself."""
        yield Plot()

    def draw(self, key: object, steps: Sequence[int], losses: Sequence[float]) -> None:
        """Shows a run's losses; `key` names the run."""
        width = self.size.width
        state = (key, steps[-1] if steps else 0, len(steps), width)
        if state == self._drawn or width < LEAST[0]:
            return
        self._drawn = state
        plot = self.query_one(Plot)
        plot.clear()
        if len(steps) < 2:
            return
        at = thinned(losses, 2 * width)
        soft = smoothed(losses)
        x = [steps[i] for i in at]
        plot.plot(x, [losses[i] for i in at], line_style="rgb(110,110,110)", hires_mode=HiResMode.BRAILLE)
        plot.plot(x, [soft[i] for i in at], line_style="rgb(80,200,120)", hires_mode=HiResMode.BRAILLE)

    def on_resize(self) -> None:
        """Another width, other points."""
        self._drawn = None
