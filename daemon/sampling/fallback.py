"""Which teachers serve a plan: its own, and each fallback in order while all teachers before it are out.

A teacher is out when only the user can bring it back: it is parked, no longer configured, or its
own budget is used up. One that is paused, limited or failing for a while is not out: its work waits. An event reports
once that a plan falls back, and once that it is back on its own teachers. If a used-up budget turns out to have a
rest, that is spent first, without an event.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from daemon import events
from daemon.sampling.plans import ActivePlan
from daemon.sampling.teacher import Teacher


class FallbackPolicy:
    """Chooses among teachers; owns none."""

    def __init__(
        self,
        teachers: Mapping[str, Teacher],
        spent_out: Callable[[ActivePlan, Teacher], bool],
        bus: events.Bus,
    ) -> None:
        """Changes nothing.

        Args:
            teachers: every teacher by name, also those that come later.
            spent_out: whether a teacher's own budget has no room for a plan's next request.
            bus: gets the events.
        """
        self._teachers = teachers
        self._spent_out = spent_out
        self._bus = bus
        self._fell: dict[str, str] = {}  # plans on a fallback, by name, and on which one
        self._quiet: set[str] = (
            set()
        )  # those of them that fell back because of a budget, which may have a rest

    def serving(self, plan: ActivePlan) -> list[Teacher]:
        """The teachers that may take a plan's fresh samples now; the last tier if all are out."""
        *before, last = plan.tiers
        for names in before:
            teachers = self._configured(names)
            if not all(self._out(plan, teacher) for teacher in teachers):
                return teachers
        return self._configured(last)

    def claimed(self, plan: ActivePlan, teacher: Teacher) -> None:
        """Records a claim, and reports if it is for another tier than before."""
        if not plan.fallbacks and not self._fell:
            return
        name = plan.config.name
        if teacher.name in plan.teachers:
            if name in self._fell and name not in self._quiet:
                del self._fell[name]
                self._bus.emit(events.PlanReturned(plan=name, teachers=plan.teachers))
        elif self._fell.get(name) != teacher.name:
            self._fell[name] = teacher.name
            before = [
                self._teachers[each] for each in plan.all_teachers[: plan.all_teachers.index(teacher.name)]
            ]
            if any(not each.health.parked and not each.health.disabled for each in before):
                self._quiet.add(name)
            reasons = tuple(f"{each.name} {self._why(each)}" for each in before)
            self._bus.emit(events.PlanFellBack(plan=name, teacher=teacher.name, reasons=reasons))

    def look_again(self) -> None:
        """After budgets changed: the next return to the plan's own teachers is reported."""
        self._quiet.clear()

    def _configured(self, names: tuple[str, ...]) -> list[Teacher]:
        return [self._teachers[name] for name in names if name in self._teachers]

    def _out(self, plan: ActivePlan, teacher: Teacher) -> bool:
        return bool(teacher.health.parked) or teacher.health.disabled or self._spent_out(plan, teacher)

    def _why(self, teacher: Teacher) -> str:
        if teacher.health.parked:
            return "is parked"
        return "is no longer configured" if teacher.health.disabled else "has used up its budget"
