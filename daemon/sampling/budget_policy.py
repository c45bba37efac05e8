"""The scheduler's budget policy: whether a plan's next samples can be paid, and which budget a plan waits for.

A new sample is started only if the budget covers all of its turns, beside what the further turns of started
samples (of any plan under the same budget) may cost, so no sample is paid for halfway. The amount that is set aside
is reserved when its turn comes. Reserved money may come back, so a plan can be `short` for a moment;
it is `spent` when even that would not be enough. Where prices are not configured and a provider states what it bills,
nothing is reserved: then no more is claimed once a budget is overdrawn.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field

from daemon import events
from daemon.sampling.budget import NONE, Account, Budget, PerAccount
from daemon.sampling.cost_bounds import Bounds, bounds
from daemon.sampling.jobs import Job
from daemon.sampling.plans import ActivePlan
from daemon.sampling.teacher import Teacher

NO_LIMIT = 2**31


@dataclass(slots=True)
class _SetAsides:
    """What is set aside for all that was begun, in micro-dollars."""

    total: int = 0
    teachers: Counter[str] = field(default_factory=Counter)
    plans: dict[int, int] = field(default_factory=dict)

    def beside(self, plan: ActivePlan, teacher: Teacher) -> PerAccount:
        """In the accounts of a plan's requests to a teacher."""
        return PerAccount(self.total, self.teachers[teacher.name], self.plans.get(plan.id, 0))


class BudgetPolicy:
    """Reads the budget; reservations are made by those who claim and send."""

    def __init__(
        self,
        budget: Budget,
        teachers: Mapping[str, Teacher],
        plans: Sequence[ActivePlan],
        bus: events.Bus,
        owed: Callable[[ActivePlan], int] = lambda plan: 0,
    ) -> None:
        """Changes nothing.

        Args:
            budget: the accounts.
            teachers: by name; read anew each time, like the plans.
            plans: the plans at work.
            bus: gets the events.
            owed: the questions that others of a plan's panel have begun, and the plan has not.
        """
        self._owed = owed
        self._budget = budget
        self._teachers = teachers
        self._plans = plans
        self._alerts = BudgetAlerts(budget, bus)
        self._bounds: dict[tuple[int, str], Bounds] = {}  # by plan and teacher, as they are configured now
        self._steady = False
        self._sums: _SetAsides | None = None  # while `steady`
        self._panel_of: dict[int, list[ActivePlan]] = {}  # by plan
        self._too_little: dict[tuple[int, str], float] = {}  # what was free when it last was too little
        self.short: dict[int, Account] = {}
        """Plans whose next request does not fit a budget."""
        self.spent: dict[int, Account] = {}
        """Those of them for which no reservation that comes back changes this."""
        self.waiting: list[Job] = []
        """Started jobs that the budget has no room for."""

    @contextmanager
    def steady(self) -> Iterator[None]:
        """For looks at many plans at once, between which nothing is claimed and nothing ends: adds up what is set aside once."""
        self._steady = True
        try:
            yield
        finally:
            self._steady, self._sums = False, None

    def look_again(self) -> None:
        """After budgets, prices or plans changed: tries everything again."""
        self._too_little.clear()
        self._bounds.clear()
        self._panel_of.clear()
        ids = {plan.id for plan in self._plans}
        for gone in self.short.keys() - ids:
            self._has_money(gone)

    @property
    def any_short(self) -> bool:
        """Whether any plan is short, or was at its last claim."""
        return bool(self.short or self._too_little)

    def bounds(self, plan: ActivePlan, teacher: Teacher) -> Bounds:
        """The most that a sample of the plan may cost at this teacher."""
        found = self._bounds.get((plan.id, teacher.name))
        if found is None:
            found = self._bounds[plan.id, teacher.name] = bounds(plan, teacher.tokens.price)
        return found

    def free(self, plan: ActivePlan, teacher: Teacher) -> float:
        """Room for new samples, in micro-dollars, beside what is set aside for started ones."""
        room = self._budget.room(plan.id, teacher.id)
        if math.isinf(room):
            return room
        owed = self._owed(plan) * self._whole(plan)  # set aside for this claim
        kept = self._set_asides().beside(plan, teacher)
        return min(self._budget.free_apart(plan.id, teacher.id, kept)) + owed

    def panel_of(self, plan: ActivePlan) -> list[ActivePlan]:
        """The plans of a panel's members, one each."""
        found = self._panel_of.get(plan.id)
        if found is None:
            members = {each.member: each for each in self._plans if each.same_panel(plan)}
            found = self._panel_of[plan.id] = list((members | {plan.member: plan}).values())
        return found

    def panels(self, plan: ActivePlan) -> int:
        """How many panels the budgets cover, with all turns of all members; of those begun by others, all.

        So no panel is begun whose other members have no money left.
        """
        return self._owed(plan) or min(count for count, *_ in self._panels_by_member(plan))

    def _panels_by_member(self, plan: ActivePlan) -> list[tuple[int, ActivePlan, Teacher]]:
        """How many further panels the accounts of each member cover; the total is divided among the members."""
        members = [
            (each, self._teachers[each.teachers[0]])
            for each in self.panel_of(plan)
            if each.teachers[0] in self._teachers
        ]
        if all(math.isinf(self._budget.room(each.id, teacher.id)) for each, teacher in members):
            return [(NO_LIMIT, *member) for member in members]
        all_of_it = sum(self._whole(each) for each, _ in members)
        set_asides = self._set_asides()
        found = []
        for each, teacher in members:
            total, own = self._budget.free_apart(each.id, teacher.id, set_asides.beside(each, teacher))
            found.append((min(_fits(total, all_of_it), _fits(own, self._whole(each))), each, teacher))
        return found

    def claimed(self, plan: ActivePlan, teacher: Teacher, too_little: float | None) -> None:
        """Records a claim.

        Args:
            plan: whose samples it was for.
            teacher: who will be asked.
            too_little: what was left for it when the next sample did not fit; None if the budget covered all of it.
                What is free by now may be more: money comes back while a claim is written.
        """
        if too_little is None:
            self._too_little.pop((plan.id, teacher.name), None)
        else:
            self._too_little[plan.id, teacher.name] = too_little

    def affords(self, plan: ActivePlan, teacher: Teacher) -> bool:
        """Whether the next claim may fit: there is more room than when it last did not, and no budget is overdrawn."""
        if self._budget.room(plan.id, teacher.id) < 0 or (plan.panel and not self.panels(plan)):
            return False
        too_little = self._too_little.get((plan.id, teacher.name))
        return too_little is None or self.free(plan, teacher) > too_little

    def spent_out(self, plan: ActivePlan, teacher: Teacher) -> bool:
        """Whether a teacher's own budget has no room for a further sample, even if all reservations came back."""
        return not self.affords(plan, teacher) and self._budget.binds_teacher(
            plan.id, teacher.id, self._needed(plan, teacher)
        )

    def pays(self, job: Job, teacher: Teacher) -> bool:
        """Whether the budget covers a started job's next request at this teacher."""
        return job.bound(teacher.tokens.price) <= self._budget.room(job.plan.id, teacher.id)

    def binds(self, job: Job, teacher: Teacher) -> bool:
        """Whether the teacher's own budget is what is too small for a job's next request."""
        return self._budget.binds_teacher(job.plan.id, teacher.id, job.bound(teacher.tokens.price))

    def note(self, plan: ActivePlan, teachers: Sequence[Teacher]) -> None:
        """Records whether a plan is short: one of its started jobs waits, or none of these `teachers` can be paid."""
        waiting = [job for job in self.waiting if job.plan is plan]
        if any(self.pays(job, self._teachers[job.teacher]) for job in waiting):
            self._has_money(plan.id)  # the scheduler is about to deliver it
            return
        which, kept = plan, NONE
        if waiting:
            at = self._teachers[waiting[0].teacher]
            need = PerAccount.each(waiting[0].bound(at.tokens.price))
        elif not teachers or any(self.affords(plan, teacher) for teacher in teachers):
            self._has_money(plan.id)
            return
        elif plan.panel and not self._owed(plan):
            _, which, at = min(self._panels_by_member(plan), key=lambda each: each[0])
            whole = self._whole(which)  # of the total a panel needs that of all members
            need = PerAccount(sum(map(self._whole, self.panel_of(plan))), whole, whole)
            kept = self._set_asides().beside(which, at)
        else:
            at = teachers[0]
            need = PerAccount.each(self._needed(plan, at))
            kept = self._set_asides().beside(plan, at)
        self.short[plan.id] = self._budget.binding(which.id, at.id, need.beside(kept))
        if (account := self._alerts.note(which.id, at.id, need)) is not None:
            self.spent[plan.id] = account
        else:
            self.spent.pop(plan.id, None)

    def reserved_at(self, teacher: Teacher) -> int:
        """What is reserved for the requests of one teacher, in micro-dollars."""
        return self._budget.reserved_at(teacher.id)

    def _set_asides(self) -> _SetAsides:
        if self._sums is not None:
            return self._sums
        found = _SetAsides()
        for each in self._plans:
            owed = self._owed(each)
            if each.open or owed:
                micros = self._set_aside(each, owed)
                found.total += micros
                found.plans[each.id] = micros
                for name in {*each.all_teachers}:
                    found.teachers[name] += micros
        if self._steady:
            self._sums = found
        return found

    def _has_money(self, plan_id: int) -> None:
        self.short.pop(plan_id, None)
        self.spent.pop(plan_id, None)

    def _set_aside(self, plan: ActivePlan, owed: int) -> int:
        """What the further turns of a plan's open samples may cost, at its most expensive teacher."""
        teachers = [self._teachers[name] for name in plan.all_teachers if name in self._teachers]
        rest = plan.open * max((self.bounds(plan, teacher).rest for teacher in teachers), default=0)
        return rest + owed * self._whole(plan)

    def _whole(self, plan: ActivePlan) -> int:
        """The most that a sample of a panel's member may cost."""
        teacher = self._teachers.get(plan.teachers[0])
        if not plan.panel or teacher is None:
            return 0
        cost = self.bounds(plan, teacher)
        return cost.most + cost.rest

    def _needed(self, plan: ActivePlan, teacher: Teacher) -> int:
        """The most that a further sample, and those that wait for budget here, may cost."""
        waiting = [job for job in self.waiting if job.plan is plan and job.teacher == teacher.name]
        cost = self.bounds(plan, teacher)
        return cost.most + cost.rest + sum(job.bound(teacher.tokens.price) for job in waiting)


class BudgetAlerts:
    """Reports each budget that is used up once, and again only after it was changed.

    While the last requests are out, reservations fill a budget and come back as each of them ends, so a plan is short
    again and again with much of the budget left. So a budget counts as used up when a request would not fit even
    if everything reserved came back.
    """

    def __init__(self, budget: Budget, bus: events.Bus) -> None:
        self._budget = budget
        self._bus = bus
        self._reported: dict[str, int | None] = {}  # by the account's description

    def note(self, plan_id: int, teacher_id: int, need: PerAccount) -> Account | None:
        """A request of this plan to this teacher, which needs at most this of its accounts, does not fit.

        Returns:
            The budget that is used up; None while reserved money may come back.
        """
        account = self._budget.used_up(plan_id, teacher_id, need)
        if account is None:
            return None
        if self._reported.get(account.words) != account.cap:
            self._reported[account.words] = account.cap
            self._bus.emit(events.BudgetReached(which=account.words))
        return account


def _fits(room: float, cost: int) -> int:
    """How many times `cost` fits into `room`."""
    if math.isinf(room) or not cost:
        return NO_LIMIT if room >= 0 else 0
    return max(0, int(room // cost))
