"""Claims samples for teachers that have room: fair between plans, within the money, never more than is sent soon.

Weighted round robin: of the plans a teacher may serve, the one that had least for its weight is next; none
starves. One that had nothing to do for a while (paused, or short of money) takes its place beside the
others: it does not catch up at their cost. A plan for which the money does not reach holds no other
up, and is asked again once there is more. A claim is one item of a group commit, so claims for several
plans share a transaction.

A plan whose next claim depends on verdicts that are out waits for them (`waiting`), and is asked again when
a sample of its task ends. Which of a plan's teachers may serve it is decided in `daemon/sampling/fallback.py`.
"""

from __future__ import annotations

import math
from itertools import groupby

import anyio
from anyio.abc import TaskStatus

from daemon import events
from daemon.host.clock import Clock
from daemon.host.notify import Notifier
from daemon.sampling.affordability import BudgetPolicy
from daemon.sampling.budget import Ledger
from daemon.sampling.cost_bounds import job_of
from daemon.sampling.fallback import FallbackPolicy
from daemon.sampling.jobs import Job, together
from daemon.sampling.plans import ActivePlan
from daemon.sampling.teacher import Teacher
from state.catalog import adopt_samples
from state.claims import ClaimRequest, claim, settle
from state.slots import open_in_other_plans
from state.writer import Writer

BATCH = 256
LOOK_S = 0.25
"""What is not told of (a cap that grew, money given back) is seen so late."""
NO_CAP = 2**62


class Scheduler:
    """Keeps the queues of all teachers filled."""

    def __init__(
        self,
        *,
        boot_id: int,
        writer: Writer,
        ledger: Ledger,
        bus: events.Bus,
        clock: Clock,
        teachers: list[Teacher],
        plans: list[ActivePlan],
    ) -> None:
        self._boot_id = boot_id
        self._writer = writer
        self._ledger = ledger
        self._bus = bus
        self._clock = clock
        self.teachers = teachers
        self.plans = plans
        self.closed = False
        self.closed_for_good = anyio.Event()
        """Set once no claim is under way any more."""
        self.changed = Notifier()
        self.settling = False
        """Whether it is being looked at if plans are done: the database may take its time."""
        self.still = anyio.Lock(fast_acquire=True)
        """Held while claims are made: who holds it may change teachers and plans."""
        self._woken = False
        self._by_name = {teacher.name: teacher for teacher in teachers}
        self.budget_policy = BudgetPolicy(ledger, self._by_name, plans, bus)
        self.tiers = FallbackPolicy(self._by_name, self.budget_policy.spent_out, bus)
        self._turn = dict.fromkeys(self._by_name, 0.0)  # the place of the plan that each teacher served last
        self._held: list[Job] = []  # of paused plans
        self._by_verdict = [plan for plan in plans if plan.by_need or plan.shared_out]
        bus.listen(self._heard)

    async def serve(self, *, task_status: TaskStatus[None] = anyio.TASK_STATUS_IGNORED) -> None:
        """Claims until `close` was called."""
        task_status.started()
        for teacher in self.teachers:
            teacher.on_low_water = self._wake
        while not self.closed:
            self._woken = False
            with anyio.CancelScope(shield=True):  # what a claim wrote down is known to us, whatever ends
                async with self.still:
                    await self._adopt()
                    got = await self._round()
            if not got and not self._woken and not self.closed:
                await self.changed.wait(LOOK_S)
        self.closed_for_good.set()

    def add_teacher(self, teacher: Teacher) -> None:
        """A teacher that came later."""
        self.teachers.append(teacher)
        self._by_name[teacher.name] = teacher
        self._turn[teacher.name] = 0.0
        teacher.on_low_water = self._wake

    def look_again(self) -> None:
        """After other caps or plans: everyone is asked anew for what the money did not reach before."""
        self.budget_policy.look_again()
        self.tiers.look_again()
        for plan in self.plans:
            plan.waiting = False
        self.hold_or_return()
        self.changed.notify()

    def deliver(self, job: Job) -> None:
        """Queues a job at its teacher; one of a paused plan is held, one of a teacher that is gone goes to another."""
        if job.plan.held:
            self._held.append(job)
            return
        teacher = self._by_name[job.teacher]
        if teacher.retired:
            teacher = self._other(job) or self._by_name[job.plan.teachers[0]]
        teacher.push(job)

    def hold_or_return(self) -> None:
        """After a pause or its end: jobs of paused plans leave the queues, others come back."""
        for teacher in self.teachers:
            self._held += teacher.take_out(lambda job: job.plan.held)
        back = [job for job in self._held if not job.plan.held]
        self._held = [job for job in self._held if job.plan.held]
        for job in back:
            self.deliver(job)

    def hold_for_money(self, job: Job) -> None:
        """Keeps a begun job for which the money does not reach, until it does."""
        self.budget_policy.waiting.append(job)
        self._note_money(job.plan)

    def hand_over(self, parked: Teacher) -> list[tuple[Job, Teacher]]:
        """Fresh jobs of a parked teacher that another teacher of their plan can take, and which one."""
        moved = []
        for job in parked.take_out(lambda job: job.conversation.turn == 0 and self._other(job) is not None):
            other = self._other(job)
            assert other is not None
            moved.append((job, other))
        return moved

    def _other(self, job: Job) -> Teacher | None:
        free = [teacher for teacher in self.tiers.serving(job.plan) if teacher.available]
        return min(free, key=lambda teacher: teacher.queued, default=None)

    def dry(self, teacher: Teacher) -> bool:
        """Whether no plan has anything more to give to this teacher for now."""
        return not self._in_turn(teacher)

    def teacher_of(self, job: Job) -> Teacher:
        """The teacher of a job's teacher."""
        return self._by_name[job.teacher]

    def held_back(self) -> list[Job]:
        """Jobs that are in no queue: of paused plans, or waiting for money."""
        return self._held + self.budget_policy.waiting

    def close(self) -> None:
        """No further claim is made."""
        self.closed = True
        self.changed.notify()

    def _wake(self) -> None:
        if not self._woken:
            self._woken = True
            self.changed.notify()

    async def _round(self) -> bool:
        """One claim for every hungry teacher; whether any brought samples."""
        self._retry_for_money()
        self._move_stranded()
        await self._settle()
        got = False
        for teacher in self.teachers:
            count = min(BATCH, teacher.demand)
            if count <= 0:
                continue
            for plan in self._in_turn(teacher):
                if self.closed:
                    return got
                if await self._claim(plan, teacher, count):
                    got = True
                    break
        return got

    def _heard(self, event: events.Happened) -> None:
        """A sample ended: plans of its task that waited for it are asked again."""
        if not isinstance(event, events.SampleStored | events.SampleFailed):
            return
        for plan in self._by_verdict:
            if plan.task == event.task:
                plan.unsettled = True
                if plan.waiting:
                    plan.waiting = False
                    self._wake()

    async def _settle(self) -> None:
        """Plans that need nothing more are done, also while no teacher can be asked or paid."""
        self._by_verdict = [
            plan for plan in self.plans if plan.shared_out or (plan.by_need and not plan.exhausted)
        ]
        for plan in self._by_verdict:
            if plan.unsettled and plan.open == 0 and not self.waits(plan):
                self.settling, plan.unsettled = True, False
                if plan.by_need and not plan.exhausted:
                    plan.exhausted = await self._writer.do(settle, plan.id)
                if plan.exhausted:
                    plan.shared_out = await self._writer.do(open_in_other_plans, plan.id)
                self._note_money(plan)
        self.settling = False

    async def _adopt(self) -> None:
        """Held jobs of a plan that is gone go on with one that asks for the same (it was renamed)."""
        if not any(job.plan.retired for job in self._held):
            return
        self._held = [
            each
            for job in self._held
            for each in (job.apart() if job.plan.retired and job.attempt is None else [job])
        ]
        moved: list[tuple[Job, ActivePlan]] = []
        for job in self._held:
            plan = job.plan
            heir = next((each for each in self.plans if each.shares(plan)), None) if plan.retired else None
            if heir is not None and job.attempt is None and job.replicate < heir.config.most:
                moved.append((job, heir))
        gone = {job for job, _ in moved}
        self._held = [job for job in self._held if job not in gone]
        async with anyio.create_task_group() as group:
            for job, heir in moved:
                group.start_soon(self._writer.do, adopt_samples, (heir.id, job.sample_id))
        for job, heir in moved:
            job.plan.open -= 1
            heir.open += 1
            job.plan = heir
            self.deliver(job)

    def _move_stranded(self) -> None:
        """Fresh jobs that came back to a teacher after it was parked go to another one of their plan."""
        for teacher in self.teachers:
            if teacher.retired:
                for job in teacher.take_out(lambda job: job.attempt is None):
                    self.deliver(job)
                continue
            if teacher.parked:
                for job in teacher.take_out(
                    lambda job: job.attempt is None and job.conversation.turn == 0 and bool(self._other(job))
                ):
                    other = self._other(job)
                    assert other is not None
                    other.push(job)

    def _retry_for_money(self) -> None:
        waiting, self.budget_policy.waiting = self.budget_policy.waiting, []
        for job in waiting:
            teacher = self._by_name[job.teacher]
            if self.budget_policy.pays(job, teacher):
                self.deliver(job)
            elif job.conversation.turn == 0 and (other := self._payer(job)) is not None:
                other.push(job)
            else:
                self.budget_policy.waiting.append(job)
        if waiting or self.budget_policy.any_short:  # what one plan got, another one may be short of
            for plan in self.plans:
                self._note_money(plan)

    def _payer(self, job: Job) -> Teacher | None:
        """Another teacher for a fresh job, where it is the teacher's own budget that does not reach."""
        for names in job.plan.tiers:
            teachers = sorted((self._by_name[name] for name in names), key=lambda teacher: teacher.queued)
            for teacher in teachers:
                if teacher.available and self.budget_policy.pays(job, teacher):
                    return teacher
            if not all(
                teacher.parked or teacher.retired or self.budget_policy.binds(job, teacher)
                for teacher in teachers
            ):
                return None
        return None

    def _in_turn(self, teacher: Teacher) -> list[ActivePlan]:
        """The plans that this teacher may serve, the next one first."""
        able = [
            plan
            for plan in self.plans
            if not plan.exhausted
            and not plan.waiting
            and not plan.paused
            and not self.waits(plan)
            and teacher.name in plan.everyone
            and teacher in self.tiers.serving(plan)
            and self.budget_policy.affords(plan, teacher)
        ]
        return sorted(able, key=lambda plan: plan.passes)

    def waits(self, plan: ActivePlan) -> bool:
        """Whether the plan that comes before this one is not done yet."""
        return plan.needs is not None and any(each.id == plan.needs and not each.done for each in self.plans)

    async def _claim(self, plan: ActivePlan, teacher: Teacher, count: int) -> bool:
        group = plan.config.per_request
        if not teacher.one_by_one:
            count = min(count * group, max(BATCH, group))
        cost = self.budget_policy.bounds(plan, teacher)
        room = self.budget_policy.free(plan, teacher)
        most = count * (cost.most + cost.rest)
        allowance = NO_CAP if math.isinf(room) else max(0, min(int(room), most))
        held = 0 if allowance == NO_CAP else allowance
        self._ledger.reserve(plan.id, teacher.id, held)
        started = self._clock.monotonic()
        plan.unsettled = False
        got = await self._writer.do(
            claim,
            ClaimRequest(
                plan_id=plan.id,
                teacher_id=teacher.id,
                boot_id=self._boot_id,
                count=count,
                allowance=allowance,
                reserve=cost.first,
                further=cost.further,
                aside=cost.rest,
                apart=teacher.one_by_one,
            ),
        )
        teacher.claimed(now := self._clock.monotonic(), now - started)
        reserved = sum(sample.attempt.reserved_micros for sample in got.samples if sample.attempt)
        self._ledger.settle(plan.id, teacher.id, held - reserved, 0)
        plan.exhausted = got.exhausted
        if plan.exhausted:  # it is looked at again whether all that it asks for is in
            plan.shared_out |= any(plan.shares(each) and each.open for each in self.plans)
            plan.unsettled |= plan.shared_out
        plan.waiting = got.waiting and not plan.unsettled
        plan.open += len(got.samples)
        if got.samples:
            self.tiers.claimed(plan, teacher)
            self._turn[teacher.name] = max(plan.passes, self._turn[teacher.name])
            plan.passes = self._turn[teacher.name] + len(got.samples) / plan.config.weight
        for _, samples in groupby(got.samples, lambda each: each.attempt and each.attempt.request_id):
            teacher.push(together([job_of(sample, plan) for sample in samples]))
        self.budget_policy.claimed(plan, teacher, too_little=got.short_of_money)
        self._note_money(plan)
        return bool(got.samples)

    def _note_money(self, plan: ActivePlan) -> None:
        over = plan.exhausted or plan.waiting or self.waits(plan)
        self.budget_policy.note(
            plan, [] if over else [teacher for teacher in self.tiers.serving(plan) if teacher.available]
        )
