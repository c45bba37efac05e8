"""SIGHUP from the first moment to the last: while the program is imported, and while the report is written.

A closed terminal sends the same signal as `kill -HUP`: then nobody asked for a reload.

Imports nothing heavy: `coterie run` installs it before the daemon is imported.
"""

from __future__ import annotations

import os
import signal
from types import FrameType


class Hangups:
    """Whether SIGHUP came while nobody received it, and whether there was a terminal at the beginning."""

    def __init__(self) -> None:
        self.heard = False
        self.on_terminal = False

    @property
    def terminal_closed(self) -> bool:
        """Whether the terminal that was there at the beginning is gone."""
        return self.on_terminal and not os.isatty(0)

    def install(self) -> None:
        """Remembers the signal from now on, instead of dying of it."""
        self.on_terminal = os.isatty(0)
        self.remember()

    def remember(self) -> None:
        """Remembers the signal: nobody receives it now."""
        signal.signal(signal.SIGHUP, self._hear)

    def end(self) -> None:
        """Ignores it while the interpreter ends, which takes handlers away."""
        if signal.getsignal(signal.SIGHUP) == self._hear:
            signal.signal(signal.SIGHUP, signal.SIG_IGN)

    def _hear(self, number: int, frame: FrameType | None) -> None:
        self.heard = True


HANGUPS = Hangups()
