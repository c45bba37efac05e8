"""The base of the application: the state that its action modules share. `tui/app.py` combines them."""

from __future__ import annotations

from typing import Any

from textual.app import App

from state.safe import safe
from tui.context import Context
from tui.screens.base_screen import MonitorScreen


class MonitorBase(App[str]):
    """The shared context and small services."""

    context: Context

    @property
    def active_screen(self) -> MonitorScreen | None:
        """The screen that is shown, ignoring dialogs above it."""
        return next(
            (screen for screen in reversed(self.screen_stack) if isinstance(screen, MonitorScreen)), None
        )

    def read_now(self) -> None:
        """Reads the database for the screen that is shown."""
        raise AssertionError("implemented by the application")

    def tick(self) -> None:
        """Reads, unless the display is frozen."""
        raise AssertionError("implemented by the application")

    def notice(self, words: str, severity: Any = "information") -> None:
        """Shows a short notice; never as markup."""
        self.notify(safe(words), severity=severity, markup=False, timeout=6)
