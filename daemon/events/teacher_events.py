"""Events of teachers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from daemon.events.bus import OfTeacher
from state.views.format import duration


@dataclass(frozen=True, kw_only=True, slots=True)
class TeacherParked(OfTeacher):
    """A teacher refuses all work until a person acts."""

    level: ClassVar[str] = "error"
    reason: str

    def message(self) -> str:
        """Why, and what to do."""
        return f"{self.teacher} is parked: {self.reason.rstrip('.')}. Mend it, then `coterie resume --teacher {self.teacher}`."


@dataclass(frozen=True, kw_only=True, slots=True)
class TeacherCooling(OfTeacher):
    """A teacher fails again and again: it is asked again by one request at a time."""

    level: ClassVar[str] = "warning"
    reason: str

    def message(self) -> str:
        """How it fails, and what is done."""
        return (
            f"{self.teacher} fails again and again: {self.reason.rstrip('.')}. It is asked by one request at a time,"
            " and goes on by itself."
        )


@dataclass(frozen=True, kw_only=True, slots=True)
class TeacherRecovered(OfTeacher):
    """A teacher that failed again and again answers."""

    seconds: float

    def message(self) -> str:
        """After how long."""
        return f"{self.teacher} answers again, after {duration(self.seconds)}"


@dataclass(frozen=True, kw_only=True, slots=True)
class TeacherResumed(OfTeacher):
    """A parked or paused teacher works again."""

    def message(self) -> str:
        """That it does."""
        return f"{self.teacher} takes work again"


@dataclass(frozen=True, kw_only=True, slots=True)
class AskedOneByOne(OfTeacher):
    """A teacher does not give several rationales for one request; it is asked for them one by one."""

    level: ClassVar[str] = "warning"
    reason: str

    def message(self) -> str:
        """Why, and what it costs."""
        return (
            f"{self.teacher} is asked for one rationale a request, since it does not take per_request: {self.reason}."
            " Each pays for its prompt."
        )
