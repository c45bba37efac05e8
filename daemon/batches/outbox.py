"""The batches of one key, from their making to their end, and what keeps the next one from being sent.

The makers (`create_batch.py`) and the collectors (`collect_batch.py`) of a key change its batches through here alone.
"""

from __future__ import annotations

from typing import Any

import anyio
from pydantic import SecretStr

from daemon import events
from daemon.batches.batch_rows import Tally
from daemon.batches.outstanding import BatchLink, OutBatch, SendWait, Shared
from daemon.events import batch_events
from daemon.limits.key_limits import KeyLimits
from daemon.sampling.plans import ActivePlan
from daemon.sampling.teacher import Teacher
from engine.teachers.batch_api import BatchError, refusal
from engine.teachers.failures import Failure
from engine.teachers.keys import TeacherKey, redact
from state.batches import BatchChange, BatchEnd, change_batches, end_batches
from state.enums import BatchState

FULL_DISK_S = 60.0
GROW, MOST_GROWN = 1.5, 15
"""How waits between looks grow, and to how many times the first."""
REFUSALS = 3
"""Batches refused in a row for a passing cause, after which the key is parked."""


class Outbox:
    """The batches of one key that are being made or are out."""

    def __init__(
        self, teacher: Teacher, link: BatchLink, key: TeacherKey, limits: KeyLimits, shared: Shared
    ) -> None:
        self.teacher = teacher
        self.link = link
        self.key = key
        self.limits = limits
        self.shared = shared
        self.batches: list[OutBatch] = []
        self.locked_out = False
        """Whether the last look was refused, so that only the user can help."""
        self.closed = False
        self.wait = SendWait()
        self._context = shared.context

    @property
    def secret(self) -> SecretStr | None:
        """The key's secret, which may be another one after a reload."""
        return self.key.secret

    @property
    def secrets(self) -> tuple[str, ...]:
        """What must be taken out of whatever is stored."""
        return self.link.client.secrets(self.key.secret)

    @property
    def rows_out(self) -> int:
        """Rows that are not settled."""
        return sum(len(batch.rows) for batch in self.batches)

    def rows_of(self, plan: ActivePlan) -> int:
        """Rows of a plan that are not settled."""
        return sum(row.job.plan is plan for batch in self.batches for row in batch.rows.values())

    def now(self) -> float:
        """The session's monotonic time."""
        return self._context.clock.monotonic()

    def emit(self, event: events.Event) -> None:
        """Tells the bus."""
        self._context.bus.emit(event)

    def unwanted(self, batch: OutBatch) -> bool:
        """Whether a batch that could not be sent so far is not to be sent any more as it is."""
        room = self._context.budget.room
        plans = {row.job.plan for row in batch.rows.values()}
        return self.teacher.health.disabled or any(
            plan.state.disabled or room(plan.id, self.teacher.id) < 0 for plan in plans
        )

    def later(self, batch: OutBatch, told_s: float | None) -> None:
        """The next look, after a wait that grows from one to the next."""
        batch.look_at = self.now() + max(batch.wait_s, told_s or 0.0)
        batch.wait_s = min(batch.wait_s * GROW, self.link.poll_s * MOST_GROWN)

    def look_soon(self) -> None:
        """Looks at every batch at once, and sends without waiting out a refusal."""
        now = self.now()
        for batch in self.batches:
            batch.look_at = now
        self.wait = SendWait()
        self.locked_out = False

    def count(self, failure: Failure) -> None:
        """Counts a failed call."""
        self.teacher.meters.errors[failure.kind] += 1
        if failure.kind == "limited":
            self.teacher.meters.limited.add(self.now())

    async def write(self, batch: OutBatch, *, state: BatchState | None = None, **values: Any) -> None:
        """Stores what changed of a batch."""
        if state is not None:
            batch.state = state
            values["state"] = state.value
        await self._context.writer.do(change_batches, BatchChange(batch_id=batch.id, values=values))

    async def end(self, batch: OutBatch, state: BatchState, reason: str) -> None:
        """The batch is over on disk; rows that are open were never executed and are asked again."""
        with anyio.CancelScope(shield=True):
            await self._context.writer.do(
                end_batches, BatchEnd(batch_id=batch.id, state=state, reason=reason)
            )
            rows, batch.rows = batch.rows, {}
            self.batches.remove(batch)
            for row in rows.values():
                self.shared.settler.returned(self.teacher, row)

    async def refused(self, batch: OutBatch, errors: tuple[BatchError, ...]) -> None:
        """The provider refused the batch as a whole, after it had taken it."""
        kind, reason = refusal(errors)
        reason = redact(reason, self.secrets)
        if kind == "no-room":
            await self.no_room(batch, reason)
            return
        await self.failed(batch, reason)
        self.wait.refusals += 1
        if kind == "passing" and self.wait.refusals < REFUSALS:
            self.wait.not_before = self.now() + self._grown(self.wait.refusals)
        else:
            self.park(reason)

    async def failed(self, batch: OutBatch, reason: str) -> None:
        """A batch of which nothing was executed is over."""
        await self.end(batch, BatchState.FAILED, reason)
        self.emit(
            batch_events.BatchFailed(
                teacher=self.teacher.name, batch_id=batch.id, requests=batch.requests, reason=reason
            )
        )

    async def no_room(self, batch: OutBatch, reason: str) -> None:
        """The provider's queue is full: later again, and smaller where this batch was alone in it."""
        wait = self.wait
        wait.refusals += 1
        seconds = self._grown(wait.refusals)
        wait.not_before = self.now() + seconds
        if len(self.batches) == 1:
            self.link.cut(batch.requests)
        await self.end(batch, BatchState.FAILED, reason)
        self.emit(
            batch_events.BatchWaits(
                teacher=self.teacher.name,
                batch_id=batch.id,
                requests=batch.requests,
                seconds=seconds,
                reason=reason,
            )
        )

    def settled(self, batch: OutBatch, tally: Tally) -> None:
        """All rows of a batch are settled: whether the next one is sent at once, later, or not at all."""
        wait = self.wait
        wait.not_before = 0.0
        if tally.parked and not tally.answered:  # else the rows were refused, not the key
            self.park(tally.parked)
        elif tally.hopeless:
            self.park(
                f"{tally.permanent} requests of batch {batch.provider_id} were refused, none was answered"
            )
        elif tally.answered:
            wait.refusals = 0
        elif tally.failed or tally.missing:  # a batch for nothing: the next one takes its time
            wait.refusals += 1
            wait.not_before = self.now() + self._grown(wait.refusals)

    def park(self, reason: str) -> None:
        """No further batch is sent with this key until the user acts."""
        if self.limits.parked:
            return
        self.limits.park(reason)
        if self.teacher.park_if_no_key_works():
            self.shared.parked(self.teacher)

    def disk_failed(self, error: OSError) -> None:
        """A temporary file cannot be written: reported once."""
        what = (
            f"{self.teacher.name}: a batch's temporary file cannot be written ({error.strerror}); tried again"
        )
        if what not in self.wait.noted:
            self.wait.noted.add(what)
            self.emit(events.Noted(what=what))

    def _grown(self, times: int) -> float:
        return self.link.poll_s * min(float(MOST_GROWN), 2.0 ** (times - 1))
