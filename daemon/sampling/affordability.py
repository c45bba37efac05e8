"""The scheduler's budget policy: whether a plan's next samples can be paid, and which cap a plan waits for.

A new sample is begun only where there is money for all of its turns, beside what the further turns of those
that were begun (of any plan under the same cap) may cost: nothing is paid for half a sample. What is set aside
so is reserved when its turn comes. Money that is only reserved comes back, so a plan that is `short` may be so
for a moment; it is `spent` when that changes nothing. It sends nothing and knows no request.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from daemon import events
from daemon.sampling.budget import Aside, Ledger
from daemon.sampling.budget_alerts import BudgetAlerts
from daemon.sampling.cost_bounds import Bounds, bounds
from daemon.sampling.jobs import Job
from daemon.sampling.plans import ActivePlan
from daemon.sampling.teacher import Teacher


class BudgetPolicy:
    """Looks at the ledger; what is reserved and settled there is the business of who sends."""

    def __init__(
        self, ledger: Ledger, teachers: Mapping[str, Teacher], plans: Sequence[ActivePlan], bus: events.Bus
    ) -> None:
        """Changes nothing; `teachers` (by teacher) and `plans` are looked at again each time."""
        self._ledger = ledger
        self._teachers = teachers
        self._plans = plans
        self._alerts = BudgetAlerts(ledger, bus)
        self._bounds: dict[tuple[int, str], Bounds] = {}  # by plan and teacher, as they are configured now
        self._too_little: dict[tuple[int, str], float] = {}  # what was free when it last was too little
        self.short: dict[int, str] = {}
        """Plans whose next request a cap leaves no room for: plan id to the cap, in a person's words."""
        self.spent: dict[int, str] = {}
        """Those of them for which it stays so, whatever the requests that are out will cost."""
        self.waiting: list[Job] = []
        """Begun jobs for which the money does not reach."""

    def look_again(self) -> None:
        """After other caps, prices or plans: what was too little may be enough."""
        self._too_little.clear()
        self._bounds.clear()
        ids = {plan.id for plan in self._plans}
        for gone in self.short.keys() - ids:
            self._has_money(gone)

    @property
    def any_short(self) -> bool:
        """Whether any plan is, or was at its last claim."""
        return bool(self.short or self._too_little)

    def bounds(self, plan: ActivePlan, teacher: Teacher) -> Bounds:
        """What a sample of the plan may cost at this teacher."""
        found = self._bounds.get((plan.id, teacher.name))
        if found is None:
            found = self._bounds[plan.id, teacher.name] = bounds(plan, teacher.price)
        return found

    def free(self, plan: ActivePlan, teacher: Teacher) -> float:
        """Room for new samples, in micro-dollars: without what is set aside for begun ones."""
        room = self._ledger.room(plan.id, teacher.id)
        if math.isinf(room):
            return room
        begun = [(each, self._aside(each)) for each in self._plans if each.open]
        total = sum(micros for _, micros in begun)
        at_desk = sum(micros for each, micros in begun if teacher.name in each.everyone)
        own = sum(micros for each, micros in begun if each is plan)
        return self._ledger.free(plan.id, teacher.id, Aside(total, at_desk, own))

    def claimed(self, plan: ActivePlan, teacher: Teacher, *, too_little: bool) -> None:
        """A claim was made; `too_little`: the money did not reach for all of it."""
        if too_little:
            self._too_little[plan.id, teacher.name] = self.free(plan, teacher)
        else:
            self._too_little.pop((plan.id, teacher.name), None)

    def affords(self, plan: ActivePlan, teacher: Teacher) -> bool:
        """Whether the next claim may fit: there is more money than when it last did not."""
        too_little = self._too_little.get((plan.id, teacher.name))
        return too_little is None or self.free(plan, teacher) > too_little

    def spent_out(self, plan: ActivePlan, teacher: Teacher) -> bool:
        """Whether a teacher's own budget leaves no room for a further sample, whatever those that are out cost."""
        return not self.affords(plan, teacher) and self._ledger.binds_teacher(
            plan.id, teacher.id, self._needed(plan, teacher)
        )

    def pays(self, job: Job, teacher: Teacher) -> bool:
        """Whether there is room for a begun job's next request at this teacher."""
        return job.bound(teacher.price) <= self._ledger.room(job.plan.id, teacher.id)

    def binds(self, job: Job, teacher: Teacher) -> bool:
        """Whether it is the teacher's own budget that is too small for a job's next request."""
        return self._ledger.binds_teacher(job.plan.id, teacher.id, job.bound(teacher.price))

    def note(self, plan: ActivePlan, teachers: Sequence[Teacher]) -> None:
        """Whether a plan is short: one of its begun jobs waits, or none of the `teachers` it would claim for can be paid."""
        if job := next((job for job in self.waiting if job.plan is plan), None):
            at = self._teachers[job.teacher]
            need = job.bound(at.price)
        elif not teachers or any(self.affords(plan, teacher) for teacher in teachers):
            self._has_money(plan.id)
            return
        else:
            at = teachers[0]
            need = self._needed(plan, at)
        self.short[plan.id] = self._ledger.binding(plan.id, at.id)
        if which := self._alerts.note(plan.id, at.id, need):
            self.spent[plan.id] = which
        else:
            self.spent.pop(plan.id, None)

    def _has_money(self, plan_id: int) -> None:
        self.short.pop(plan_id, None)
        self.spent.pop(plan_id, None)

    def _aside(self, plan: ActivePlan) -> int:
        """What the further turns of a plan's open samples may cost, at the dearest of its teachers."""
        teachers = [self._teachers[name] for name in plan.everyone if name in self._teachers]
        return plan.open * max((self.bounds(plan, teacher).rest for teacher in teachers), default=0)

    def _needed(self, plan: ActivePlan, teacher: Teacher) -> int:
        """The most that a further sample, and those that wait for money here, may cost."""
        waiting = [job for job in self.waiting if job.plan is plan and job.teacher == teacher.name]
        cost = self.bounds(plan, teacher)
        return cost.most + cost.rest + sum(job.bound(teacher.price) for job in waiting)
