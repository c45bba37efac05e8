"""Events of student runs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from daemon.events.bus import RunEvent


@dataclass(frozen=True, kw_only=True, slots=True)
class ThresholdReached(RunEvent):
    """A run was made: a trigger fired, or the user asked for it."""

    student: str
    scope: str
    trigger: str
    samples: int

    def message(self) -> str:
        """Student, scope and rows."""
        return f"run {self.run_id} queued: {self.student} on {self.scope}, {self.samples:,} rows"


@dataclass(frozen=True, kw_only=True, slots=True)
class EvaluatedAgain(RunEvent):
    """The settings of a finished run's evaluation changed: its student is asked again."""

    student: str
    scope: str
    differ: str

    def message(self) -> str:
        """What changed."""
        return f"run {self.run_id} is evaluated again: {self.student} on {self.scope}, {self.differ}; nothing is trained"


@dataclass(frozen=True, kw_only=True, slots=True)
class RunStarted(RunEvent):
    """A run's process was started, or a new daemon found it running."""

    student: str
    scope: str
    pid: int
    how: str
    job: int | None = None
    """The Slurm job that it is."""

    def message(self) -> str:
        """How, and its process id or job."""
        process = f"pid {self.pid}" if self.job is None else f"Slurm job {self.job}"
        return f"run {self.run_id} {self.how}: {self.student} on {self.scope} ({process})"


@dataclass(frozen=True, kw_only=True, slots=True)
class RunFinished(RunEvent):
    """A run was trained, evaluated and exported."""

    alarm: ClassVar[str] = "run-done"
    student: str
    scope: str
    result: str

    def message(self) -> str:
        """Its result."""
        return f"run {self.run_id} done: {self.student} on {self.scope}, {self.result}"


@dataclass(frozen=True, kw_only=True, slots=True)
class RunStopped(RunEvent):
    """A run wrote a checkpoint and ended; it can be resumed."""

    student: str
    scope: str

    def message(self) -> str:
        """Student and scope."""
        return f"run {self.run_id} stopped at a checkpoint: {self.student} on {self.scope}"


@dataclass(frozen=True, kw_only=True, slots=True)
class RunNoted(RunEvent):
    """A warning about how a run is trained."""

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
    alarm: ClassVar[str] = "run-failed"
    student: str
    scope: str
    reason: str

    def message(self) -> str:
        """Why."""
        return f"run {self.run_id} failed: {self.student} on {self.scope}: {self.reason}"
