"""What the worker threads say to the application; they touch nothing of it themselves."""

from __future__ import annotations

from typing import TYPE_CHECKING

from textual.message import Message

from tui.feed import Fresh, Wish

if TYPE_CHECKING:
    from tui.screens.view import View


class Read(Message):
    """Something was read for a screen."""

    def __init__(self, view: View, wish: Wish | None, fresh: Fresh) -> None:
        super().__init__()
        self.view, self.wish, self.fresh = view, wish, fresh


class Lost(Message):
    """The database cannot be read."""

    def __init__(self, reason: str) -> None:
        super().__init__()
        self.reason = reason


class Ordered(Message):
    """A command was written, or could not be (`number` None)."""

    def __init__(self, number: int | None, words: str) -> None:
        super().__init__()
        self.number, self.words = number, words
