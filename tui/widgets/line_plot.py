"""A plot with a legend that fills its widget and is drawn again only when its lines have changed."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from rich.text import Text
from textual.widget import Widget

from tui.plots import Line, hundredths, legend, number, plot
from tui.text import lines


class LinePlot(Widget, can_focus=False):
    """Lines over steps or epochs."""

    DEFAULT_CSS = "LinePlot { height: 12; width: 1fr; }"

    def __init__(self, *, id: str | None = None, unit: bool = False, x_unit: str = "step") -> None:
        super().__init__(id=id)
        self._unit = unit  # y runs from 0 to 1
        self._x_unit = x_unit
        self._lines: Sequence[Line] = ()
        self._key: Any = None

    def draw(self, key: object, given: Sequence[Line]) -> None:
        """Shows lines; `key` identifies their data."""
        shown = repr(
            (key, [(len(each.x), each.x[-1:], each.y[-1:], each.label, each.role) for each in given])
        )
        if shown != self._key:
            self._key, self._lines = shown, given
            self.refresh()

    def restyle(self) -> None:
        """Other colours."""
        self.refresh()

    def render(self) -> Text:
        """The legend, then the plot."""
        width, height = self.size
        ends = [each.x[at] for each in self._lines if len(each.x) and not each.dashed for at in (0, -1)]
        drawn = plot(
            self._lines,
            width,
            height - 1,
            x=(0.0, max(ends)) if self._unit and ends else None,
            y=(0.0, 1.0) if self._unit else None,
            y_text=hundredths if self._unit else number,
            x_unit=self._x_unit,
        )
        return lines([legend(self._lines), *drawn]) if drawn else lines([])
