"""One key of a teacher that is asked by batches: decides when the next batch is sent, and when each one is looked at.

One thing at a time: a key looks, stores or sends. A batch that is out when the daemon ends is taken up by the
next one (`batch_recovery.py`).
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from functools import partial

import anyio
from anyio.abc import TaskStatus

from daemon.batches.collect_batch import BatchCollector
from daemon.batches.create_batch import BatchCreator
from daemon.batches.outbox import Outbox
from daemon.batches.outstanding import BatchLink, OutBatch, Shared
from daemon.limits.key_limits import KeyLimits
from daemon.sampling.plans import ActivePlan
from daemon.sampling.teacher import Teacher
from engine.teachers.keys import TeacherKey
from state.enums import BatchState


class KeyBatches:
    """A key and its batches."""

    def __init__(
        self, teacher: Teacher, link: BatchLink, key: TeacherKey, limits: KeyLimits, shared: Shared
    ) -> None:
        self.outbox = Outbox(teacher, link, key, limits, shared)
        self.limits = limits
        self._teacher = teacher
        self._link = link
        self._nothing_to_claim = shared.nothing_to_claim
        self._under_way = False  # something is on the wire or being stored
        self._successor: KeyBatches | None = None
        self._collector = BatchCollector(self.outbox)
        self._creator = BatchCreator(self.outbox, self._collector.unseen)

    @property
    def key(self) -> TeacherKey:
        """The key."""
        return self.outbox.key

    @property
    def cap(self) -> int:
        """Rows that may be out at once."""
        return self._link.most_out * self._link.size

    @property
    def in_flight(self) -> int:
        """Rows of batches that are out."""
        return self.outbox.rows_out

    @property
    def out(self) -> int:
        """The same: they are with the teacher until their batch ends."""
        return self.outbox.rows_out

    @property
    def on_the_wire(self) -> bool:
        """Whether a batch is being sent or its rows are being stored: batches stay out over an end of the daemon."""
        return self._under_way

    @property
    def active(self) -> bool:
        """Whether batches are out whose end can be asked for."""
        return self._under_way or (self.outbox.rows_out > 0 and not self.outbox.locked_out)

    def stuck(self, plan: ActivePlan) -> int:
        """Rows of a plan that nobody can ask for until the user acts."""
        return self.outbox.rows_of(plan) if self.outbox.locked_out else 0

    @property
    def has_room(self) -> bool:
        """Whether a further batch could be sent."""
        outbox = self.outbox
        return not outbox.closed and not self.limits.parked and len(outbox.batches) < self._link.most_out

    def take_up(self, batch: OutBatch) -> None:
        """A batch that is out, of an earlier daemon."""
        self.outbox.batches.append(batch)

    def rekey(self, key: TeacherKey) -> None:
        """Another secret under the same label."""
        self.outbox.key = key

    def close(self) -> None:
        """No further batch is sent, and none is looked at."""
        self.outbox.closed = True
        self._teacher.changed.notify()

    def look_again(self) -> None:
        """Looks at every batch at once, and sends without waiting out a refusal."""
        self.outbox.look_soon()
        self._teacher.changed.notify()

    def hand_over(self, successor: KeyBatches) -> None:
        """After `close`, once nothing of it is on the wire: the batches are fetched with the other key."""
        self._successor = successor

    async def serve(self, *, task_status: TaskStatus[None] = anyio.TASK_STATUS_IGNORED) -> None:
        """Looks at batches and sends further ones until `close` was called."""
        task_status.started()
        outbox = self.outbox
        while not outbox.closed:
            work = self._next_work()
            if work is not None:
                self._under_way = True
                try:
                    await work()
                finally:
                    self._under_way = False
                continue
            await self._teacher.changed.wait(self._pause_s())
        if self._successor is not None:
            for batch in outbox.batches:
                self._successor.take_up(batch)
            outbox.batches = []
            self._teacher.changed.notify()

    def _next_work(self) -> Callable[[], Awaitable[None]] | None:
        now = self.outbox.now()
        for batch in self.outbox.batches:
            if batch.look_at <= now:
                return partial(self.look, batch)
        return self._creator.send if self._ripe(now) else None

    def _pause_s(self) -> float | None:
        now = self.outbox.now()
        times = [batch.look_at for batch in self.outbox.batches]
        if self._teacher.queued:
            times.append(now + 0.1)  # claims and caps do not report that they have nothing to give
        return max(0.0, min(times) - now) if times else None

    def _ripe(self, now: float) -> bool:
        """Whether the jobs in the queue are to be sent now."""
        teacher, wait = self._teacher, self.outbox.wait
        if not teacher.queued:
            wait.since = None
            return False
        wait.since = now if wait.since is None else wait.since
        if not teacher.available or not self.has_room or now < max(wait.not_before, self._paused_until(now)):
            return False
        if teacher.queued >= self._link.size:
            return True
        if teacher.transport.on_the_wire:
            return False  # rows that are being stored bring further ones
        return self._nothing_to_claim(teacher) or now - wait.since >= self._link.settings.batch_wait_seconds

    def _paused_until(self, now: float) -> float:
        return now + self.limits.pause_left(now) if self.limits.pause_left(now) > 0 else 0.0

    async def look(self, batch: OutBatch) -> None:
        """The next step of a batch."""
        outbox = self.outbox
        batch.look_at = outbox.now() + batch.wait_s  # whatever happens, not at once again
        sent = batch.state is BatchState.LIVE or batch.unsure
        if not sent and outbox.unwanted(batch):
            await outbox.end(
                batch, BatchState.FAILED, "not sent: a plan or the teacher is gone, or a cap was lowered"
            )
        elif not sent and self._teacher.health.paused:
            outbox.later(batch, None)
        elif batch.state is BatchState.NEW:
            await self._creator.upload(batch)
        elif batch.state is BatchState.CREATING:
            await (self._creator.search(batch) if batch.unsure else self._creator.create(batch))
        else:
            await self._collector.poll(batch)
