"""The teacher of a teacher that speaks `openai-batch`: its queue is what the next batches are made of.

In flight are the rows of batches that are out; they stay out over an end of the daemon, so an end
waits for nothing but what is under way on the wire.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from itertools import islice
from typing import TYPE_CHECKING, cast

from daemon.sampling.jobs import Job
from daemon.sampling.key_workers import KeyWorkers
from daemon.sampling.teacher import Teacher
from engine.config import TeacherConfig
from engine.teachers.batch_client import BatchClient
from state.heartbeat import TeacherHeartbeat

if TYPE_CHECKING:
    from daemon.batches.key_batches import KeyBatches
    from daemon.sampling.plans import ActivePlan

MOST_OUT = 8
"""Batches of one key that are out at once, where the configuration says nothing."""
POLL_S = 60.0
POLL_BUILTIN_S = 1.0


class BatchTeacher(Teacher):
    """A teacher whose keys send batches."""

    def __init__(
        self, teacher_id: int, name: str, config: TeacherConfig, client: BatchClient, now: float
    ) -> None:
        super().__init__(teacher_id, name, config, client, now)
        self.size = config.batch_requests
        """Requests of a batch; cut when the provider's queue has no room for one so large."""

    @property
    def batch_client(self) -> BatchClient:
        """The client, which is a new one after another address."""
        return cast(BatchClient, self.client)

    @property
    def poll_s(self) -> float:
        """Seconds until a batch is first looked at."""
        given = self.config.batch_poll_seconds
        return given if given is not None else POLL_BUILTIN_S if self.config.builtin else POLL_S

    @property
    def most_out(self) -> int:
        """Batches of one key that may be out at once."""
        return self.config.concurrency or MOST_OUT

    def each_key(self) -> Iterator[KeyBatches]:
        """Its keys, those of former keys included."""
        for workers in (*self.key_workers, *self.leaving):
            yield cast("KeyBatches", workers)

    @property
    def in_flight(self) -> int:
        """Rows of batches that are out."""
        return sum(workers.rows_out for workers in self.each_key())

    @property
    def out(self) -> int:
        """The same: they are with the teacher until their batch ends."""
        return self.in_flight

    @property
    def landing(self) -> bool:
        """Whether a batch is being sent or its rows are being stored."""
        return any(workers.under_way for workers in self.each_key())

    @property
    def busy(self) -> bool:
        """Whether something goes on: batches whose end can be asked for, or requests that can be sent."""
        asked = any(
            workers.under_way or (workers.rows_out and not workers.blind) for workers in self.each_key()
        )
        return asked or bool(self.available and self.queued)

    @property
    def cap(self) -> int:
        """Rows that may be out at once."""
        return sum(self.most_out * self.size for workers in self.key_workers if not workers.limits.parked)

    @property
    def demand(self) -> int:
        """Samples to claim: what is missing of a batch that could be sent."""
        room = any(cast("KeyBatches", workers).has_room for workers in self.key_workers)
        return max(0, self.size - self.queued) if self.available and room else 0

    def take(self, count: int) -> list[Job]:
        """The first jobs of the queue."""
        chosen = set(islice(self._queue, count))
        return self.take_out(chosen.__contains__)

    def give_back(self, jobs: list[Job]) -> None:
        """Puts jobs back to the head of the queue, in their order."""
        self._queue.extendleft(reversed(jobs))
        self.changed.notify()

    def waiting(self, plan: ActivePlan) -> int:
        """Jobs of a plan that nothing can be done for now but by a person: ready ones, and rows nobody can ask for."""
        return super().waiting(plan) + sum(
            workers.rows_of(plan) for workers in self.each_key() if workers.blind
        )

    def configure(self, now: float, config: TeacherConfig) -> None:
        """Other prices, limits and sizes from now on."""
        if config.batch_requests != self.config.batch_requests:
            self.size = config.batch_requests
        super().configure(now, config)

    def drop_key(self, workers: KeyWorkers) -> None:
        """A key that is no longer used: its batches are asked for with another one."""
        super().drop_key(workers)
        if self.key_workers:
            cast("KeyBatches", workers).heir = cast("KeyBatches", self.key_workers[0])

    def unpark(self, now: float) -> None:
        """Tries every key again, and looks at every batch."""
        super().unpark(now)
        for workers in self.each_key():
            workers.look_soon()

    def heartbeat(self, now: float) -> TeacherHeartbeat:
        """What it does now; the reason tells of its batches."""
        shown = super().heartbeat(now)
        return shown if shown.reason else replace(shown, reason=self._told(now))

    def _told(self, now: float) -> str:
        """Its batches, in words: "2 batches out, 1,200 of 3,000 rows done, next look in 40 s"."""
        batches = [batch for workers in self.each_key() for batch in workers.batches]
        if not batches:
            return f"{self.queued:,} waiting for a batch" if self.queued else ""
        what = "1 batch" if len(batches) == 1 else f"{len(batches)} batches"
        total = sum(batch.requests for batch in batches)
        done = sum(min(batch.requests, max(batch.done, batch.stored)) for batch in batches)
        waits = max(0.0, min(batch.look_at for batch in batches) - now)
        when = "being looked at" if self.landing else f"next look in {waits:.0f} s"
        return f"{what} out, {done:,} of {total:,} rows done, {when}"
