"""Events of the daemon itself: its start and end, the budget, the configuration."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from daemon.events.bus import Event
from state.views.format import money

MOST_CHANGES = 10
"""Changed settings that one message names."""


@dataclass(frozen=True, kw_only=True, slots=True)
class DaemonStarted(Event):
    """The daemon started."""

    boot_id: int
    pid: int
    unknown_attempts: int

    def message(self) -> str:
        """Which session, and what the previous daemon left in flight."""
        left = ""
        if self.unknown_attempts:
            one = self.unknown_attempts == 1
            left = (
                f"; {self.unknown_attempts:,} {'request was' if one else 'requests were'} in flight when the previous"
                f" daemon died; {'it' if one else 'they'} may have been billed"
            )
        return f"started (session {self.boot_id}, pid {self.pid}){left}"


@dataclass(frozen=True, kw_only=True, slots=True)
class DaemonDied(Event):
    """The session before this one did not end in order."""

    level: ClassVar[str] = "warning"
    alarm: ClassVar[str] = "daemon-died"

    def message(self) -> str:
        """What happened, and that it goes on."""
        return "the daemon before this one died: it was killed, or the machine went down; its work goes on from what is stored"


@dataclass(frozen=True, kw_only=True, slots=True)
class BudgetNear(Event):
    """A share of a budget is used."""

    level: ClassVar[str] = "warning"
    alarm: ClassVar[str] = "budget-near"
    which: str
    share: float
    figures: str

    def message(self) -> str:
        """Which budget, and its figures."""
        return f"{self.which}: {100 * self.share:.0f} % is used: {self.figures}"


@dataclass(frozen=True, kw_only=True, slots=True)
class DiskLow(Event):
    """A disk has little room left."""

    level: ClassVar[str] = "warning"
    alarm: ClassVar[str] = "disk-low"
    path: str
    free_gb: float

    def message(self) -> str:
        """How little, and what to do."""
        return (
            f"{self.path}: {self.free_gb:.1f} GB are free: `coterie prune` removes checkpoints of finished runs. On a full disk the daemon"
            " waits and loses nothing"
        )


@dataclass(frozen=True, kw_only=True, slots=True)
class DaemonStopping(Event):
    """The daemon was asked to stop."""

    alarm: ClassVar[str] = "ended"
    reason: str

    def message(self) -> str:
        """Why."""
        return f"stopping: {self.reason}"


@dataclass(frozen=True, kw_only=True, slots=True)
class Noted(Event):
    """Something about this daemon, its machine or its database that you should know."""

    level: ClassVar[str] = "warning"
    what: str

    def message(self) -> str:
        """What."""
        return self.what


@dataclass(frozen=True, kw_only=True, slots=True)
class Commanded(Event):
    """A command of the user was applied, or refused."""

    command: int
    by: str
    answer: str
    done: bool

    def message(self) -> str:
        """Who asked, and the answer."""
        who = self.by or "somebody"
        return (
            f"asked by {who}: {self.answer}" if self.done else f"asked by {who}, and refused: {self.answer}"
        )


@dataclass(frozen=True, kw_only=True, slots=True)
class StoodStill(Event):
    """The process did not run for a while: it was stopped, or the machine slept or was overloaded."""

    level: ClassVar[str] = "warning"
    seconds: float

    def message(self) -> str:
        """For how long."""
        return f"nothing ran for {self.seconds:.0f} s: the process was stopped, or the machine slept or was overloaded"


@dataclass(frozen=True, kw_only=True, slots=True)
class BudgetReached(Event):
    """A budget has no room for a further request."""

    level: ClassVar[str] = "warning"
    alarm: ClassVar[str] = "budget-used"
    which: str

    def message(self) -> str:
        """Which budget, and what to do."""
        how = "`coterie budget USD`, B in the monitor, or " if "[daemon]" in self.which else ""
        return f"{self.which} is used up: no new requests are sent. To raise it: {how}config.toml and SIGHUP."


@dataclass(frozen=True, kw_only=True, slots=True)
class SamplesRetried(Event):
    """Given-up samples are asked again."""

    samples: int

    def message(self) -> str:
        """How many."""
        return f"{self.samples:,} given-up {'sample is' if self.samples == 1 else 'samples are'} asked again"


@dataclass(frozen=True, kw_only=True, slots=True)
class BudgetSet(Event):
    """You set the budget while the daemon ran."""

    usd: float
    used: float

    def message(self) -> str:
        """How much, and how much of it is used."""
        return f"budget set to {money(self.usd, None)}, {money(self.used, None)} of it used"


@dataclass(frozen=True, kw_only=True, slots=True)
class ConfigReloaded(Event):
    """The configuration was reloaded."""

    changes: tuple[str, ...]

    def message(self) -> str:
        """What changed."""
        said = ", ".join(self.changes[:MOST_CHANGES])
        more = len(self.changes) - MOST_CHANGES
        said += f" and {more} more" if more > 0 else ""
        return f"configuration reloaded: {said or 'nothing changed'}"


@dataclass(frozen=True, kw_only=True, slots=True)
class RestartNeeded(Event):
    """Part of a new configuration takes effect at the next start."""

    level: ClassVar[str] = "warning"
    what: tuple[str, ...]

    def message(self) -> str:
        """Which part."""
        return f"takes effect at the next start: {', '.join(self.what)}"


@dataclass(frozen=True, kw_only=True, slots=True)
class ConfigRefused(Event):
    """A new configuration has an error; the old one stays in force."""

    level: ClassVar[str] = "error"
    reason: str

    def message(self) -> str:
        """What is wrong with it."""
        return f"new configuration rejected, the old one stays in force: {self.reason}"
