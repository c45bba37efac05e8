"""Stores one row of a batch: answered with a verdict, tried again, given up, or unknown.

Invariants: a row is stored once, in one transaction with its outcome, cost and verdict; a row that was
not executed costs nothing and uses up no attempt; one whose answer is lost or cannot be read may have been
billed, and what it reserved counts as unknown.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

from daemon import events
from daemon.events.batch_events import BatchCompleted, BatchCutShort, BatchEvent
from daemon.sampling.context import Context
from daemon.sampling.health import PERMANENT_PARKS
from daemon.sampling.jobs import Job
from daemon.sampling.outcomes import OUTCOMES, attributes_of, ended, ended_event, given_up, packed_of
from daemon.sampling.teacher import Teacher
from engine.teachers.batch_api import BatchInfo, Row
from engine.teachers.classify import classify_unreadable
from engine.teachers.dialects import dialect
from engine.teachers.failures import Failure, MalformedAnswer
from state.claims import OpenAttempt
from state.enums import BatchState, Outcome, SampleState
from state.outcomes import AttemptResult, SampleEnd, record


@dataclass(slots=True, eq=False)
class OutRow:
    """A request that is out in a batch."""

    job: Job
    attempt: OpenAttempt


@dataclass(slots=True)
class Tally:
    """Counts of a batch's rows so far."""

    answered: int = 0
    failed: int = 0
    missing: int = 0
    returned: int = 0  # never executed
    limited: int = 0
    permanent: int = 0
    parked: str = ""  # why the key or the model is refused, if a row said so
    sent_ms: int = 0  # when the batch was sent, Unix milliseconds
    seen: set[str] = field(default_factory=set)
    """Rows of the output file, stored now or earlier."""

    def lacks(self, info: BatchInfo) -> bool:
        """Whether the provider counts executed requests that are not in its output file."""
        counts_nothing = info.status == "completed" and info.total == 0
        return counts_nothing or len(self.seen) < info.completed

    def event(self, teacher: str, batch_id: int, state: BatchState) -> BatchEvent:
        """The event of a batch whose rows are all settled."""
        counts = {"answered": self.answered, "failed": self.failed, "missing": self.missing}
        if state is BatchState.COMPLETED:
            return BatchCompleted(teacher=teacher, batch_id=batch_id, **counts)
        how = "was cancelled" if state is BatchState.CANCELLED else "expired"
        return BatchCutShort(teacher=teacher, batch_id=batch_id, how=how, returned=self.returned, **counts)

    @property
    def hopeless(self) -> bool:
        """Whether enough were refused, and none answered, to show that the rows are not at fault."""
        return not self.answered and self.permanent >= PERMANENT_PARKS


class Settler:
    """Stores rows and queues their next requests."""

    def __init__(
        self,
        context: Context,
        deliver: Callable[[Job], None],
    ) -> None:
        self._writer = context.writer
        self._budget = context.budget
        self._bus = context.bus
        self._clock = context.clock
        self._tracer = context.tracer
        self._deliver = deliver

    async def settle(
        self, teacher: Teacher, out: OutRow, row: Row, raw: bytes, tally: Tally, secrets: tuple[str, ...]
    ) -> None:
        """Stores one row of an output or error file, and queues the sample's next request."""
        if not row.answered:
            await self._failed(teacher, out, row.failure(secrets), tally, row.request_id)
            return
        try:
            completion = dialect(teacher.config.dialect).parse(row.body, out.job.request)[0]
        except MalformedAnswer as error:
            body = json.dumps(row.body).encode()
            failure = classify_unreadable(error, {}, body, status=row.status, wall=0.0, secrets=secrets)
            failure = replace(failure, raw=raw if failure.raw else b"")  # the whole line, as it came
            await self._failed(teacher, out, failure, tally, row.request_id)
            return
        if teacher.misses_logprobs(out.job.request, [completion]):
            self._bus.emit(events.LogprobsMissing(teacher=teacher.name))
        job, usage = out.job, completion.usage
        (booking,) = teacher.tokens.booked(job.plan.id, [usage], [out.attempt.reserved_micros])
        job.conversation.answer(completion)
        finished = job.conversation.finished
        end = await ended(job, finished) if finished is not None else None
        await self._store(
            teacher,
            out,
            tally,
            Outcome.OK,
            None,
            status=row.status,
            provider_id=completion.provider_id or row.request_id,
            raw=raw,
            finish_reason=finished.finish_reason if finished else completion.finish_reason,
            **booking.columns(),
            logprobs=await packed_of(completion),
            end=end,
        )
        tally.answered += 1
        now = self._clock.monotonic()
        teacher.meters.answers.add(now)
        teacher.meters.tokens.add(now, usage.prompt_tokens + usage.completion_tokens)
        if end is None:
            self._deliver(job)
            return
        self._bus.emit(ended_event(job, end))

    async def lost(self, teacher: Teacher, out: OutRow, reason: str, tally: Tally) -> None:
        """Stores a row that may have been executed and whose answer is lost."""
        tally.missing += 1
        failure = Failure(kind="ambiguous", reason=reason)
        await self._failed(teacher, out, failure, tally, None)

    def returned(self, teacher: Teacher, out: OutRow) -> None:
        """Queues a row again that was never executed; it is already released in the database."""
        self._budget.settle(out.job.plan.id, teacher.id, out.attempt.reserved_micros, 0)
        now = time.time_ns()
        self._trace(teacher, out, _result(teacher, out, Outcome.RELEASED, "not executed"), (now, now, now))
        self._deliver(out.job)

    def _trace(
        self, teacher: Teacher, out: OutRow, result: AttemptResult, times: tuple[int, int, int]
    ) -> None:
        if self._tracer is not None:
            known = attributes_of(out.job, teacher, out.attempt.request_id, [result])
            self._tracer.attempted(times, [result], known)

    async def _failed(
        self, teacher: Teacher, out: OutRow, failure: Failure, tally: Tally, provider_id: str | None
    ) -> None:
        job, kind = out.job, failure.kind
        counts = kind in ("transient", "malformed") and failure.reached
        job.attempts += counts
        job.unknowns += kind == "ambiguous"
        job.refusals += kind in ("limited", "parked") and tally.answered > 0
        reason = "" if tally.hopeless else given_up(job, teacher, failure, counts, self._clock.monotonic())
        end = SampleEnd(state=SampleState.FAILED, reason=reason) if reason else None
        (booking,) = teacher.tokens.charged(job.plan.id, failure, [out.attempt.reserved_micros])
        await self._store(
            teacher,
            out,
            tally,
            OUTCOMES[kind],
            failure.reason,
            status=failure.status,
            provider_id=provider_id,
            raw=failure.raw if failure.raw or kind == "malformed" else None,
            **booking.columns(),
            counts=counts,
            end=end,
        )
        if failure.reached:
            teacher.meters.errors[kind] += 1
            tally.failed += kind != "ambiguous"
        else:
            tally.returned += 1
        tally.limited += kind == "limited"
        tally.permanent += kind == "permanent" and failure.blame != "recording"
        if kind == "parked":
            tally.parked = failure.reason
        if end is None:
            self._deliver(job)
            return
        self._bus.emit(ended_event(job, end))

    async def _store(
        self,
        teacher: Teacher,
        out: OutRow,
        tally: Tally,
        outcome: Outcome,
        reason: str | None,
        **more: Any,
    ) -> None:
        job, received = out.job, time.time_ns()
        result = _result(teacher, out, outcome, reason, **more)
        await self._writer.do(record, result)
        sent = min(1_000_000 * tally.sent_ms or received, received)
        self._trace(teacher, out, result, (sent, received, time.time_ns()))
        self._budget.settle(
            job.plan.id, teacher.id, result.reserved_micros, result.cost_micros, result.unknown_micros
        )
        if result.end is not None:
            job.plan.state.ended()


def _result(
    teacher: Teacher, out: OutRow, outcome: Outcome, reason: str | None, **more: Any
) -> AttemptResult:
    return AttemptResult(
        attempt_id=out.attempt.id,
        sample_id=out.job.sample_id,
        plan_id=out.job.plan.id,
        teacher_id=teacher.id,
        outcome=outcome,
        reserved_micros=out.attempt.reserved_micros,
        reason=reason,
        **more,
    )
