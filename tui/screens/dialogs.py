"""Dialogs above the screens: confirmations, the budget, and help."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from rich.text import Text
from textual import events, on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical, VerticalScroll
from textual.screen import ModalScreen
from textual.widgets import Input

from tui.key_bindings import Key, key_label
from tui.text import lines, say, title
from tui.widgets.text_block import TextBlock


@dataclass(frozen=True, slots=True)
class Choice:
    """One answer to a question: its key, its words, and the value it returns."""

    key: str
    words: str
    value: Any


class ConfirmDialog(ModalScreen[Any]):
    """A question. Enter means the first choice; `n`, `q` and escape mean none."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("enter", "first", "yes"),
        Binding("n,escape,q", "dismiss(None)", "no"),
    ]

    def __init__(self, question: str, choices: Sequence[Choice], no: str = "no") -> None:
        super().__init__()
        self._question = question
        self._choices = choices
        self._no = no

    def compose(self) -> ComposeResult:
        """The question and its choices."""
        yield TextBlock(self._paint, id="box")

    # Not in `on_mount`: a quick answer closes the dialog before that runs.
    def _paint(self, width: int) -> Text:
        keys = [say((f"{choice.key:>3}", "key"), f"  {choice.words}") for choice in self._choices]
        keys.append(say(("  n", "key"), f"  {self._no}"))
        return lines([say((self._question, "bold")), "", *keys])

    def on_key(self, event: events.Key) -> None:
        """Chooses by key."""
        for choice in self._choices:
            if event.key == choice.key:
                event.stop()
                self.dismiss(choice.value)
                return

    def action_first(self) -> None:
        """Chooses the first."""
        self.dismiss(self._choices[0].value)


class AmountDialog(ModalScreen[float | None]):
    """Asks for an amount in dollars."""

    BINDINGS: ClassVar[list[BindingType]] = [Binding("escape", "dismiss(None)", "cancel")]

    def __init__(self, question: str) -> None:
        super().__init__()
        self._question = question

    def compose(self) -> ComposeResult:
        """The question and the input line."""
        with Vertical(id="box"):
            yield TextBlock(lambda width: say((self._question, "bold")), id="question")
            yield Input(placeholder="8.00", compact=True, id="amount")
            yield TextBlock(lambda width: say(("enter to continue, esc to cancel", "muted")), id="hint")

    @on(Input.Submitted)
    def given(self, event: Input.Submitted) -> None:
        """A valid amount closes the dialog; anything else shows a hint."""
        event.stop()
        try:
            usd = float(event.value.strip().lstrip("$"))
        except ValueError:
            usd = math.nan
        if 0 <= usd <= 1e9:
            self.dismiss(usd)
        else:
            self.query_one("#hint", TextBlock).write(
                say(("Enter a number of dollars, for example 8 or 12.50.", "attention"))
            )


class HelpDialog(ModalScreen[None]):
    """What can be done on this screen and everywhere, by key and by mouse; how to filter, remap and recolour."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape,q,question_mark,enter", "dismiss", "close"),
        Binding("j,down", "scroll(1)", "down"),
        Binding("k,up", "scroll(-1)", "up"),
        Binding("pagedown,space", "scroll(10)", "page down"),
        Binding("pageup", "scroll(-10)", "page up"),
    ]

    def __init__(
        self, keys: list[Key], remapped: Mapping[str, str], screen: str, here: Sequence[tuple[str, str]]
    ) -> None:
        """Help for one screen.

        Args:
            keys: the bindings that are available.
            remapped: other keys for bindings, by id.
            screen: its name.
            here: what its footer offers: id of the binding, words.
        """
        super().__init__()
        self._keys = keys
        self._remapped = remapped
        self._screen = screen
        self._here = [(name, words) for name, words in here if name not in ("help", "quit")]

    def compose(self) -> ComposeResult:
        """The keys, one per line."""
        with VerticalScroll(id="box", can_focus=False):
            yield TextBlock(self._paint)

    def action_scroll(self, rows: int) -> None:
        """Scrolls."""
        self.query_one(VerticalScroll).scroll_relative(y=rows, animate=False)

    def _paint(self, width: int) -> Text:
        by_id = {key.id: key for key in self._keys}
        here = [self._entry(by_id[name], words) for name, words in self._here if name in by_id]
        there = [self._entry(key, key.words) for key in self._keys]
        ends: list[Text | str] = [
            "",
            title("by mouse"),
            "a tab, a key in the footer, a trouble at the upper right: as if it were pressed",
            "a row: the cursor; once more: opens it; a line of a panel: goes there; the wheel scrolls",
            "",
            title("filtering samples"),
            "task:NAME teacher:NAME plan:NAME split:test verdict:wrong state:failed flag:truncated question:ID is:unsolved is:noted",
            'and words from question, rationale or answer: flip, flip* (prefix), "exact phrase"',
            "",
            title("in config.toml"),
            '[tui] theme = "dark", "light", "contrast", "light-contrast" or a theme of Textual; NO_COLOR=1 for none',
            '[tui] keys = { freeze = "ctrl+f" }, with these names:',
            say((", ".join(key.id for key in self._keys), "muted")),
        ]
        return lines([title(f"on {self._screen}"), *here, "", title("everywhere"), *there, *ends])

    def _entry(self, key: Key, words: str) -> Text:
        return say((f"{key_label(key, self._remapped):>14}", "key"), "  ", words)
