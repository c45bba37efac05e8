"""Whether anything is left to do, and what keeps the rest from being done."""

from __future__ import annotations

from contextlib import closing
from typing import Protocol

import anyio.to_thread

from daemon import events
from daemon.host.clock import Clock
from daemon.sampling.plans import ActivePlan
from daemon.sampling.recovery import Aside
from daemon.sampling.retry_queue import RetryQueue
from daemon.sampling.scheduler import Scheduler
from engine.config import Config
from state.database import open_reader
from state.outcomes import PlanVerdicts, plan_verdicts

LOOK_S = 0.25
QUIET_LOOKS = 3
"""Looks in a row without work before the daemon counts as idle: a stored sample may just make a run due."""


class Busy(Protocol):
    """A part that may have something to do."""

    @property
    def idle(self) -> bool:
        """Whether it has nothing to do."""
        ...


class Work:
    """Looks over all parts; owns none."""

    def __init__(
        self,
        config: Config,
        *,
        bus: events.Bus,
        scheduler: Scheduler,
        retry_queue: RetryQueue,
        clock: Clock,
        planner: Busy,
        trainer: Busy,
        aside: Aside = anyio.to_thread.run_sync,
    ) -> None:
        self._config = config
        self._bus = bus
        self._scheduler = scheduler
        self._retry_queue = retry_queue
        self._planner = planner
        self._trainer = trainer
        self._clock = clock
        self._aside = aside

    async def tell_completions(self) -> None:
        """Says when a plan is complete: its last sample ended, or was not needed."""
        plans = self._scheduler.plans
        for plan in plans:
            plan.completed = plan.done  # told at an earlier start
        while True:
            for plan in plans:
                if plan.done and not plan.completed:
                    found = await self._aside(self._counts, plan.id)
                    plan.completed = True
                    self._bus.emit(
                        events.PlanCompleted(
                            plan=plan.config.name,
                            task=plan.task,
                            accepted=found.correct,
                            rejected=found.wrong,
                            failed=found.failed,
                        )
                    )
                    self._tell_target(plan, found.correct)
            await self._clock.sleep(LOOK_S)

    def _tell_target(self, plan: ActivePlan, accepted: int) -> None:
        target = plan.config.correct_per_task or 0
        if accepted < target:
            self._bus.emit(
                events.TargetMissed(
                    plan=plan.config.name,
                    task=plan.task,
                    accepted=accepted,
                    target=target,
                    most=plan.config.most,
                )
            )

    async def idle(self) -> None:
        """Returns when nothing is left to do, or nothing that can be done without a person."""
        quiet = 0
        while quiet < QUIET_LOOKS:
            await self._clock.sleep(LOOK_S)
            quiet = 0 if self._busy() else quiet + 1

    def troubles(self) -> list[str]:
        """What keeps samples from being taken, in a person's words; empty when all was sampled."""
        scheduler = self._scheduler
        rest = [plan for plan in scheduler.plans if not plan.done]
        names = {name for plan in rest for name in plan.everyone}
        return [
            *(
                f"teacher {teacher.name} is parked: {teacher.parked}"
                for teacher in scheduler.teachers
                if teacher.parked and teacher.name in names and not teacher.retired
            ),
            *sorted(
                {
                    f"{scheduler.budget_policy.short[plan.id]} is used up"
                    for plan in rest
                    if plan.id in scheduler.budget_policy.short
                }
            ),
            *sorted({f"task {plan.task} is paused" for plan in rest if plan.paused}),
            *(
                f"teacher {teacher.name} is paused"
                for teacher in scheduler.teachers
                if teacher.paused and teacher.name in names
            ),
        ]

    def _busy(self) -> bool:
        rest = [plan for plan in self._scheduler.plans if not plan.done or not plan.completed]
        teachers = self._scheduler.teachers
        if any(teacher.busy for teacher in teachers) or len(self._retry_queue) or self._scheduler.settling:
            return True
        if any(not self._blocked(plan) for plan in rest):
            return True
        return not (self._planner.idle and self._trainer.idle)

    def _blocked(self, plan: ActivePlan) -> bool:
        if self._scheduler.waits(plan):
            return True  # it goes on when the other is done, and then it is no longer waiting
        if (plan.by_need or plan.shared_out) and plan.unsettled and plan.open == 0 and not plan.done:
            return False  # it may be done, which is seen at the scheduler's next look
        if plan.paused or plan.id in self._scheduler.budget_policy.short:
            return True
        if (plan.waiting or (plan.exhausted and plan.shared_out)) and plan.open == 0:
            return True  # for verdicts of samples that another plan has in hand
        # A begun sample waits for its own teacher, even where another one of the plan works.
        stuck = sum(teacher.waiting(plan) for teacher in self._scheduler.teachers if not teacher.available)
        if 0 < plan.open <= stuck and (plan.exhausted or plan.waiting):
            return True
        return not any(teacher.available for teacher in self._scheduler.tiers.serving(plan))

    def _counts(self, plan_id: int) -> PlanVerdicts:
        with closing(open_reader(self._config.database)) as connection:
            return plan_verdicts(connection, plan_id)
