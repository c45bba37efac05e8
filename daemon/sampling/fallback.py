"""Who serves a plan: its teachers, and its fallbacks in their order, each while all before it are out.

A teacher is out when only a person can bring it back: it is parked, is gone from the configuration, or its
own budget is used up. One that is paused, limited or failing for a while is not: its work waits. A plan
says once that it falls back, and once that it is back with its teachers. What a budget is found to
still have is used before the fallback goes on, without a word.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from daemon import events
from daemon.sampling.plans import ActivePlan
from daemon.sampling.teacher import Teacher


class FallbackPolicy:
    """Looks at teachers; owns none."""

    def __init__(
        self,
        teachers: Mapping[str, Teacher],
        spent_out: Callable[[ActivePlan, Teacher], bool],
        bus: events.Bus,
    ) -> None:
        """Changes nothing.

        Args:
            teachers: every teacher by its teacher's name, also those that come later.
            spent_out: whether a teacher's own budget leaves no room for a plan's next request.
            bus: hears who took over.
        """
        self._teachers = teachers
        self._spent_out = spent_out
        self._bus = bus
        self._fell: dict[str, str] = {}  # plans by name that are with a fallback, and with which
        self._quiet: set[str] = set()  # of them, those that fell back for a budget: it may have a rest left

    def serving(self, plan: ActivePlan) -> list[Teacher]:
        """The teachers that may take a plan's fresh samples now; the last tier where all are out."""
        *before, last = plan.tiers
        for names in before:
            teachers = self._desks_of(names)
            if not all(self._out(plan, teacher) for teacher in teachers):
                return teachers
        return self._desks_of(last)

    def claimed(self, plan: ActivePlan, teacher: Teacher) -> None:
        """Samples of a plan were claimed for a teacher: tells when that is another tier than before."""
        if not plan.fallbacks and not self._fell:
            return
        name = plan.config.name
        if teacher.name in plan.teachers:
            if name in self._fell and name not in self._quiet:
                del self._fell[name]
                self._bus.emit(events.PlanReturned(plan=name, teachers=plan.teachers))
        elif self._fell.get(name) != teacher.name:
            self._fell[name] = teacher.name
            before = [self._teachers[each] for each in plan.everyone[: plan.everyone.index(teacher.name)]]
            if any(not each.parked and not each.retired for each in before):
                self._quiet.add(name)
            reasons = tuple(f"{each.name} {self._why(each)}" for each in before)
            self._bus.emit(events.PlanFellBack(plan=name, teacher=teacher.name, reasons=reasons))

    def look_again(self) -> None:
        """After other budgets: a return to the teachers is worth telling."""
        self._quiet.clear()

    def _desks_of(self, names: tuple[str, ...]) -> list[Teacher]:
        return [self._teachers[name] for name in names if name in self._teachers]

    def _out(self, plan: ActivePlan, teacher: Teacher) -> bool:
        return bool(teacher.parked) or teacher.retired or self._spent_out(plan, teacher)

    def _why(self, teacher: Teacher) -> str:
        if teacher.parked:
            return "is parked"
        return "is gone" if teacher.retired else "has used up its budget"
