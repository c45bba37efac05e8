"""Small screens over the others: a question before something is asked of the daemon, and help."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

from rich.text import Text
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import VerticalScroll
from textual.screen import ModalScreen

from tui.keys import Key, shown
from tui.text import lines, say, title
from tui.widgets.block import Block


class Confirm(ModalScreen[bool]):
    """A question; `y` or enter is yes, everything else no."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("y,enter", "answer(True)", "yes"),
        Binding("n,escape,q", "answer(False)", "no"),
    ]

    def __init__(self, question: str) -> None:
        super().__init__()
        self._question = question

    def compose(self) -> ComposeResult:
        """The question and its keys."""
        yield Block(id="box")

    def on_mount(self) -> None:
        """Writes the question."""
        keys = say(("y", "bold"), " yes   ", ("n", "bold"), " no")
        self.query_one(Block).write(lines([say((self._question, "bold")), "", keys]))

    def action_answer(self, yes: bool) -> None:
        """Closes with the answer."""
        self.dismiss(yes)


class Help(ModalScreen[None]):
    """Every key."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape,q,question_mark,enter", "dismiss", "close"),
        Binding("j,down", "scroll(1)", "down"),
        Binding("k,up", "scroll(-1)", "up"),
    ]

    def __init__(self, keys: list[Key], remapped: Mapping[str, str]) -> None:
        super().__init__()
        self._keys = keys
        self._remapped = remapped

    def compose(self) -> ComposeResult:
        """The keys, one a line."""
        with VerticalScroll(id="box", can_focus=False):
            yield Block()

    def on_mount(self) -> None:
        """Writes the keys."""
        self.query_one(Block).paint(self._paint)

    def action_scroll(self, rows: int) -> None:
        """Scrolls."""
        self.query_one(VerticalScroll).scroll_relative(y=rows, animate=False)

    def _paint(self, width: int) -> Text:
        entries = [
            say((f"{shown(key, self._remapped):>14}", "bold cyan"), "  ", key.words) for key in self._keys
        ]
        ends = [
            "",
            "Samples filter: task:NAME teacher:NAME plan:NAME split:test verdict:wrong",
            "  state:failed flag:truncated and words of the text.",
            'Keys can be remapped: [tui] keys = { freeze = "ctrl+f" } by these names:',
            "  " + ", ".join(key.id for key in self._keys),
        ]
        return lines([title("keys"), *entries, *ends])
