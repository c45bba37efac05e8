"""The base classes of all events, and the bus.

Components emit events and do not know who listens.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any, ClassVar

from state.events import EventRow


@dataclass(frozen=True, kw_only=True, slots=True)
class Event:
    """The base of all events."""

    level: ClassVar[str] = "info"
    alarm: ClassVar[str] = ""
    """Its kind in `[notify]`; empty: it is an alarm by its level alone."""

    def subject(self) -> str:
        """Its subject: "teacher:NAME", "task:NAME", "run:ID" or "daemon"."""
        return "daemon"

    def message(self) -> str:
        """One line to be read; empty where the event gets no row."""
        return ""

    def cause(self) -> str:
        """What many events of this kind can have in common; of those only a few get a row. Empty: all of them do."""
        return ""

    def row(self) -> EventRow | None:
        """The event as a row of `event`."""
        text = self.message()
        if not text:
            return None
        return EventRow(
            level=self.level, kind=type(self).__name__, subject=self.subject(), message=text, data=self.data()
        )

    def data(self) -> dict[str, Any]:
        """Its fields."""
        return asdict(self)


@dataclass(frozen=True, kw_only=True, slots=True)
class TeacherEvent(Event):
    """About a teacher."""

    teacher: str

    def subject(self) -> str:
        """The teacher."""
        return f"teacher:{self.teacher}"


@dataclass(frozen=True, kw_only=True, slots=True)
class TaskEvent(Event):
    """About a task."""

    task: str

    def subject(self) -> str:
        """The task."""
        return f"task:{self.task}"


@dataclass(frozen=True, kw_only=True, slots=True)
class RunEvent(Event):
    """About a run."""

    run_id: int

    def subject(self) -> str:
        """The run."""
        return f"run:{self.run_id}"


class Bus:
    """Hands every event to every listener, at once and in order."""

    def __init__(self) -> None:
        self._listeners: list[Callable[[Event], None]] = []

    def listen(self, listener: Callable[[Event], None]) -> None:
        """Adds a listener; it must be quick and must not raise."""
        self._listeners.append(listener)

    def emit(self, event: Event) -> None:
        """Calls every listener."""
        for listener in self._listeners:
            listener(event)
