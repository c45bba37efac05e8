"""Claims samples for teachers whose queue is below its low-water mark: fair between plans, within the budgets.

Stride scheduling: each plan has a virtual time, which a claim advances by its samples divided by the plan's weight;
the plan with the least virtual time is next, so none starves. A plan that had nothing to do for a while (paused, or
out of budget) continues at the present virtual time: it does not catch up at the cost of others. A plan without
budget blocks no other plan, and is tried again once there is more. A claim is one item of a group commit, so claims
for several plans share a transaction.

A plan whose next claim depends on open verdicts waits for them, and is tried again when
a sample of its task ends. `daemon/sampling/fallback.py` decides which of a plan's teachers may serve it.
"""

from __future__ import annotations

import math
import time
from itertools import groupby

import anyio
from anyio.abc import TaskStatus

from daemon import events
from daemon.host.notify import Notifier
from daemon.sampling.budget_policy import BudgetPolicy
from daemon.sampling.context import Context
from daemon.sampling.cost_bounds import job_of
from daemon.sampling.cost_share import CostShares
from daemon.sampling.fallback import FallbackPolicy
from daemon.sampling.held_jobs import HeldJobs
from daemon.sampling.jobs import Job, together
from daemon.sampling.panels import Panels
from daemon.sampling.plans import ActivePlan
from daemon.sampling.teacher import Teacher
from daemon.sampling.wording_search import WordingSearches
from state.claims import ClaimRequest, claim, settle
from state.slots import open_in_other_plans

BATCH = 256
LOOK_S = 0.25
"""Seconds between looks for changes that nobody reports (a cap that grew, money that came back)."""
NO_CAP = 2**62


class Scheduler:
    """Keeps the queues of all teachers filled with claimed samples."""

    def __init__(
        self,
        context: Context,
        *,
        teachers: list[Teacher],
        plans: list[ActivePlan],
    ) -> None:
        self._session_id = context.session_id
        self._writer = context.writer
        self._budget = context.budget
        self._clock = context.clock
        self._bus = context.bus
        self._tracer = context.tracer
        self.teachers = teachers
        self.plans = plans
        self.closed = False
        self.closed_for_good = anyio.Event()
        """Set once no claim is in progress any more."""
        self.changed = Notifier()
        self.claim_lock = anyio.Lock(fast_acquire=True)
        """Held while claims are made; its holder may change teachers and plans."""
        self._woken = False
        self._by_name = {teacher.name: teacher for teacher in teachers}
        self.panels = Panels(context, self._next_turn, plans)
        self.budget_policy = BudgetPolicy(
            context.budget, self._by_name, plans, context.bus, self.panels.owed, self.panels.waiting
        )
        self.fallback_policy = FallbackPolicy(self._by_name, self.budget_policy.spent_out, context.bus)
        self._virtual_time = dict.fromkeys(self._by_name, 0.0)  # of the plan that each teacher served last
        self._held = HeldJobs(context.writer, context.budget)
        self._shares = CostShares(context.writer)
        self._wordings = WordingSearches(context.writer, context.bus)
        self._by_verdict = [plan for plan in plans if plan.by_need or plan.state.shared]
        context.bus.listen(self._on_event)

    async def serve(self, *, task_status: TaskStatus[None] = anyio.TASK_STATUS_IGNORED) -> None:
        """Claims until `close` was called."""
        task_status.started()
        for teacher in self.teachers:
            teacher.queue.on_low_water(self._wake)
        while not self.closed:
            self._woken = False
            with anyio.CancelScope(
                shield=True
            ):  # a claim that is on disk is in a queue, even if this is cancelled
                async with self.claim_lock:
                    for job in await self._held.adopt(self.plans):
                        self.deliver(job)
                    got = await self._round()
            if not got and not self._woken and not self.closed:
                await self.changed.wait(LOOK_S)
        self.closed_for_good.set()

    def add_teacher(self, teacher: Teacher) -> None:
        """Adds a teacher."""
        self.teachers.append(teacher)
        self._by_name[teacher.name] = teacher
        self._virtual_time[teacher.name] = 0.0
        teacher.queue.on_low_water(self._wake)

    def look_again(self) -> None:
        """Tries every plan again, after budgets or plans changed."""
        self.budget_policy.look_again()
        self.fallback_policy.look_again()
        for plan in self.plans:
            plan.state.wait_no_longer()
        self._held.look_again()
        self.hold_or_return()
        self.changed.notify()

    def deliver(self, job: Job, *, first: bool = False) -> None:
        """Queues a job at its teacher; holds it if its plan is held; gives it to another teacher if its own is disabled."""
        if job.plan.state.set_aside:
            self._held.add([job])
            return
        if job.conversation.request is None:
            self.panels.wait(job)
            return
        teacher = self._by_name[job.teacher]
        if teacher.health.disabled:
            teacher = self._other(job) or self._by_name[job.plan.teachers[0]]
        teacher.queue.push(job, first=first)

    def _next_turn(self, job: Job) -> None:
        """Queues a job that heard its panel before those that have not begun."""
        self.deliver(job, first=True)

    def hold_or_return(self) -> None:
        """After a pause or its end: takes jobs of held plans out of the queues, and returns the others."""
        for teacher in self.teachers:
            self._held.add(teacher.queue.take_out(lambda job: job.plan.state.set_aside))
        for job in self._held.take_back():
            self.deliver(job)

    def hold_plan(self, plan: ActivePlan, reason: str) -> None:
        """Sends nothing more for a plan whose settings are at fault, on any of its tasks, until the user acts."""
        for each in self.plans:
            if each.config.name == plan.config.name and each.state.hold(reason):
                self._bus.emit(events.PlanHeld(plan=each.config.name, task=each.task, reason=reason))
        self.hold_or_return()
        self.changed.notify()

    def serves_others(self, teacher: Teacher, plan: ActivePlan) -> bool:
        """Whether a teacher has work of plans with other settings than this one's."""
        return any(
            each.config.name != plan.config.name
            and teacher.name in each.all_teachers
            and not each.done
            and not each.state.set_aside
            and not self.waits(each)
            for each in self.plans
        )

    def hold_for_money(self, job: Job) -> None:
        """Holds a started job that the budget has no room for, until it has."""
        self.budget_policy.waiting.append(job)
        self.note_money(job.plan)

    def hand_over(self, parked: Teacher) -> list[tuple[Job, Teacher]]:
        """Takes out fresh jobs of a parked teacher that another one of their plan can serve; returns them with that one."""
        moved = []
        for job in parked.queue.take_out(
            lambda job: job.conversation.turn == 0 and self._other(job) is not None
        ):
            other = self._other(job)
            assert other is not None
            moved.append((job, other))
        return moved

    def _other(self, job: Job) -> Teacher | None:
        free = [teacher for teacher in self.fallback_policy.serving(job.plan) if teacher.available]
        return min(free, key=lambda teacher: teacher.queued, default=None)

    def nothing_to_claim(self, teacher: Teacher) -> bool:
        """Whether no plan has samples for this teacher for now."""
        return not self._in_turn(teacher)

    def teacher_of(self, job: Job) -> Teacher:
        """The teacher that a job is meant for."""
        return self._by_name[job.teacher]

    @property
    def busy(self) -> bool:
        """Whether claims are being written, jobs move, or plans and teachers change: the database may take its time."""
        return self.claim_lock.locked()

    def held_back(self) -> list[Job]:
        """Jobs in no queue: of held plans, or waiting for budget."""
        return self._held.jobs + self.budget_policy.waiting

    def close(self) -> None:
        """Stops claiming."""
        self.closed = True
        self.changed.notify()

    def _wake(self) -> None:
        if not self._woken:
            self._woken = True
            self.changed.notify()

    async def _round(self) -> bool:
        """Claims once for each teacher below its low-water mark; returns whether anything was claimed."""
        self._retry_for_money()
        await self._shares.look(
            {
                plan: [self._by_name[name].id for name in plan.teachers]
                for plan in self.plans
                if plan.config.share != "free"
            }
        )
        self._move_stranded()
        await self.panels.give_up_lost()
        await self._settle()
        got = await self._wordings.look(self.plans)
        for teacher in self.teachers:
            count = min(BATCH, teacher.demand)
            if count <= 0:
                continue
            for plan in self._in_turn(teacher):
                if self.closed:
                    return got
                most = self._shares.room(plan, teacher.id, self._able(plan), count)
                if most > 0 and await self._claim(plan, teacher, most):
                    got = True
                    break
        return got

    def _on_event(self, event: events.Event) -> None:
        """A sample ended: plans of its task that waited for a verdict are tried again."""
        if not isinstance(event, events.SampleStored | events.SampleFailed):
            return
        self._shares.graded(event.task)
        for plan in self._by_verdict:
            if plan.task == event.task and plan.state.verdict_came():
                self._wake()

    def _able(self, plan: ActivePlan) -> list[int]:
        """The teachers that can be asked for a plan now."""
        return [
            each.id
            for each in self.fallback_policy.serving(plan)
            if each.available and self.budget_policy.affords(plan, each)
        ]

    async def _settle(self) -> None:
        """Finds plans that are done, also while no teacher can be asked or paid."""
        self._by_verdict = [
            plan for plan in self.plans if plan.state.shared or (plan.by_need and not plan.exhausted)
        ]
        for plan in self._by_verdict:
            state = plan.state
            if state.to_look_at and not self.waits(plan):
                state.asked()
                if plan.by_need and not state.exhausted:
                    state.settled(exhausted=await self._writer.do(settle, plan.id))
                if state.exhausted:
                    state.shared_with_others(await self._writer.do(open_in_other_plans, plan.id))
                self.note_money(plan)

    def _move_stranded(self) -> None:
        """Moves fresh jobs that came back to a parked or disabled teacher to another one of their plan."""
        for teacher in self.teachers:
            if teacher.health.disabled:
                for job in teacher.queue.take_out(lambda job: job.attempt is None):
                    self.deliver(job)
                continue
            if teacher.health.parked:
                for job in teacher.queue.take_out(
                    lambda job: job.attempt is None and job.conversation.turn == 0 and bool(self._other(job))
                ):
                    other = self._other(job)
                    assert other is not None
                    other.queue.push(job)

    def _retry_for_money(self) -> None:
        waiting, self.budget_policy.waiting = self.budget_policy.waiting, []
        for job in waiting:
            teacher = self._by_name[job.teacher]
            if self.budget_policy.pays(job, teacher):
                self.deliver(job)
            elif job.conversation.turn == 0 and (other := self._payer(job)) is not None:
                other.queue.push(job)
            else:
                self.budget_policy.waiting.append(job)
        if waiting or self.budget_policy.any_short:  # one plan's claim may leave another without budget
            with self.budget_policy.steady():
                for plan in self.plans:
                    self.note_money(plan)

    def _payer(self, job: Job) -> Teacher | None:
        """Another teacher for a fresh job, if only the teacher's own budget is used up."""
        for names in job.plan.tiers:
            teachers = sorted((self._by_name[name] for name in names), key=lambda teacher: teacher.queued)
            for teacher in teachers:
                if teacher.available and self.budget_policy.pays(job, teacher):
                    return teacher
            if not all(
                teacher.health.parked or teacher.health.disabled or self.budget_policy.binds(job, teacher)
                for teacher in teachers
            ):
                return None
        return None

    def _in_turn(self, teacher: Teacher) -> list[ActivePlan]:
        """The plans that this teacher may serve, the one with the least virtual time first."""
        with self.budget_policy.steady():
            able = [
                plan
                for plan in self.plans
                if not plan.exhausted
                and not plan.state.waiting
                and not plan.state.set_aside
                and not self.waits(plan)
                and teacher.name in plan.all_teachers
                and teacher in self.fallback_policy.serving(plan)
                and self.budget_policy.affords(plan, teacher)
                and not self.held_up(plan)
            ]
        return sorted(able, key=lambda plan: plan.virtual_time)

    def waits(self, plan: ActivePlan) -> bool:
        """Whether what this plan depends on is not there yet: the plan that it `needs`, or the student that it asks."""
        return bool(plan.waits_for) or (
            plan.needs is not None and any(each.id == plan.needs and not each.done for each in self.plans)
        )

    def held_up(self, plan: ActivePlan) -> str:
        """Why a plan begins no panel now: a member cannot be asked without the user, or is far behind; empty if it may."""
        if not plan.panel or self.panels.owed(plan):
            return ""
        for each in self.budget_policy.panel_of(plan):
            teacher = self._by_name.get(each.teachers[0])
            if each.state.set_aside or teacher is None or not teacher.available:
                return f"{each.teachers[0]} cannot be asked"
        return "" if self.panels.room(plan) > 0 else "others are far behind"

    async def _claim(self, plan: ActivePlan, teacher: Teacher, count: int) -> bool:
        group, able = plan.config.per_request, self._able(plan)
        if plan.panel:
            count = min(count, self.panels.room(plan), self.budget_policy.panels(plan))
            if count <= 0:
                return False
        if not teacher.groups.one_by_one:
            count = min(count * group, max(BATCH, group))
        cost = self.budget_policy.bounds(plan, teacher)
        room = self.budget_policy.free(plan, teacher)
        most = count * (cost.most + cost.rest)
        allowance = NO_CAP if math.isinf(room) else max(0, min(int(room), most))
        held = 0 if allowance == NO_CAP else allowance
        self._budget.reserve(plan.id, teacher.id, held)
        started, began = self._clock.monotonic(), time.time_ns()
        plan.state.asked()
        got = await self._writer.do(
            claim,
            ClaimRequest(
                plan_id=plan.id,
                teacher_id=teacher.id,
                boot_id=self._session_id,
                count=count,
                allowance=allowance,
                reserve=cost.first,
                further=cost.further,
                aside=cost.rest,
                apart=teacher.groups.one_by_one,
            ),
        )
        teacher.queue.claimed(now := self._clock.monotonic(), now - started, teacher.cap)
        reserved = sum(sample.attempt.reserved_micros for sample in got.samples if sample.attempt)
        self._budget.settle(plan.id, teacher.id, held - reserved, 0)
        plan.state.answered(
            exhausted=got.exhausted,
            waiting=got.waiting,
            shared=got.exhausted and any(plan.shares(each) and each.open for each in self.plans),
        )
        plan.state.claimed(len(got.samples))
        if self._tracer is not None:
            known = {
                "coterie.plan": plan.config.name,
                "coterie.task": plan.task,
                "coterie.teacher": teacher.name,
            }
            self._tracer.claimed([each.sample_id for each in got.samples], began, time.time_ns(), known)
        if got.samples:
            self.fallback_policy.claimed(plan, teacher)
            self._shares.claimed(plan, teacher.id, len(got.samples), able)
            self._virtual_time[teacher.name] = max(plan.virtual_time, self._virtual_time[teacher.name])
            plan.virtual_time = self._virtual_time[teacher.name] + len(got.samples) / plan.config.weight
        for _, samples in groupby(got.samples, lambda each: each.attempt and each.attempt.request_id):
            job = together([job_of(sample, plan) for sample in samples])
            self.panels.begun(job)
            teacher.queue.push(job)
        left = allowance - reserved - cost.rest * len(got.samples)
        self.budget_policy.claimed(plan, teacher, left if got.short_of_money else None)
        self.note_money(plan)
        return bool(got.samples)

    def note_money(self, plan: ActivePlan) -> None:
        """Looks whether a plan is short of money now."""
        over = plan.exhausted or plan.state.waiting or self.waits(plan)
        self.budget_policy.note(
            plan,
            [] if over else [teacher for teacher in self.fallback_policy.serving(plan) if teacher.available],
        )
