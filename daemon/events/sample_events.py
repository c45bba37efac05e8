"""Events of tasks, plans and samples."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

from daemon.events.bus import Event, TaskEvent, TeacherEvent


@dataclass(frozen=True, kw_only=True, slots=True)
class SampleStored(TaskEvent):
    """A sample's last turn was stored."""

    plan: str
    correct: bool


@dataclass(frozen=True, kw_only=True, slots=True)
class SampleFailed(TaskEvent):
    """A sample was given up."""

    level: ClassVar[str] = "warning"
    plan: str
    sample_id: int
    reason: str

    def message(self) -> str:
        """Which sample, and why."""
        return f"sample {self.sample_id} of {self.task} ({self.plan}) was given up: {self.reason}"

    def cause(self) -> str:
        """Its plan and the reason."""
        return f"{self.task} {self.plan} {self.reason}"


@dataclass(frozen=True, kw_only=True, slots=True)
class TaskRead(TaskEvent):
    """A task's questions are new or have changed, and something about them is worth knowing."""

    note: str

    def message(self) -> str:
        """The note."""
        return f"task {self.task}: {self.note}"


@dataclass(frozen=True, kw_only=True, slots=True)
class TaskRegraded(TaskEvent):
    """The answer format of a task changed, so its stored samples were graded again. Nothing was asked for."""

    before: str
    now: str
    samples: int
    changed: int

    def message(self) -> str:
        """The formats, and how many verdicts changed."""
        samples = "1 stored sample was" if self.samples == 1 else f"{self.samples:,} stored samples were"
        verdicts = "1 verdict" if self.changed == 1 else f"{self.changed:,} verdicts"
        return f"task {self.task}: `answer` was {self.before} and is {self.now}: {samples} graded again, {verdicts} changed"


@dataclass(frozen=True, kw_only=True, slots=True)
class PlanContinued(TaskEvent):
    """A plan has other teachers than before; the samples of those that stay go on counting."""

    level: ClassVar[str] = "warning"
    plan: str
    kept: Mapping[str, int]
    left: Mapping[str, int]

    def message(self) -> str:
        """How many samples of whom are kept, and how many are not."""
        left = f"; {_by_teacher(self.left)} stay stored, but no longer count" if self.left else ""
        return f"plan {self.plan} on {self.task} has other teachers: {_by_teacher(self.kept)} are kept{left}"


def _by_teacher(counts: Mapping[str, int]) -> str:
    """`1,204 samples of gpt and 3 of practice`."""
    (first, *others) = (f"{count:,} {{}}of {name}" for name, count in counts.items())
    return " and ".join([first.format("samples "), *(other.format("") for other in others)])


@dataclass(frozen=True, kw_only=True, slots=True)
class PlanCompleted(TaskEvent):
    """Every sample of a plan is stored, failed or not needed."""

    alarm: ClassVar[str] = "plan-done"
    plan: str
    accepted: int
    rejected: int
    failed: int
    labelled: bool = True

    def message(self) -> str:
        """Its counts."""
        good, bad = ("correct", "wrong") if self.labelled else ("answered", "without an answer")
        return (
            f"plan {self.plan} on {self.task} completed: {self.accepted:,} {good}, {self.rejected:,} {bad},"
            f" {self.failed:,} failed"
        )


@dataclass(frozen=True, kw_only=True, slots=True)
class TargetMissed(TaskEvent):
    """A plan took all the samples it may without reaching its number of correct rationales."""

    level: ClassVar[str] = "warning"
    plan: str
    accepted: int
    target: int
    most: int
    labelled: bool = True

    def message(self) -> str:
        """How far it came, and what to do."""
        return (
            f"plan {self.plan} on {self.task} reached {self.accepted:,} of {self.target:,} {'correct' if self.labelled else 'answered'} rationales and may"
            f" take no more (at most {self.most} per question): raise max_rationales, or add questions"
        )


@dataclass(frozen=True, kw_only=True, slots=True)
class PlanHeld(TaskEvent):
    """A plan's settings are at fault: nothing more is sent for it until you act."""

    level: ClassVar[str] = "error"
    alarm: ClassVar[str] = "held"
    plan: str
    reason: str

    def message(self) -> str:
        """Why, and what to do."""
        return (
            f"plan {self.plan} on {self.task} is held: {self.reason.rstrip('.')}. Change config.toml and send SIGHUP or restart;"
            f" `coterie resume --task {self.task}` continues it as it is."
        )


@dataclass(frozen=True, kw_only=True, slots=True)
class WordingsCompared(TaskEvent):
    """The wordings that were tried for a plan are compared."""

    of: str
    result: str

    def message(self) -> str:
        """What came of it."""
        return self.result


@dataclass(frozen=True, kw_only=True, slots=True)
class PlanResumed(TaskEvent):
    """A plan that was held continues."""

    plan: str

    def message(self) -> str:
        """Which one."""
        return f"plan {self.plan} on {self.task} resumed"


@dataclass(frozen=True, kw_only=True, slots=True)
class PlanFellBack(TeacherEvent):
    """A fallback teacher took over a plan."""

    level: ClassVar[str] = "warning"
    plan: str
    reasons: tuple[str, ...]

    def message(self) -> str:
        """Which teacher, and why."""
        return f"plan {self.plan} falls back to {self.teacher}: {', '.join(self.reasons)}"


@dataclass(frozen=True, kw_only=True, slots=True)
class PlanReturned(Event):
    """A plan's own teachers work again."""

    plan: str
    teachers: tuple[str, ...]

    def subject(self) -> str:
        """The first of its teachers."""
        return f"teacher:{self.teachers[0]}"

    def message(self) -> str:
        """Which ones."""
        return f"plan {self.plan} is back on {', '.join(self.teachers)}"
