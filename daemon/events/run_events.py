"""Events of student runs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from daemon.events.bus import RunEvent


@dataclass(frozen=True, kw_only=True, slots=True)
class ThresholdReached(RunEvent):
    """A student's trigger fired."""

    student: str
    scope: str
    trigger: str
    samples: int

    def message(self) -> str:
        """Which, with how much data."""
        return (
            f"run {self.run_id}: {self.student} on {self.scope} is due ({_trigger(self.trigger)}) with"
            f" {self.samples} rows"
        )


@dataclass(frozen=True, kw_only=True, slots=True)
class RunStarted(RunEvent):
    """A run's process was started, or found alive by a new daemon."""

    student: str
    scope: str
    pid: int
    how: str

    def message(self) -> str:
        """How, and as which process."""
        return f"run {self.run_id}: {self.student} on {self.scope} {self.how} (pid {self.pid})"


@dataclass(frozen=True, kw_only=True, slots=True)
class RunFinished(RunEvent):
    """A run is trained, evaluated and exported."""

    student: str
    scope: str
    result: str

    def message(self) -> str:
        """Its result."""
        return f"run {self.run_id}: {self.student} on {self.scope} is done, {self.result}"


@dataclass(frozen=True, kw_only=True, slots=True)
class RunStopped(RunEvent):
    """A run wrote a checkpoint and ended, to be gone on with."""

    student: str
    scope: str

    def message(self) -> str:
        """That it can go on."""
        return f"run {self.run_id}: {self.student} on {self.scope} stopped at a checkpoint"


@dataclass(frozen=True, kw_only=True, slots=True)
class RunNoted(RunEvent):
    """Something about how a run is done that a person should know."""

    level: ClassVar[str] = "warning"
    student: str
    scope: str
    note: str

    def message(self) -> str:
        """The note."""
        return f"run {self.run_id} ({self.student} on {self.scope}): {self.note}"


@dataclass(frozen=True, kw_only=True, slots=True)
class RunFailed(RunEvent):
    """A run failed."""

    level: ClassVar[str] = "error"
    student: str
    scope: str
    reason: str

    def message(self) -> str:
        """Why."""
        return f"run {self.run_id}: {self.student} on {self.scope} failed: {self.reason}"


def _trigger(trigger: str) -> str:
    return f"{trigger} accepted samples" if trigger.isdigit() else trigger
