"""A teacher's queue of jobs that are ready to be sent, and the queue of jobs that wait for their next try.

Jobs in the queue are claimed and on disk. A job that waits for its next try comes back from the `RetryQueue` when it
is due; meanwhile it holds no slot.
"""

from __future__ import annotations

import heapq
import itertools
import math
from collections import deque
from collections.abc import Callable
from itertools import islice

import anyio
from anyio.abc import TaskStatus

from daemon.host.clock import Clock
from daemon.host.notify import Notifier
from daemon.sampling.jobs import Job
from daemon.sampling.plans import ActivePlan

LEARN = 0.3
"""Weight of the latest claim in the estimate of how many ready jobs are needed."""


class JobQueue:
    """The ready jobs of one teacher, in order."""

    __slots__ = ("_changed", "_jobs", "_low", "_need", "_on_low", "_popped", "_since", "_teacher")

    def __init__(self, teacher: str, changed: Notifier, now: float) -> None:
        self._teacher = teacher
        self._changed = changed
        self._jobs: deque[Job] = deque()
        self._on_low: Callable[[], None] = lambda: None
        self._popped = 0
        self._since = (0, now)  # `_popped` and the time, at the end of the last claim
        self._need: float | None = None  # moving average of the jobs taken while a claim is written
        self._low = 0  # low-water mark, of the last look

    def __len__(self) -> int:
        return len(self._jobs)

    def on_low_water(self, call: Callable[[], None]) -> None:
        """Calls this whenever a job is taken and too few are left."""
        self._on_low = call

    def push(self, job: Job, *, first: bool = False) -> None:
        """Queues a job; `first` for a next turn, so that begun samples are finished early."""
        for member in job.members:
            member.teacher = self._teacher
        if first:
            self._jobs.appendleft(job)
        else:
            self._jobs.append(job)
        self._changed.notify()

    def head(self) -> Job | None:
        """The next job, left in the queue."""
        return self._jobs[0] if self._jobs else None

    def pop(self) -> Job:
        """Takes the next job, and asks for more when little is left."""
        job = self._jobs.popleft()
        self._popped += 1
        if len(self._jobs) <= self._low:
            self._on_low()
        return job

    def jobs(self) -> list[Job]:
        """The jobs in the queue."""
        return list(self._jobs)

    def waiting(self, plan: ActivePlan) -> int:
        """Samples of a plan that are ready."""
        return sum(len(job.members) for job in self._jobs if job.plan is plan)

    def take(self, count: int) -> list[Job]:
        """Removes and returns the first jobs."""
        chosen = set(islice(self._jobs, count))
        return self.take_out(chosen.__contains__)

    def take_out(self, which: Callable[[Job], bool]) -> list[Job]:
        """Removes and returns the jobs that fit."""
        out = [job for job in self._jobs if which(job)]
        self._jobs = deque(job for job in self._jobs if not which(job))
        return out

    def give_back(self, jobs: list[Job]) -> None:
        """Puts jobs back to the head of the queue, in their order."""
        self._jobs.extendleft(reversed(jobs))
        self._changed.notify()

    def target_depth(self, cap: int) -> int:
        """Jobs that should be ready: three times what is taken while a claim is written, at most two waves of `cap`.

        No more, because each is on disk as an attempt, and one that was not sent when the daemon is killed counts
        as unknown.
        """
        return max(4, min(2 * cap, cap // 2 if self._need is None else math.ceil(3 * self._need)))

    def demand(self, cap: int) -> int:
        """Jobs to claim: none above the low-water mark (half of the target depth), then all that are missing."""
        target = self.target_depth(cap)
        self._low = target // 2
        return target - len(self._jobs) if len(self._jobs) <= self._low else 0

    def claimed(self, now: float, seconds: float, cap: int) -> None:
        """A claim came back that took `seconds`: learns how many jobs are taken in such a time."""
        popped, since = self._since
        need = seconds * (self._popped - popped) / max(now - since, seconds, 1e-3)
        self._since = self._popped, now
        if not self._jobs:
            need *= 2  # it was too little, by how much is not known
        before = cap / 6 if self._need is None else self._need
        self._need = before + LEARN * (need - before)


class RetryQueue:
    """A heap of jobs by the time they are due."""

    def __init__(self, clock: Clock, deliver: Callable[[Job], None]) -> None:
        self._clock = clock
        self._deliver = deliver
        self._heap: list[tuple[float, int, Job]] = []
        self._order = itertools.count()
        self._changed = Notifier()

    def __len__(self) -> int:
        return len(self._heap)

    def put(self, job: Job, seconds: float) -> None:
        """Delivers `job` in `seconds`."""
        heapq.heappush(self._heap, (self._clock.monotonic() + seconds, next(self._order), job))
        self._changed.notify()

    async def serve(self, *, task_status: TaskStatus[None] = anyio.TASK_STATUS_IGNORED) -> None:
        """Delivers jobs when they are due, until cancelled."""
        task_status.started()
        while True:
            if not self._heap:
                await self._changed.wait()
                continue
            due = self._heap[0][0] - self._clock.monotonic()
            if due > 0:
                await self._changed.wait(due)
                continue
            self._deliver(heapq.heappop(self._heap)[2])
