"""Decides whether any work is left, and what blocks it; reports plans that completed."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from contextlib import closing
from typing import Protocol

import anyio.to_thread

from daemon import events
from daemon.sampling.context import Context
from daemon.sampling.job_queue import RetryQueue
from daemon.sampling.plans import ActivePlan
from daemon.sampling.recovery import RunBlocking
from daemon.sampling.scheduler import Scheduler
from engine.config import Config
from state.database import open_reader
from state.outcomes import PlanVerdicts, plan_verdicts

LOOK_S = 0.25
QUIET_LOOKS = 3
"""Looks without work in a row before the daemon counts as idle: a stored sample may just make a run due."""


class Busy(Protocol):
    """A part that may have work."""

    @property
    def idle(self) -> bool:
        """Whether it has no work."""
        ...


class Work:
    """Looks at all parts; owns none."""

    def __init__(
        self,
        config: Config,
        context: Context,
        *,
        scheduler: Scheduler,
        retry_queue: RetryQueue,
        others: Sequence[Busy],
        run_blocking: RunBlocking = anyio.to_thread.run_sync,
    ) -> None:
        self._config = config
        self._bus = context.bus
        self._scheduler = scheduler
        self._retry_queue = retry_queue
        self._others = others
        self._clock = context.clock
        self._run_blocking = run_blocking

    async def report_completions(self) -> None:
        """Reports each plan that completed: its last sample ended, or was not needed."""
        plans = self._scheduler.plans
        for plan in plans:
            plan.state.completed_before()  # reported by an earlier daemon
        while True:
            for plan in plans:
                if plan.done and not plan.state.completed:
                    found = await self._run_blocking(self._counts, plan.id)
                    plan.state.complete()
                    self._bus.emit(
                        events.PlanCompleted(
                            plan=plan.config.name,
                            task=plan.task,
                            accepted=found.correct,
                            rejected=found.wrong,
                            failed=found.failed,
                            labelled=plan.labelled,
                        )
                    )
                    self._report_missed_target(plan, found.correct)
            await self._clock.sleep(LOOK_S)

    def _report_missed_target(self, plan: ActivePlan, accepted: int) -> None:
        target = plan.config.correct_per_task or 0
        if accepted < target:
            self._bus.emit(
                events.TargetMissed(
                    plan=plan.config.name,
                    task=plan.task,
                    accepted=accepted,
                    target=target,
                    most=plan.config.most,
                    labelled=plan.labelled,
                )
            )

    async def idle(self) -> None:
        """Returns when all work is done, or nothing can continue without the user."""
        quiet = 0
        while quiet < QUIET_LOOKS:
            await self._clock.sleep(LOOK_S)
            quiet = 0 if self._busy() else quiet + 1

    def troubles(self) -> list[str]:
        """What blocks sampling, as sentences for the user; empty when all was sampled."""
        scheduler = self._scheduler
        rest = [plan for plan in scheduler.plans if not plan.done]
        names = {name for plan in rest for name in plan.all_teachers}
        return [
            *(
                f"teacher {teacher.name} is parked: {teacher.health.parked}"
                for teacher in scheduler.teachers
                if teacher.health.parked and teacher.name in names and not teacher.health.disabled
            ),
            *sorted({told for plan in rest if (told := self._money_trouble(plan))}),
            *(
                f"plan {plan.config.name} on {plan.task} is held: {plan.state.held}"
                for plan in rest
                if plan.state.held
            ),
            *(
                f"plan {plan.config.name} on {plan.task} waits for {text}"
                for plan in rest
                if (text := scheduler.panels.told(plan))
            ),
            *(
                f"plan {plan.config.name} on {plan.task} waits for {plan.waits_for}"
                for plan in rest
                if plan.waits_for
            ),
            *sorted({f"task {plan.task} is paused" for plan in rest if plan.state.paused}),
            *(
                f"teacher {teacher.name} is paused"
                for teacher in scheduler.teachers
                if teacher.health.paused and teacher.name in names
            ),
        ]

    def _money_trouble(self, plan: ActivePlan) -> str:
        policy = self._scheduler.budget_policy
        if (account := policy.spent.get(plan.id)) is not None:
            return f"{account.words} is used up: {account.figures()}"
        if (account := policy.short.get(plan.id)) is not None:
            return (
                f"{account.words} has no room beside what is kept for requests that wait: {account.figures()}"
            )
        return ""

    def _busy(self) -> bool:
        rest = [plan for plan in self._scheduler.plans if not plan.done or not plan.state.completed]
        teachers = self._scheduler.teachers
        if any(teacher.busy for teacher in teachers) or len(self._retry_queue) or self._scheduler.busy:
            return True
        if self._scheduler.panels.busy:
            return True
        if any(not self._blocked(plan) for plan in rest):
            return True
        return not all(part.idle for part in self._others)

    def _blocked(self, plan: ActivePlan) -> bool:
        if self._scheduler.waits(plan):
            return True  # it continues when the other is done
        if (plan.by_need or plan.state.shared) and plan.state.to_look_at and not plan.done:
            return False  # it may be done: the scheduler is about to look
        if plan.state.paused or plan.state.held or self._lacks_money(plan):
            return True
        if (plan.state.waiting or (plan.exhausted and plan.state.shared)) and plan.open == 0:
            return True  # for verdicts of samples that another plan has claimed
        # A started sample waits for its own teacher, even if another one of the plan works.
        stuck = sum(teacher.stuck(plan) for teacher in self._scheduler.teachers if not teacher.available)
        stuck += self._scheduler.panels.waiting(plan)  # they go on when the others do
        if plan.open <= stuck and self._scheduler.held_up(plan):
            return True
        if 0 < plan.open <= stuck and (plan.exhausted or plan.state.waiting):
            return True
        return not any(teacher.available for teacher in self._scheduler.fallback_policy.serving(plan))

    def _lacks_money(self, plan: ActivePlan) -> bool:
        """Whether a plan cannot be paid, and no reservation comes back by itself that could change this."""
        self._scheduler.note_money(plan)  # as it is now: reservations come back at any time
        policy = self._scheduler.budget_policy
        return plan.id in policy.spent or (plan.id in policy.short and not self._money_comes_back())

    def _money_comes_back(self) -> bool:
        """Whether money is reserved for a request that ends, or is sent, without the user."""
        held: Counter[str] = Counter()
        for job in self._scheduler.held_back():
            held[job.teacher] += sum(
                member.attempt.reserved_micros for member in job.members if member.attempt
            )
        return any(
            self._scheduler.budget_policy.reserved_at(teacher) > held[teacher.name]
            for teacher in self._scheduler.teachers
            if teacher.available and not teacher.locked_out
        )

    def _counts(self, plan_id: int) -> PlanVerdicts:
        with closing(open_reader(self._config.database)) as connection:
            return plan_verdicts(connection, plan_id)
