"""One key of a teacher: workers that take jobs from the teacher's queue as its limits allow.

A pool of workers, not a task a sample: it grows to what the key carries. One worker at a time stands
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
from daemon.limits.key_limits import KeyLimits, Reservation
from daemon.sampling.jobs import Job
from daemon.sampling.teacher import Teacher
from engine.teachers.keys import TeacherKey

MOST_WORKERS = 2048

RunAttempt = Callable[[Job, "KeyWorkers", Reservation], Awaitable[None]]


class KeyWorkers:
    """A key, its limits and its workers."""

    def __init__(
        self, teacher: Teacher, key: TeacherKey, limits: KeyLimits, clock: Clock, run: RunAttempt
    ) -> None:
        self.teacher = teacher
        self.key = key
        self.limits = limits
        self._clock = clock
        self._run_attempt = run
        self._closed = False
        self._turnstile = anyio.Lock(fast_acquire=True)
        self._waiting = 0
        self._workers = 0

    async def serve(self, *, task_status: TaskStatus[None] = anyio.TASK_STATUS_IGNORED) -> None:
        """Works until `close` was called and everything in flight has ended."""
        async with anyio.create_task_group() as group:
            self._spawn(group)
            task_status.started()

    def close(self) -> None:
        """No further job is taken."""
        self._closed = True
        self.teacher.changed.notify()

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
            await self._run_attempt(job, self, reservation)
            self.teacher.changed.notify()  # a slot is free

    async def _next(self) -> tuple[Job, Reservation] | None:
        """The head of the queue, once the limits let it go; None when the key is closed."""
        teacher = self.teacher
        while not self._closed:
            job = teacher.head()
            if job is None or not teacher.available:
                await teacher.changed.wait()
                continue
            now = self._clock.monotonic()
            tokens, output = teacher.expected_tokens(job)
            ready_at = max(self.limits.ready_at(now, tokens, output), teacher.breaker.ready_at(now))
            if ready_at <= now:
                teacher.pop()
                teacher.breaker.sent()
                return job, self.limits.take(now, tokens, output)
            await teacher.changed.wait(None if math.isinf(ready_at) else ready_at - now)
        return None
