"""The scheduler's budget policy: whether a plan's next samples can be paid, and which budget a plan waits for.

A new sample is started only if the budget covers all of its turns, beside what the further turns of started
samples (of any plan under the same budget) may cost, so no sample is paid for halfway. The amount that is set aside
is reserved when its turn comes. Reserved money may come back, so a plan can be `short` for a moment;
it is `spent` when even that would not be enough. Where prices are not configured and a provider states what it bills,
nothing is reserved: then no more is claimed once a budget is overdrawn.
"""

from __future__ import annotations

import math
from bisect import bisect_right
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
class _SetAside:
    """What is set aside in the accounts, in micro-dollars."""

    total: int = 0
    teachers: Counter[str] = field(default_factory=Counter)
    plans: Counter[int] = field(default_factory=Counter)

    def add(self, plan: ActivePlan, micros: int) -> None:
        """For a plan, whichever of its teachers is asked."""
        self.total += micros
        self.plans[plan.id] += micros
        for name in {*plan.all_teachers}:
            self.teachers[name] += micros

    def of(self, plan: ActivePlan, teacher: Teacher) -> PerAccount:
        """In the accounts of a plan's requests to a teacher."""
        return PerAccount(self.total, self.teachers[teacher.name], self.plans[plan.id])


@dataclass(slots=True)
class _SetAsides:
    """What is set aside for all that was begun."""

    turns: _SetAside = field(default_factory=_SetAside)
    """For further turns of open samples."""
    stuck: _SetAside = field(default_factory=_SetAside)
    """For those of them that wait for others of their panel."""
    owed: _SetAside = field(default_factory=_SetAside)
    """For samples that others of a panel have begun, and a member has not."""

    def beside(self, plan: ActivePlan, teacher: Teacher) -> PerAccount:
        """What a new sample leaves alone in its accounts."""
        return self.turns.of(plan, teacher).beside(self.owed.of(plan, teacher))


class BudgetPolicy:
    """Reads the budget; reservations are made by those who claim and send."""

    def __init__(
        self,
        budget: Budget,
        teachers: Mapping[str, Teacher],
        plans: Sequence[ActivePlan],
        bus: events.Bus,
        owed: Callable[[ActivePlan], int] = lambda plan: 0,
        stuck: Callable[[ActivePlan], int] = lambda plan: 0,
    ) -> None:
        """Changes nothing.

        Args:
            budget: the accounts.
            teachers: by name; read anew each time, like the plans.
            plans: the plans at work.
            bus: gets the events.
            owed: the questions that others of a plan's panel have begun, and the plan has not.
            stuck: the samples of a plan that wait for others of its panel.
        """
        self._owed = owed
        self._stuck = stuck
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
        """Room for new samples, in micro-dollars, beside what is set aside for started ones.

        What one plan owes a panel keeps nothing from what another one owes: where a budget was lowered it may not cover
        both, and then each would wait for the other.
        """
        room = self._budget.room(plan.id, teacher.id)
        if math.isinf(room):
            return room
        found = self._set_asides()
        kept = found.turns.of(plan, teacher) if self._owed(plan) else found.beside(plan, teacher)
        return min(self._budget.free_apart(plan.id, teacher.id, kept))

    def panel_of(self, plan: ActivePlan) -> list[ActivePlan]:
        """The plans of a panel's members, one each."""
        found = self._panel_of.get(plan.id)
        if found is None:
            members = {each.member: each for each in self._plans if each.same_panel(plan)}
            found = self._panel_of[plan.id] = list((members | {plan.member: plan}).values())
        return found

    def panels(self, plan: ActivePlan) -> int:
        """How many panels the budgets cover, with all turns of all members; of those begun by others, what the total covers.

        So no panel is begun whose other members have no money left.
        """
        if owed := self._owed(plan):
            left = self._budget.total.room() - self._set_asides().turns.total
            return bisect_right(range(1, owed + 1), left, key=lambda count: self._owed_cost(plan, count))
        return min(count for count, *_ in self._panels_by_member(plan))

    def _owed_cost(self, plan: ActivePlan, count: int) -> int:
        """What the first questions that a plan owes may cost, with what other members owe for these and for those before.

        Members claim questions in one order, so of two that owe, the one that owes fewer has begun the first of them.
        """
        left = self._owed(plan) - count
        return count * self._whole(plan) + sum(
            max(0, self._owed(each) - left) * self._whole(each)
            for each in self.panel_of(plan)
            if each is not plan
        )

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
        which, kept, stuck = plan, NONE, NONE
        if waiting:
            at = self._teachers[waiting[0].teacher]
            need = PerAccount.each(waiting[0].bound(at.tokens.price))
        elif not teachers or any(self.affords(plan, teacher) for teacher in teachers):
            self._has_money(plan.id)
            return
        elif self._owed(plan):
            at, whole = teachers[0], self._whole(plan)
            need = PerAccount(self._owed_cost(plan, 1), whole, whole)
            found = self._set_asides()
            kept, stuck = found.turns.of(plan, at), found.stuck.of(plan, at)
        elif plan.panel:
            _, which, at = min(self._panels_by_member(plan), key=lambda each: each[0])
            whole = self._whole(which)  # of the total a panel needs that of all members
            need = PerAccount(sum(map(self._whole, self.panel_of(plan))), whole, whole)
            kept = self._set_asides().beside(which, at)
        else:
            at = teachers[0]
            need = PerAccount.each(self._needed(plan, at))
            kept = self._set_asides().beside(plan, at)
        self.short[plan.id] = self._budget.binding(which.id, at.id, need.beside(kept))
        if (account := self._alerts.note(which.id, at.id, need.beside(stuck))) is not None:
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
            if each.open and (rest := self._rest(each)):
                found.turns.add(each, each.open * rest)
                found.stuck.add(each, self._stuck(each) * rest)
            if owed := self._owed(each):
                found.owed.add(each, owed * self._whole(each))
        if self._steady:
            self._sums = found
        return found

    def _has_money(self, plan_id: int) -> None:
        self.short.pop(plan_id, None)
        self.spent.pop(plan_id, None)

    def _rest(self, plan: ActivePlan) -> int:
        """What the further turns of a plan's open sample may cost, at its most expensive teacher."""
        teachers = [self._teachers[name] for name in plan.all_teachers if name in self._teachers]
        return max((self.bounds(plan, teacher).rest for teacher in teachers), default=0)

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
