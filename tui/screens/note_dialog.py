"""The dialog in which you note something about a sample or its question."""

from __future__ import annotations

from typing import ClassVar

from textual import on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical
from textual.screen import ModalScreen
from textual.suggester import SuggestFromList
from textual.widgets import Input

from state.enums import NoteFlag
from state.notes import LONGEST
from tui.text import lines, say, shortened
from tui.widgets.text_block import TextBlock


class NoteDialog(ModalScreen[str | None]):
    """Asks for the words of a note; the empty text removes it, escape changes nothing."""

    BINDINGS: ClassVar[list[BindingType]] = [Binding("escape", "dismiss(None)", "cancel")]

    def __init__(self, sample: int, question: str, before: str) -> None:
        super().__init__()
        self._sample, self._question, self._before = sample, question, before

    def compose(self) -> ComposeResult:
        """What it is about, the input line, and what counts."""
        with Vertical(id="box"):
            yield TextBlock(
                lambda width: lines(
                    [
                        say((f"Note on sample {self._sample}", "bold")),
                        say((shortened(self._question, max(1, width)), "muted")),
                    ]
                ),
                id="about",
            )
            yield Input(
                value=self._before,
                placeholder="gold is wrong: the answer is 12",
                max_length=LONGEST,
                suggester=SuggestFromList(tuple(NoteFlag), case_sensitive=False),
                compact=True,
                id="words",
            )
            yield TextBlock(lambda width: _HINT, id="hint")

    @on(Input.Submitted)
    def given(self, event: Input.Submitted) -> None:
        """Closes the dialog with the words."""
        event.stop()
        self.dismiss(event.value.strip())


_HINT = lines(
    [
        say(("gold is wrong, bad question", "accent"), (": about the question, all its samples", "muted")),
        say(("bad rationale", "accent"), (": about this sample · or words of yours", "muted")),
        say(("→ completes, enter stores, empty removes, esc cancels", "muted")),
    ]
)
