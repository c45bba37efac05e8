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
from daemon.sampling.teacher import Desk


class Tiers:
    """Looks at desks; owns none."""

    def __init__(
        self, desks: Mapping[str, Desk], spent_out: Callable[[ActivePlan, Desk], bool], bus: events.Bus
    ) -> None:
        """Changes nothing.

        Args:
            desks: every desk by its teacher's name, also those that come later.
            spent_out: whether a teacher's own budget leaves no room for a plan's next request.
            bus: hears who took over.
        """
        self._desks = desks
        self._spent_out = spent_out
        self._bus = bus
        self._fell: dict[str, str] = {}  # plans by name that are with a fallback, and with which
        self._quiet: set[str] = set()  # of them, those that fell back for a budget: it may have a rest left

    def serving(self, plan: ActivePlan) -> list[Desk]:
        """The desks that may take a plan's fresh samples now; the last tier where all are out."""
        *before, last = plan.tiers
        for names in before:
            desks = self._desks_of(names)
            if not all(self._out(plan, desk) for desk in desks):
                return desks
        return self._desks_of(last)

    def claimed(self, plan: ActivePlan, desk: Desk) -> None:
        """Samples of a plan were claimed for a desk: tells when that is another tier than before."""
        if not plan.fallbacks and not self._fell:
            return
        name = plan.config.name
        if desk.name in plan.teachers:
            if name in self._fell and name not in self._quiet:
                del self._fell[name]
                self._bus.emit(events.PlanReturned(plan=name, teachers=plan.teachers))
        elif self._fell.get(name) != desk.name:
            self._fell[name] = desk.name
            before = [self._desks[each] for each in plan.everyone[: plan.everyone.index(desk.name)]]
            if any(not each.parked and not each.retired for each in before):
                self._quiet.add(name)
            reasons = tuple(f"{each.name} {self._why(each)}" for each in before)
            self._bus.emit(events.PlanFellBack(plan=name, teacher=desk.name, reasons=reasons))

    def look_again(self) -> None:
        """After other budgets: a return to the teachers is worth telling."""
        self._quiet.clear()

    def _desks_of(self, names: tuple[str, ...]) -> list[Desk]:
        return [self._desks[name] for name in names if name in self._desks]

    def _out(self, plan: ActivePlan, desk: Desk) -> bool:
        return bool(desk.parked) or desk.retired or self._spent_out(plan, desk)

    def _why(self, desk: Desk) -> str:
        if desk.parked:
            return "is parked"
        return "is gone" if desk.retired else "has used up its budget"
