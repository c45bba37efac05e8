"""Claims samples for desks that have room: fair between plans, within the money, never more than is sent soon.

Weighted round robin: of the plans a desk may serve, the one that had least for its weight is next; none
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
from daemon.host.notify import Signal
from daemon.sampling.affordability import Purse
from daemon.sampling.budget import Ledger
from daemon.sampling.cost_bounds import job_of
from daemon.sampling.fallback import Tiers
from daemon.sampling.jobs import Job, together
from daemon.sampling.plans import ActivePlan
from daemon.sampling.teacher import Desk
from state.catalog import adopt_samples
from state.claims import ClaimRequest, claim, settle
from state.slots import out_elsewhere
from state.writer import Writer

BATCH = 256
LOOK_S = 0.25
"""What is not told of (a cap that grew, money given back) is seen so late."""
NO_CAP = 2**62


class Claimer:
    """Keeps the queues of all desks filled."""

    def __init__(
        self,
        *,
        boot_id: int,
        writer: Writer,
        ledger: Ledger,
        bus: events.Bus,
        clock: Clock,
        desks: list[Desk],
        plans: list[ActivePlan],
    ) -> None:
        self._boot_id = boot_id
        self._writer = writer
        self._ledger = ledger
        self._bus = bus
        self._clock = clock
        self.desks = desks
        self.plans = plans
        self.closed = False
        self.closed_for_good = anyio.Event()
        """Set once no claim is under way any more."""
        self.changed = Signal()
        self.settling = False
        """Whether it is being looked at if plans are done: the database may take its time."""
        self.still = anyio.Lock(fast_acquire=True)
        """Held while claims are made: who holds it may change desks and plans."""
        self._woken = False
        self._by_name = {desk.name: desk for desk in desks}
        self.purse = Purse(ledger, self._by_name, plans, bus)
        self.tiers = Tiers(self._by_name, self.purse.spent_out, bus)
        self._turn = dict.fromkeys(self._by_name, 0.0)  # the place of the plan that each desk served last
        self._held: list[Job] = []  # of paused plans
        self._by_verdict = [plan for plan in plans if plan.by_need or plan.shared_out]
        bus.listen(self._heard)

    async def serve(self, *, task_status: TaskStatus[None] = anyio.TASK_STATUS_IGNORED) -> None:
        """Claims until `close` was called."""
        task_status.started()
        for desk in self.desks:
            desk.on_hunger = self._wake
        while not self.closed:
            self._woken = False
            with anyio.CancelScope(shield=True):  # what a claim wrote down is known to us, whatever ends
                async with self.still:
                    await self._adopt()
                    got = await self._round()
            if not got and not self._woken and not self.closed:
                await self.changed.wait(LOOK_S)
        self.closed_for_good.set()

    def add_desk(self, desk: Desk) -> None:
        """A teacher that came later."""
        self.desks.append(desk)
        self._by_name[desk.name] = desk
        self._turn[desk.name] = 0.0
        desk.on_hunger = self._wake

    def look_again(self) -> None:
        """After other caps or plans: everyone is asked anew for what the money did not reach before."""
        self.purse.look_again()
        self.tiers.look_again()
        for plan in self.plans:
            plan.waiting = False
        self.hold_or_return()
        self.changed.notify()

    def deliver(self, job: Job) -> None:
        """Queues a job at its desk; one of a paused plan is held, one of a teacher that is gone goes to another."""
        if job.plan.held:
            self._held.append(job)
            return
        desk = self._by_name[job.teacher]
        if desk.retired:
            desk = self._other(job) or self._by_name[job.plan.teachers[0]]
        desk.push(job)

    def hold_or_return(self) -> None:
        """After a pause or its end: jobs of paused plans leave the queues, others come back."""
        for desk in self.desks:
            self._held += desk.take_out(lambda job: job.plan.held)
        back = [job for job in self._held if not job.plan.held]
        self._held = [job for job in self._held if job.plan.held]
        for job in back:
            self.deliver(job)

    def hold_for_money(self, job: Job) -> None:
        """Keeps a begun job for which the money does not reach, until it does."""
        self.purse.waiting.append(job)
        self._note_money(job.plan)

    def hand_over(self, parked: Desk) -> list[tuple[Job, Desk]]:
        """Fresh jobs of a parked teacher that another teacher of their plan can take, and which one."""
        moved = []
        for job in parked.take_out(lambda job: job.conversation.turn == 0 and self._other(job) is not None):
            other = self._other(job)
            assert other is not None
            moved.append((job, other))
        return moved

    def _other(self, job: Job) -> Desk | None:
        free = [desk for desk in self.tiers.serving(job.plan) if desk.available]
        return min(free, key=lambda desk: desk.queued, default=None)

    def dry(self, desk: Desk) -> bool:
        """Whether no plan has anything more to give to this desk for now."""
        return not self._in_turn(desk)

    def desk_of(self, job: Job) -> Desk:
        """The desk of a job's teacher."""
        return self._by_name[job.teacher]

    def held_back(self) -> list[Job]:
        """Jobs that are in no queue: of paused plans, or waiting for money."""
        return self._held + self.purse.waiting

    def close(self) -> None:
        """No further claim is made."""
        self.closed = True
        self.changed.notify()

    def _wake(self) -> None:
        if not self._woken:
            self._woken = True
            self.changed.notify()

    async def _round(self) -> bool:
        """One claim for every hungry desk; whether any brought samples."""
        self._retry_for_money()
        self._move_stranded()
        await self._settle()
        got = False
        for desk in self.desks:
            count = min(BATCH, desk.appetite)
            if count <= 0:
                continue
            for plan in self._in_turn(desk):
                if self.closed:
                    return got
                if await self._claim(plan, desk, count):
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
                    plan.shared_out = await self._writer.do(out_elsewhere, plan.id)
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
        for desk in self.desks:
            if desk.retired:
                for job in desk.take_out(lambda job: job.attempt is None):
                    self.deliver(job)
                continue
            if desk.parked:
                for job in desk.take_out(
                    lambda job: job.attempt is None and job.conversation.turn == 0 and bool(self._other(job))
                ):
                    other = self._other(job)
                    assert other is not None
                    other.push(job)

    def _retry_for_money(self) -> None:
        waiting, self.purse.waiting = self.purse.waiting, []
        for job in waiting:
            desk = self._by_name[job.teacher]
            if self.purse.pays(job, desk):
                self.deliver(job)
            elif job.conversation.turn == 0 and (other := self._payer(job)) is not None:
                other.push(job)
            else:
                self.purse.waiting.append(job)
        if waiting or self.purse.any_short:  # what one plan got, another one may be short of
            for plan in self.plans:
                self._note_money(plan)

    def _payer(self, job: Job) -> Desk | None:
        """Another teacher for a fresh job, where it is the teacher's own budget that does not reach."""
        for names in job.plan.tiers:
            desks = sorted((self._by_name[name] for name in names), key=lambda desk: desk.queued)
            for desk in desks:
                if desk.available and self.purse.pays(job, desk):
                    return desk
            if not all(desk.parked or desk.retired or self.purse.binds(job, desk) for desk in desks):
                return None
        return None

    def _in_turn(self, desk: Desk) -> list[ActivePlan]:
        """The plans that this desk may serve, the next one first."""
        able = [
            plan
            for plan in self.plans
            if not plan.exhausted
            and not plan.waiting
            and not plan.paused
            and not self.waits(plan)
            and desk.name in plan.everyone
            and desk in self.tiers.serving(plan)
            and self.purse.affords(plan, desk)
        ]
        return sorted(able, key=lambda plan: plan.passes)

    def waits(self, plan: ActivePlan) -> bool:
        """Whether the plan that comes before this one is not done yet."""
        return plan.needs is not None and any(each.id == plan.needs and not each.done for each in self.plans)

    async def _claim(self, plan: ActivePlan, desk: Desk, count: int) -> bool:
        group = plan.config.per_request
        if not desk.one_by_one:
            count = min(count * group, max(BATCH, group))
        cost = self.purse.bounds(plan, desk)
        room = self.purse.free(plan, desk)
        most = count * (cost.most + cost.rest)
        allowance = NO_CAP if math.isinf(room) else max(0, min(int(room), most))
        held = 0 if allowance == NO_CAP else allowance
        self._ledger.reserve(plan.id, desk.id, held)
        started = self._clock.monotonic()
        plan.unsettled = False
        got = await self._writer.do(
            claim,
            ClaimRequest(
                plan_id=plan.id,
                teacher_id=desk.id,
                boot_id=self._boot_id,
                count=count,
                allowance=allowance,
                reserve=cost.first,
                further=cost.further,
                aside=cost.rest,
                apart=desk.one_by_one,
            ),
        )
        desk.claimed(now := self._clock.monotonic(), now - started)
        reserved = sum(sample.attempt.reserved_micros for sample in got.samples if sample.attempt)
        self._ledger.settle(plan.id, desk.id, held - reserved, 0)
        plan.exhausted = got.exhausted
        if plan.exhausted:  # it is looked at again whether all that it asks for is in
            plan.shared_out |= any(plan.shares(each) and each.open for each in self.plans)
            plan.unsettled |= plan.shared_out
        plan.waiting = got.waiting and not plan.unsettled
        plan.open += len(got.samples)
        if got.samples:
            self.tiers.claimed(plan, desk)
            self._turn[desk.name] = max(plan.passes, self._turn[desk.name])
            plan.passes = self._turn[desk.name] + len(got.samples) / plan.config.weight
        for _, samples in groupby(got.samples, lambda each: each.attempt and each.attempt.request_id):
            desk.push(together([job_of(sample, plan) for sample in samples]))
        self.purse.claimed(plan, desk, too_little=got.short_of_money)
        self._note_money(plan)
        return bool(got.samples)

    def _note_money(self, plan: ActivePlan) -> None:
        over = plan.exhausted or plan.waiting or self.waits(plan)
        self.purse.note(plan, [] if over else [desk for desk in self.tiers.serving(plan) if desk.available])
