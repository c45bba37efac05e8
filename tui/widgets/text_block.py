"""A block of text rendered for its width, and drawn again only when it has changed."""

from __future__ import annotations

from collections.abc import Callable

from rich.text import Text
from textual.events import Click
from textual.geometry import Size
from textual.message import Message
from textual.widget import Widget

from tui.text import guarded, say

Painter = Callable[[int], Text]


class TextBlock(Widget, can_focus=False):
    """Text made by a function of the width in cells."""

    DEFAULT_CSS = "TextBlock { height: auto; width: 1fr; }"

    class Clicked(Message):
        """A cell was clicked."""

        def __init__(self, block: TextBlock, row: int, column: int) -> None:
            super().__init__()
            self.block, self.row, self.column = block, row, column

    def __init__(
        self, painter: Painter | None = None, *, id: str | None = None, classes: str | None = None
    ) -> None:
        super().__init__(id=id, classes=classes)
        self._paint: Painter = painter or (lambda width: say())
        self._shown: tuple[int, Text] | None = None
        self._height = -1  # as it was laid out last

    def paint(self, painter: Painter) -> None:
        """Shows the text that `painter` returns for the width; draws nothing if it is the same text."""
        self._paint = painter
        before = self._shown
        if before is None:
            if self.display:  # what is hidden is laid out when it is shown
                self.refresh(layout=True)
            return
        text = guarded(painter(before[0]))
        if text == before[1] and text.spans == before[1].spans:
            return
        self._shown = (before[0], text)
        height = self._height
        self.refresh()
        if height != self.get_content_height(Size(), Size(), before[0]):  # a layout costs more than a drawing
            self.refresh(layout=True)

    def write(self, text: Text) -> None:
        """Shows a text that does not depend on the width."""
        self.paint(lambda width: text)

    @property
    def plain(self) -> str:
        """The text without styles, for copying."""
        return self._shown[1].plain if self._shown is not None else ""

    def _text(self, width: int) -> Text:
        if self._shown is None or self._shown[0] != width:
            self._shown = (width, guarded(self._paint(width)))
        return self._shown[1]

    def on_click(self, event: Click) -> None:
        """Says which cell was clicked."""
        self.post_message(self.Clicked(self, event.y, event.x))

    def get_content_height(self, container: Size, viewport: Size, width: int) -> int:
        """The number of lines at that width."""
        text = self._text(width)
        if self.styles.text_wrap == "nowrap":
            self._height = text.plain.count("\n") + 1
        else:
            self._height = super().get_content_height(container, viewport, width)
        return self._height

    def render(self) -> Text:
        """The text for the current width."""
        return self._text(self.content_size.width)
