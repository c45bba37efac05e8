"""Events of the daemon itself: its life, its money, its configuration."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from daemon.events.bus import Happened
from state.views.format import money

MOST_CHANGES = 10
"""So many changed settings are named in one message."""


@dataclass(frozen=True, kw_only=True, slots=True)
class DaemonStarted(Happened):
    """The daemon started."""

    boot_id: int
    pid: int
    unknown_attempts: int

    def message(self) -> str:
        """What was found."""
        left = (
            f"; {self.unknown_attempts} attempts of a daemon that died are unknown"
            if self.unknown_attempts
            else ""
        )
        return f"started (boot {self.boot_id}, pid {self.pid}){left}"


@dataclass(frozen=True, kw_only=True, slots=True)
class DaemonStopping(Happened):
    """The daemon was asked to stop."""

    reason: str

    def message(self) -> str:
        """Why."""
        return f"stopping: {self.reason}"


@dataclass(frozen=True, kw_only=True, slots=True)
class Noted(Happened):
    """Something about this daemon, its machine or its database that a person should know."""

    level: ClassVar[str] = "warning"
    what: str

    def message(self) -> str:
        """What."""
        return self.what


@dataclass(frozen=True, kw_only=True, slots=True)
class StoodStill(Happened):
    """The process did not run for a while: it was stopped, or the machine slept or was overloaded."""

    level: ClassVar[str] = "warning"
    seconds: float

    def message(self) -> str:
        """For how long."""
        return f"nothing ran for {self.seconds:.0f} s: the process was stopped, or the machine slept or was overloaded"


@dataclass(frozen=True, kw_only=True, slots=True)
class BudgetReached(Happened):
    """A cap leaves no room for a further request."""

    level: ClassVar[str] = "warning"
    which: str

    def message(self) -> str:
        """Which cap, and what to do."""
        how = "`coterie budget USD`, B in the monitor, or " if "[daemon]" in self.which else ""
        return f"{self.which} is used up: no new request is sent. Raise it: {how}config.toml and SIGHUP."


@dataclass(frozen=True, kw_only=True, slots=True)
class BudgetSet(Happened):
    """A person set the budget while the daemon ran."""

    usd: float
    used: float

    def message(self) -> str:
        """How much, and how much of it is gone."""
        return f"the budget is {money(self.usd, None)} now, {money(self.used, None)} of it is used"


@dataclass(frozen=True, kw_only=True, slots=True)
class ConfigReloaded(Happened):
    """The configuration was read again and is in force."""

    changes: tuple[str, ...]

    def message(self) -> str:
        """What is other than before."""
        said = ", ".join(self.changes[:MOST_CHANGES])
        more = len(self.changes) - MOST_CHANGES
        said += f" and {more} more" if more > 0 else ""
        return f"configuration read again: {said or 'nothing changed'}"


@dataclass(frozen=True, kw_only=True, slots=True)
class RestartNeeded(Happened):
    """Some of a new configuration takes effect at the next start."""

    level: ClassVar[str] = "warning"
    what: tuple[str, ...]

    def message(self) -> str:
        """Which part."""
        return f"takes effect at the next start: {', '.join(self.what)}"


@dataclass(frozen=True, kw_only=True, slots=True)
class ConfigRefused(Happened):
    """A new configuration is wrong; the old one stays in force."""

    level: ClassVar[str] = "error"
    reason: str

    def message(self) -> str:
        """What is wrong with it."""
        return f"the configuration was read again and refused, the old one stays in force: {self.reason}"
