"""Jobs that wait for their next try: they hold no slot, and go back to the queue when they are due."""

from __future__ import annotations

import heapq
import itertools
from collections.abc import Callable

import anyio
from anyio.abc import TaskStatus

from daemon.host.clock import Clock
from daemon.host.notify import Notifier
from daemon.sampling.jobs import Job


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
