"""Attempts on disk: opened before a request leaves, ended after it, with the reservation settled exactly once."""

from __future__ import annotations

from collections.abc import Iterable

import anyio

from daemon.sampling.context import Context
from daemon.sampling.jobs import Job
from daemon.sampling.outcomes import InFlightRequest, further_attempts
from daemon.sampling.teacher import Teacher
from state.claims import open_attempts, open_groups
from state.enums import Outcome
from state.outcomes import AttemptResult, record, record_groups


class AttemptStore:
    """Writes attempts and books what they cost."""

    def __init__(self, context: Context) -> None:
        self._session_id = context.session_id
        self._writer = context.writer
        self._budget = context.budget
        self._tracer = context.tracer

    async def open(self, job: Job, teacher: Teacher) -> None:
        """Stores a further attempt of each member; none if the budget has no room."""
        bound = job.bound(teacher.tokens.price)
        if not self._budget.reserve(job.plan.id, teacher.id, bound):
            return
        requests = further_attempts(job, teacher, self._session_id, bound)
        if len(requests) == 1:
            opened = [await self._writer.do(open_attempts, requests[0])]
        else:
            opened = await self._writer.do(open_groups, requests)
        for member, attempt in zip(job.members, opened, strict=True):
            member.attempt = attempt

    async def end(self, request: InFlightRequest, results: list[AttemptResult]) -> None:
        """Stores how the attempts of a request ended, and settles what was reserved for them."""
        if len(results) == 1:
            await self._writer.do(record, results[0])
        else:
            await self._writer.do(record_groups, results)
        reserved = sum(result.reserved_micros for result in results)
        spent = sum(result.cost_micros for result in results)
        unknown = sum(result.unknown_micros for result in results)
        self._budget.settle(request.job.plan.id, request.teacher.id, reserved, spent, unknown)
        if self._tracer is not None:
            request.trace(self._tracer, results)
        request.job.plan.state.ended(sum(result.end is not None for result in results))

    async def release(self, job: Job, teacher: Teacher) -> None:
        """Releases an attempt that is on disk and will not be sent."""
        if job.attempt is None:
            return
        attempts = [member.attempt for member in job.members if member.attempt is not None]
        request = InFlightRequest(job, teacher, attempts)
        await self.end(
            request, [request.result(index, Outcome.RELEASED, "not sent") for index in range(len(attempts))]
        )

    async def release_all(self, jobs: Iterable[Job], teacher: Teacher) -> None:
        """Releases the attempts of many jobs, in few commits."""
        async with anyio.create_task_group() as group:
            for job in jobs:
                group.start_soon(self.release, job, teacher)
