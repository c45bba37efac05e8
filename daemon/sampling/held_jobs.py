"""Jobs of plans that are held, paused or disabled: in no queue until their plan continues, or a successor takes them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import anyio

from daemon.sampling.budget import Budget
from daemon.sampling.jobs import Job
from daemon.sampling.plans import ActivePlan
from state.catalog import adopt_samples
from state.writer import Writer


class HeldJobs:
    """The held jobs of all plans."""

    def __init__(self, writer: Writer, budget: Budget) -> None:
        self._writer = writer
        self._budget = budget
        self.jobs: list[Job] = []

    def add(self, jobs: Iterable[Job]) -> None:
        """Holds jobs."""
        self.jobs += jobs

    def take_back(self) -> list[Job]:
        """Takes out the jobs whose plans continue."""
        back = [job for job in self.jobs if not job.plan.state.set_aside]
        self.jobs = [job for job in self.jobs if job.plan.state.set_aside]
        return back

    def look_again(self) -> None:
        """After plans changed: jobs that no plan asked for may have a successor now."""
        for job in self.jobs:
            job.left_out = False

    async def adopt(self, plans: Sequence[ActivePlan]) -> list[Job]:
        """Gives jobs of disabled plans to a successor that asks for the same samples (it was renamed); takes them out.

        Of a plan whose teachers changed, the successor keeps some samples; `state.db` knows which. The others come out as they were.
        """
        if not any(job.plan.state.disabled and not job.left_out for job in self.jobs):
            return []
        self.jobs = [
            each
            for job in self.jobs
            for each in (job.apart() if job.plan.state.disabled and job.attempt is None else [job])
        ]
        asked: list[tuple[Job, ActivePlan]] = []
        for job in self.jobs:
            if not job.plan.state.disabled or job.left_out or job.attempt is not None:
                continue
            successor = next((each for each in plans if each.shares(job.plan)), None)
            if successor is None or job.replicate >= successor.config.most:
                job.left_out = True
            else:
                asked.append((job, successor))
        gone = {job for job, _ in asked}
        self.jobs = [job for job in self.jobs if job not in gone]
        async with anyio.create_task_group() as group:
            for job, successor in asked:
                group.start_soon(self._adopt, job, successor)
        return [job for job, _ in asked]

    async def _adopt(self, job: Job, successor: ActivePlan) -> None:
        cost = await self._writer.do(adopt_samples, (successor.id, job.sample_id))
        if cost is None:
            job.left_out = True
            return
        self._budget.move(job.plan.id, successor.id, cost)
        job.plan.state.moved_to(successor.state)
        job.plan = successor
        if job.teacher not in successor.all_teachers and job.conversation.turn == 0:
            job.teacher = successor.teachers[0]
