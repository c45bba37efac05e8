"""Claims samples for desks that have room: fair between plans, within the money, never more than is sent soon.

Weighted round robin: of the plans a desk may serve, the one that had least for its weight is next; none
starves. One that had nothing to do for a while (paused, or short of money) takes its place beside the
others: it does not catch up at their cost. A plan for which the money does not reach holds no other
up, and is asked again once there is more. A claim is one item of a group commit, so claims for several
plans share a transaction.

A plan whose next claim depends on verdicts that are out waits for them (`waiting`), and is asked again when
a sample of its task ends. Which of a plan's teachers may serve it is decided in `daemon/tiers.py`.
"""

from __future__ import annotations

import math
from itertools import groupby

import anyio
from anyio.abc import TaskStatus

from daemon import events
from daemon.clock import Clock
from daemon.crossings import Crossings
from daemon.desk import Desk
from daemon.jobs import Job, bound_tokens, together
from daemon.ledger import Ledger
from daemon.plans import ActivePlan
from daemon.signals import Signal
from daemon.starting import FRAME, further_turns, job_of, start
from daemon.tiers import Tiers
from engine.teachers.tokens import estimate_prompt, estimate_tokens
from state.catalog import adopt_samples
from state.claims import ClaimRequest, claim, settle
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
        self.short: dict[int, str] = {}
        """Plans whose next request a cap leaves no room for: plan id to the cap, in a person's words."""
        self.still = anyio.Lock(fast_acquire=True)
        """Held while claims are made: who holds it may change desks and plans."""
        self._woken = False
        self._by_name = {desk.name: desk for desk in desks}
        self.tiers = Tiers(self._by_name, self._spent_out, bus)
        self._turn = dict.fromkeys(self._by_name, 0.0)  # the place of the plan that each desk served last
        self._too_little: dict[tuple[int, str], float] = {}  # money left when it last was too little
        self._need: dict[tuple[int, str], int] = {}  # the most that a sample may cost
        self._rest: dict[tuple[int, str], int] = {}  # of it, what follows the first turn
        self._crossings = Crossings(ledger, bus)
        self._held: list[Job] = []  # of paused plans
        self._by_need = [plan for plan in plans if plan.by_need]
        self._waiting_for_money: list[Job] = []
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
        self._too_little.clear()
        self.tiers.look_again()
        for plan in self.plans:
            plan.waiting = False
        ids = {plan.id for plan in self.plans}
        self.short = {key: which for key, which in self.short.items() if key in ids}
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
        self._waiting_for_money.append(job)
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
        return self._held + self._waiting_for_money

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
        """A sample ended: plans of its task that waited for verdicts are asked again."""
        if not isinstance(event, events.SampleStored | events.SampleFailed):
            return
        for plan in self._by_need:
            if plan.task == event.task:
                plan.unsettled = True
                if plan.waiting:
                    plan.waiting = False
                    self._wake()

    async def _settle(self) -> None:
        """Plans that need nothing more are done, also while no teacher can be asked or paid."""
        self._by_need = [plan for plan in self.plans if plan.by_need and not plan.exhausted]
        for plan in self._by_need:
            if plan.unsettled and plan.open == 0 and not self.waits(plan):
                plan.unsettled = False
                plan.exhausted = await self._writer.do(settle, plan.id)
                self._note_money(plan)

    async def _adopt(self) -> None:
        """Held jobs of a plan that is gone go on with one that asks for the same (it was renamed)."""
        if not any(job.plan.retired for job in self._held):
            return
        self._held = [
            each
            for job in self._held
            for each in (job.apart() if job.plan.retired and job.attempt is None else [job])
        ]
        heirs = {(plan.task_id, plan.config.split, plan.recipe): plan for plan in self.plans}
        moved: list[tuple[Job, ActivePlan]] = []
        for job in self._held:
            plan = job.plan
            heir = heirs.get((plan.task_id, plan.config.split, plan.recipe)) if plan.retired else None
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
        waiting, self._waiting_for_money = self._waiting_for_money, []
        for job in waiting:
            desk = self._by_name[job.teacher]
            if job.bound(desk.price) <= self._ledger.room(job.plan.id, desk.id):
                self.deliver(job)
            elif job.conversation.turn == 0 and (other := self._payer(job)) is not None:
                other.push(job)
            else:
                self._waiting_for_money.append(job)
        if waiting or self.short or self._too_little:  # what one plan got, another one may be short of
            for plan in self.plans:
                self._note_money(plan)

    def _payer(self, job: Job) -> Desk | None:
        """Another teacher for a fresh job, where it is the teacher's own budget that does not reach."""
        for names in job.plan.tiers:
            desks = sorted((self._by_name[name] for name in names), key=lambda desk: desk.queued)
            for desk in desks:
                if desk.available and job.bound(desk.price) <= self._ledger.room(job.plan.id, desk.id):
                    return desk
            binds = self._ledger.binds_teacher
            if not all(
                desk.parked or desk.retired or binds(job.plan.id, desk.id, job.bound(desk.price))
                for desk in desks
            ):
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
            and self._affords(plan, desk)
        ]
        return sorted(able, key=lambda plan: plan.passes)

    def waits(self, plan: ActivePlan) -> bool:
        """Whether the plan that comes before this one is not done yet."""
        return plan.needs is not None and any(each.id == plan.needs and not each.done for each in self.plans)

    async def _claim(self, plan: ActivePlan, desk: Desk, count: int) -> bool:
        group = plan.config.per_request
        if not desk.one_by_one:
            count = min(count * group, max(BATCH, group))
        request = start(plan, "", plan.gold).request
        assert request is not None
        output = request.max_tokens
        frame = estimate_prompt(request) + 1  # what stands around a question; one more for what is rounded

        def reserve(question: str) -> int:
            return desk.price.bound(bound_tokens(frame + estimate_tokens(question)), output)

        most = desk.price.bound(bound_tokens(plan.longest + max(FRAME, frame)), output)
        rest = self._rest[plan.id, desk.name] = further_turns(plan, desk.price)
        self._need[plan.id, desk.name] = most + rest
        room = self._free(plan, desk)
        share = most / (most + rest) if rest else 1.0  # of the room, for first turns
        allowance = NO_CAP if math.isinf(room) else max(0, min(int(room * share), count * most))
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
                reserve=reserve,
                further=desk.price.bound(0, output),
                apart=desk.one_by_one,
            ),
        )
        desk.claimed(now := self._clock.monotonic(), now - started)
        reserved = sum(sample.attempt.reserved_micros for sample in got.samples if sample.attempt)
        self._ledger.settle(plan.id, desk.id, held - reserved, 0)
        plan.exhausted = got.exhausted
        plan.waiting = got.waiting and not plan.unsettled
        plan.open += len(got.samples)
        if got.samples:
            self.tiers.claimed(plan, desk)
            self._turn[desk.name] = max(plan.passes, self._turn[desk.name])
            plan.passes = self._turn[desk.name] + len(got.samples) / plan.config.weight
        for _, samples in groupby(got.samples, lambda each: each.attempt and each.attempt.request_id):
            desk.push(together([job_of(sample, plan) for sample in samples]))
        if got.short_of_money:
            self._too_little[plan.id, desk.name] = self._free(plan, desk)
        else:
            self._too_little.pop((plan.id, desk.name), None)
        self._note_money(plan)
        return bool(got.samples)

    def _affords(self, plan: ActivePlan, desk: Desk) -> bool:
        """Whether the next claim may fit: there is more money than when it last did not."""
        return self._free(plan, desk) > self._too_little.get((plan.id, desk.name), -math.inf)

    def _spent_out(self, plan: ActivePlan, desk: Desk) -> bool:
        """Whether a teacher's own budget leaves no room for a further request of a plan."""
        return not self._affords(plan, desk) and self._ledger.binds_teacher(
            plan.id, desk.id, self._needed(plan, desk)
        )

    def _free(self, plan: ActivePlan, desk: Desk) -> float:
        """Room for new samples: begun ones have further turns, which must not want for money."""
        return self._ledger.room(plan.id, desk.id) - plan.open * self._rest.get((plan.id, desk.name), 0)

    def _needed(self, plan: ActivePlan, desk: Desk) -> int:
        """The most that a further sample, and what is left of begun ones, may cost."""
        key = plan.id, desk.name
        return self._need.get(key, 0) + plan.open * self._rest.get(key, 0)

    def _note_money(self, plan: ActivePlan) -> None:
        """Whether a plan is short: one of its begun samples waits for money, or no teacher's claim can be paid."""
        if job := next((job for job in self._waiting_for_money if job.plan is plan), None):
            at = self._by_name[job.teacher]
            need = job.bound(at.price)
        else:
            over = plan.exhausted or plan.waiting or self.waits(plan)
            desks = [] if over else [desk for desk in self.tiers.serving(plan) if desk.available]
            if not desks or any(self._affords(plan, desk) for desk in desks):
                self.short.pop(plan.id, None)
                return
            at = desks[0]
            need = self._needed(plan, at)
        self.short[plan.id] = self._ledger.binding(plan.id, at.id)
        self._crossings.note(plan.id, at.id, need)
