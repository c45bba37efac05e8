"""Events of tasks, plans and samples."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from daemon.events.bus import Happened, OfTask, OfTeacher


@dataclass(frozen=True, kw_only=True, slots=True)
class SampleStored(OfTask):
    """A sample's last turn was stored."""

    plan: str
    correct: bool


@dataclass(frozen=True, kw_only=True, slots=True)
class SampleFailed(OfTask):
    """A sample was given up."""

    level: ClassVar[str] = "warning"
    plan: str
    sample_id: int
    reason: str

    def message(self) -> str:
        """Which sample, and why."""
        return f"sample {self.sample_id} of {self.task} ({self.plan}) was given up: {self.reason}"


@dataclass(frozen=True, kw_only=True, slots=True)
class TaskRead(OfTask):
    """A task's questions were read for the first time, or changed; something about them is worth knowing."""

    note: str

    def message(self) -> str:
        """The note."""
        return f"task {self.task}: {self.note}"


@dataclass(frozen=True, kw_only=True, slots=True)
class PlanSuperseded(OfTask):
    """A plan's prompt, model or parameters changed; its samples stay, apart."""

    level: ClassVar[str] = "warning"
    plan: str
    stored: int

    def message(self) -> str:
        """What became of the old samples."""
        return (
            f"plan {self.plan} on {self.task} changed what the teacher sees: it starts anew; the {self.stored} samples"
            " of its former form stay stored, apart"
        )


@dataclass(frozen=True, kw_only=True, slots=True)
class PlanCompleted(OfTask):
    """Every sample of a plan is stored, failed or not needed."""

    plan: str
    accepted: int
    rejected: int
    failed: int

    def message(self) -> str:
        """Its counts."""
        return (
            f"plan {self.plan} on {self.task} is complete: {self.accepted} accepted, {self.rejected} rejected,"
            f" {self.failed} failed"
        )


@dataclass(frozen=True, kw_only=True, slots=True)
class TargetMissed(OfTask):
    """A plan asked for so many correct rationales of a task and took all it may without reaching them."""

    level: ClassVar[str] = "warning"
    plan: str
    accepted: int
    target: int
    most: int

    def message(self) -> str:
        """What it came to, and what to do."""
        return (
            f"plan {self.plan} on {self.task} has {self.accepted} of the {self.target} correct rationales asked for, and"
            f" may take no more (at most {self.most} a question): raise its max_rationales, or add questions"
        )


@dataclass(frozen=True, kw_only=True, slots=True)
class PlanFellBack(OfTeacher):
    """A fallback teacher took over a plan."""

    level: ClassVar[str] = "warning"
    plan: str
    reasons: tuple[str, ...]

    def message(self) -> str:
        """Who, and why."""
        return f"plan {self.plan} falls back to {self.teacher}: {', '.join(self.reasons)}"


@dataclass(frozen=True, kw_only=True, slots=True)
class PlanReturned(Happened):
    """A plan's own teachers work again."""

    plan: str
    teachers: tuple[str, ...]

    def subject(self) -> str:
        """The first of its teachers."""
        return f"teacher:{self.teachers[0]}"

    def message(self) -> str:
        """That they do."""
        return f"plan {self.plan} is back with {', '.join(self.teachers)}"
