"""Events of the teachers that are asked by batches."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from daemon.events.bus import TeacherEvent


@dataclass(frozen=True, kw_only=True, slots=True)
class BatchEvent(TeacherEvent):
    """Something about one batch of a teacher."""

    batch_id: int


@dataclass(frozen=True, kw_only=True, slots=True)
class BatchCreated(BatchEvent):
    """The provider accepted a batch."""

    provider_id: str
    requests: int

    def message(self) -> str:
        """How large it is."""
        return f"{self.teacher}: batch {self.batch_id} sent ({self.provider_id}), {self.requests:,} requests"


@dataclass(frozen=True, kw_only=True, slots=True)
class BatchFound(BatchEvent):
    """A batch whose creation got no answer was found at the provider."""

    level: ClassVar[str] = "warning"
    provider_id: str

    def message(self) -> str:
        """Where."""
        return (
            f"{self.teacher}: batch {self.batch_id} exists at the provider although its creation got no answer"
            f" (found by its marker: {self.provider_id}); it is not sent twice"
        )


@dataclass(frozen=True, kw_only=True, slots=True)
class BatchCompleted(BatchEvent):
    """A batch completed and its rows are stored."""

    answered: int
    failed: int
    missing: int

    def message(self) -> str:
        """The counts of its rows."""
        return f"{self.teacher}: batch {self.batch_id} completed: {_rows(self.answered, self.failed, self.missing)}"


@dataclass(frozen=True, kw_only=True, slots=True)
class BatchCutShort(BatchEvent):
    """A batch expired or was cancelled; what was answered is stored, the rest is sent again."""

    level: ClassVar[str] = "warning"
    how: str
    answered: int
    failed: int
    missing: int
    returned: int

    def message(self) -> str:
        """The counts of its rows."""
        rows = _rows(self.answered, self.failed, self.missing)
        return (
            f"{self.teacher}: batch {self.batch_id} {self.how}: {rows}; {self.returned:,} will be sent again"
        )


@dataclass(frozen=True, kw_only=True, slots=True)
class BatchFailed(BatchEvent):
    """The provider rejected a whole batch; none of it was executed."""

    level: ClassVar[str] = "error"
    requests: int
    reason: str

    def message(self) -> str:
        """Why, in the provider's words."""
        return (
            f"{self.teacher}: batch {self.batch_id} of {self.requests:,} requests was rejected: {self.reason}"
        )


@dataclass(frozen=True, kw_only=True, slots=True)
class BatchWaits(BatchEvent):
    """The provider's queue has no room for a batch now; its requests stay queued here."""

    level: ClassVar[str] = "warning"
    requests: int
    seconds: float
    reason: str

    def message(self) -> str:
        """For how long, and why."""
        return (
            f"{self.teacher}: the provider's queue has no room for batch {self.batch_id} ({self.requests:,} requests);"
            f" retrying in {self.seconds:.0f} s: {self.reason}"
        )


def _rows(answered: int, failed: int, missing: int) -> str:
    said = f"{answered:,} answered, {failed:,} failed"
    return said + (f", {missing:,} without an answer (unknown, may have been billed)" if missing else "")
