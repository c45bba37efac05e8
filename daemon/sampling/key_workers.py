"""Sending single requests: the workers of one key take jobs from the teacher's queue as its limits allow.

A pool of workers, not a task for each sample: it grows to what the key carries. One worker at a time stands
at the turnstile, waits for the head of the queue and for the limits, and takes both; so requests
leave in order and evenly. A slot is held from taking a job until its answer is on disk, and never
while a job waits for its next try.
"""

from __future__ import annotations

import math
from collections.abc import Awaitable, Callable

import anyio
from anyio.abc import TaskGroup, TaskStatus

from daemon.host.clock import Clock
from daemon.limits.evidence import KeyEvidence
from daemon.limits.key_limits import KeyLimits
from daemon.limits.rates import Reservation
from daemon.sampling.jobs import Job
from daemon.sampling.plans import ActivePlan
from daemon.sampling.teacher import Teacher
from daemon.sampling.transport import Transport
from engine.config import TeacherConfig
from engine.teachers.client import Client
from engine.teachers.keys import TeacherKey
from engine.teachers.spread import SpreadClient

MOST_WORKERS = 2048

RunAttempt = Callable[[Job, "KeyWorkers", Reservation], Awaitable[None]]


class KeyWorkers:
    """A key, its limits and its workers."""

    def __init__(
        self, teacher: Teacher, transport: RequestTransport, key: TeacherKey, limits: KeyLimits
    ) -> None:
        self.teacher = teacher
        self.key = key
        self.limits = limits
        self.evidence = KeyEvidence(answered_before=teacher.answered_before)
        self._transport = transport
        self._clock = transport.clock
        self._run_attempt = transport.run
        self._closed = False
        self._turnstile = anyio.Lock(fast_acquire=True)
        self._waiting = 0
        self._workers = 0
        self._running = 0

    @property
    def client(self) -> Client:
        """The connections to the teacher, which are new ones after another address."""
        return self._transport.client

    @property
    def cap(self) -> int:
        """Requests that may be in flight at once."""
        return self.limits.cap

    @property
    def in_flight(self) -> int:
        """Slots in use."""
        return self.limits.in_flight

    @property
    def out(self) -> int:
        """Requests that are with the teacher."""
        return self.limits.out

    @property
    def on_the_wire(self) -> bool:
        """Whether a request is in flight: a drain waits for it."""
        return self.limits.in_flight > 0

    @property
    def active(self) -> bool:
        """Whether a request is in flight, or its end is being stored: it ends without the user."""
        return self._running > 0 or self.limits.in_flight > 0

    def stuck(self, plan: ActivePlan) -> int:
        """None: every request ends."""
        return 0

    async def serve(self, *, task_status: TaskStatus[None] = anyio.TASK_STATUS_IGNORED) -> None:
        """Works until `close` was called and everything in flight has ended."""
        async with anyio.create_task_group() as group:
            self._spawn(group)
            task_status.started()

    def close(self) -> None:
        """No further job is taken."""
        self._closed = True
        self.teacher.changed.notify()

    def rekey(self, key: TeacherKey) -> None:
        """Another secret under the same label."""
        if self.key.secret != key.secret:
            self.evidence.forget_key()
        self.key = key

    def look_again(self) -> None:
        """The user acted: it is asked at once."""
        self.evidence.look_again()

    def _spawn(self, group: TaskGroup) -> None:
        self._workers += 1
        group.start_soon(self._work, group, name=f"{self.teacher.name} worker")

    async def _work(self, group: TaskGroup) -> None:
        while True:
            self._waiting += 1
            async with self._turnstile:
                self._waiting -= 1
                taken = await self._next()
            if taken is None:
                return
            if self._waiting == 0 and self._workers < MOST_WORKERS:
                self._spawn(group)
            job, reservation = taken
            self._running += 1
            try:
                await self._run_attempt(job, self, reservation)
            finally:
                self._running -= 1
            self.teacher.changed.notify()  # a slot is free

    async def _next(self) -> tuple[Job, Reservation] | None:
        """The head of the queue, once the limits let it go; None when the key is closed."""
        teacher, queue, health = self.teacher, self.teacher.queue, self.teacher.health
        while not self._closed:
            job = queue.head()
            if job is None or not health.available:
                await teacher.changed.wait()
                continue
            now = self._clock.monotonic()
            tokens, output = teacher.expected_tokens(job)
            ready_at = max(
                self.limits.ready_at(now, tokens, output), health.ready_at(now), self.evidence.ready_at(now)
            )
            if ready_at <= now:
                queue.pop()
                health.sent()
                return job, self.limits.take(now, tokens, output)
            await teacher.changed.wait(None if math.isinf(ready_at) else ready_at - now)
        return None


class RequestTransport(Transport[Teacher, KeyWorkers]):
    """A teacher that is asked by single requests."""

    def __init__(self, client: Client, clock: Clock, run: RunAttempt) -> None:
        """Sends nothing by itself; `run` carries a job through one attempt."""
        super().__init__()
        self.client = client
        self.clock = clock
        self.run = run

    def connect(self, client: Client, url: str | None) -> None:
        """Sends with another client from now on."""
        self.client, self.url = client, url

    @property
    def suspended(self) -> bool:
        """Whether no key takes requests now, and one that was answered before is tried again later."""
        keys = self.keys
        return any(key.evidence.suspended for key in keys) and all(
            key.evidence.suspended or key.limits.parked for key in keys
        )

    def refusals(self, now: float) -> str:
        """The words of refusals, where for a while nothing else came."""
        return next((said for key in self.keys if (said := key.evidence.told(now))), "")

    def configure(self, config: TeacherConfig) -> None:
        """Nothing to do: it has no settings of its own."""

    def target_depth(self, owner: Teacher) -> int:
        """Jobs that should be ready to be sent."""
        return owner.queue.target_depth(self.cap)

    def demand(self, owner: Teacher) -> int:
        """Jobs to claim: whenever half of the target depth is gone, so that claims come in groups."""
        missing = owner.queue.demand(self.cap)
        return missing if owner.available and not owner.health.absent else 0

    def note(self, owner: Teacher, now: float) -> str:
        """Why its server is not there, or which addresses rest; the figures tell all else."""
        resting = self.client.note() if isinstance(self.client, SpreadClient) else ""
        return owner.health.absent or resting

    def _open(self, owner: Teacher, key: TeacherKey, limits: KeyLimits) -> KeyWorkers:
        return KeyWorkers(owner, self, key, limits)
