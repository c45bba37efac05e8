"""Events of teachers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from daemon.events.bus import TeacherEvent
from state.views.format import duration


@dataclass(frozen=True, kw_only=True, slots=True)
class TeacherParked(TeacherEvent):
    """A teacher takes no work until you act."""

    level: ClassVar[str] = "error"
    alarm: ClassVar[str] = "parked"
    reason: str

    def message(self) -> str:
        """Why, and what to do."""
        return f"{self.teacher} is parked: {self.reason.rstrip('.。')}. Fix it, then run `coterie resume --teacher {self.teacher}`."


@dataclass(frozen=True, kw_only=True, slots=True)
class StudentServed(TeacherEvent):
    """A student that is a teacher answers now."""

    student: str
    run_id: int
    device: str

    def message(self) -> str:
        """Which run, and where."""
        return f"teacher {self.teacher}: run {self.run_id} of {self.student} is served on {self.device}"


@dataclass(frozen=True, kw_only=True, slots=True)
class StudentServerEnded(TeacherEvent):
    """The server of a student ended by itself."""

    level: ClassVar[str] = "warning"
    reason: str

    def message(self) -> str:
        """Why, and that it goes on."""
        return f"teacher {self.teacher}: {self.reason}; it is started again"


@dataclass(frozen=True, kw_only=True, slots=True)
class TeacherCooling(TeacherEvent):
    """A teacher keeps failing: one request at a time is sent until it answers."""

    level: ClassVar[str] = "warning"
    reason: str

    def message(self) -> str:
        """How it fails, and what happens now."""
        return f"{self.teacher} keeps failing: {self.reason.rstrip('.')}. One request at a time is sent until it answers."


@dataclass(frozen=True, kw_only=True, slots=True)
class LogprobsMissing(TeacherEvent):
    """A teacher returned no log-probabilities though they were asked for; told once."""

    level: ClassVar[str] = "warning"

    def message(self) -> str:
        """What is missing, and what to do."""
        return f"{self.teacher} returns no log-probabilities: its samples are stored without them. Ask its server for them, or remove logprobs."


@dataclass(frozen=True, kw_only=True, slots=True)
class KeySuspended(TeacherEvent):
    """A key that was answered before is refused: single requests try again before you are needed."""

    level: ClassVar[str] = "warning"
    reason: str
    seconds: float

    def message(self) -> str:
        """How it is refused, and what happens now."""
        return (
            f"{self.teacher} refuses everything: {self.reason.rstrip('.')}. It answered before, so one request tries again in"
            f" {duration(self.seconds)}. If you fixed it: `coterie resume --teacher {self.teacher}`."
        )


@dataclass(frozen=True, kw_only=True, slots=True)
class GatewayGaveUp(TeacherEvent):
    """Errors come so late that a gateway seems to give up while the model goes on, and is billed."""

    level: ClassVar[str] = "warning"
    reason: str
    seconds: float

    def message(self) -> str:
        """After how long, and what to do."""
        return (
            f"{self.teacher}: a gateway gives up after {self.seconds:.3g} s ({self.reason.rstrip('.')}); the model may go on"
            " and be billed. Raise the gateway's timeout, or set stream = true."
        )


@dataclass(frozen=True, kw_only=True, slots=True)
class TeacherRecovered(TeacherEvent):
    """A teacher that kept failing answers."""

    seconds: float

    def message(self) -> str:
        """After how long."""
        return f"{self.teacher} answers again, after {duration(self.seconds)}"


@dataclass(frozen=True, kw_only=True, slots=True)
class TeacherResumed(TeacherEvent):
    """A parked or paused teacher works again."""

    def message(self) -> str:
        """Which one."""
        return f"{self.teacher} resumed"


@dataclass(frozen=True, kw_only=True, slots=True)
class AskedOneByOne(TeacherEvent):
    """A teacher does not give several rationales for one request; each gets a request of its own."""

    level: ClassVar[str] = "warning"
    reason: str

    def message(self) -> str:
        """Why, and what it costs."""
        return (
            f"{self.teacher} does not support per_request: {self.reason}. Each rationale gets a request of its own and"
            " pays for its prompt."
        )
