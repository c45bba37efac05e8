"""What the parts of the application share; `tui/app.py` puts them together."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from textual.app import App

from state.safe import safe
from state.views.status_records import Status
from tui.keys import KEYS
from tui.screens.view import View

WRITES = {key.action for key in KEYS if key.writes}


class Base(App[str]):
    """State and small services; it decides nothing."""

    path: Path
    readonly: bool
    clock: Callable[[], int]
    remapped: Mapping[str, str]
    frozen: bool
    status: Status | None
    problem: str
    marked: int | None
    """The run that others are compared with."""

    @property
    def view(self) -> View | None:
        """The screen that is shown, below a question or help."""
        return next((screen for screen in reversed(self.screen_stack) if isinstance(screen, View)), None)

    def ask(self) -> None:
        """Reads for the screen that is shown."""
        raise AssertionError("of the application")

    def tick(self) -> None:
        """Reads, unless the display is frozen."""
        raise AssertionError("of the application")

    def hold(self) -> None:
        """Draws nothing until what is about to be asked for is there, or a moment has passed."""
        raise AssertionError("of the application")

    def tell(self, words: str, severity: Any = "information") -> None:
        """A short notice on the screen; never markup."""
        self.notify(safe(words), severity=severity, markup=False, timeout=6)
