"""What happened to batches of requests: events of the teachers that speak `openai-batch`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from daemon.batches.batch_rows import Tally
from daemon.events.bus import OfTeacher
from state.enums import BatchState


@dataclass(frozen=True, kw_only=True, slots=True)
class BatchEvent(OfTeacher):
    """Something about one batch of a teacher."""

    batch_id: int


@dataclass(frozen=True, kw_only=True, slots=True)
class BatchCreated(BatchEvent):
    """The provider took a batch."""

    provider_id: str
    requests: int

    def message(self) -> str:
        """How large it is."""
        return (
            f"{self.teacher}: batch {self.batch_id} is out ({self.provider_id}), {self.requests:,} requests"
        )


@dataclass(frozen=True, kw_only=True, slots=True)
class BatchFound(BatchEvent):
    """A batch whose creation brought no answer was found again at the provider."""

    level: ClassVar[str] = "warning"
    provider_id: str

    def message(self) -> str:
        """Where."""
        return (
            f"{self.teacher}: batch {self.batch_id} was made although no answer came back; it was found again by its"
            f" mark ({self.provider_id}), and is not sent twice"
        )


@dataclass(frozen=True, kw_only=True, slots=True)
class BatchCompleted(BatchEvent):
    """A batch ran to its end and its rows are stored."""

    answered: int
    failed: int
    missing: int

    def message(self) -> str:
        """What came of its rows."""
        return f"{self.teacher}: batch {self.batch_id} is complete: {_rows(self.answered, self.failed, self.missing)}"


@dataclass(frozen=True, kw_only=True, slots=True)
class BatchCutShort(BatchEvent):
    """A batch expired or was cancelled; what was answered until then is stored, the rest is sent again."""

    level: ClassVar[str] = "warning"
    how: str
    answered: int
    failed: int
    missing: int
    returned: int

    def message(self) -> str:
        """What came of its rows."""
        rows = _rows(self.answered, self.failed, self.missing)
        return f"{self.teacher}: batch {self.batch_id} {self.how}: {rows}; {self.returned:,} are sent again"


@dataclass(frozen=True, kw_only=True, slots=True)
class BatchFailed(BatchEvent):
    """The provider refused a batch as a whole; nothing of it was executed."""

    level: ClassVar[str] = "error"
    requests: int
    reason: str

    def message(self) -> str:
        """Why, in the provider's words."""
        return (
            f"{self.teacher}: batch {self.batch_id} of {self.requests:,} requests was refused: {self.reason}"
        )


@dataclass(frozen=True, kw_only=True, slots=True)
class BatchWaits(BatchEvent):
    """The provider's queue has no room for a batch now; its requests wait here."""

    level: ClassVar[str] = "warning"
    requests: int
    seconds: float
    reason: str

    def message(self) -> str:
        """For how long, and why."""
        return (
            f"{self.teacher}: no room for batch {self.batch_id} of {self.requests:,} requests, again in"
            f" {self.seconds:.0f} s: {self.reason}"
        )


def ended(teacher: str, batch_id: int, state: BatchState, tally: Tally) -> BatchEvent:
    """The event of a batch whose rows are all settled."""
    if state is BatchState.COMPLETED:
        return BatchCompleted(
            teacher=teacher,
            batch_id=batch_id,
            answered=tally.answered,
            failed=tally.failed,
            missing=tally.missing,
        )
    return BatchCutShort(
        teacher=teacher,
        batch_id=batch_id,
        answered=tally.answered,
        failed=tally.failed,
        missing=tally.missing,
        how="was cancelled" if state is BatchState.CANCELLED else "expired",
        returned=tally.returned,
    )


def _rows(answered: int, failed: int, missing: int) -> str:
    said = f"{answered:,} answered, {failed:,} failed"
    return said + (f", {missing:,} without an answer (unknown, may have been paid)" if missing else "")
