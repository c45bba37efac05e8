"""The cost of a correct sample, from the plans' counters; shared samples count once."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace

from state.views.status_records import PlanStatus


def usd_per_correct(plans: Iterable[PlanStatus]) -> float | None:
    """Dollars per correct sample of these plans; None before the first. Shared samples count once.

    Plans without gold answers are left out: nobody knows what is correct there.
    """
    spent, accepted = 0.0, 0
    for group in _groups(plan for plan in plans if plan.labelled):
        spent += sum(plan.usd for plan in group)
        accepted += max(plan.accepted for plan in group)
    return spent / accepted if accepted else None


def with_shared(plans: Sequence[PlanStatus]) -> list[PlanStatus]:
    """The plans; those that share samples also get what they spent together."""
    totals = {
        plan.id: (sum(each.usd for each in group), max(each.accepted for each in group))
        for group in _groups(plans)
        if len(group) > 1
        for plan in group
    }
    return [replace(plan, shared=totals.get(plan.id)) for plan in plans]


def widest(plans: Iterable[PlanStatus]) -> list[PlanStatus]:
    """Of plans that share samples, only the largest: the others count some of the same samples."""
    return [max(group, key=lambda plan: plan.wanted) for group in _groups(plans)]


def _groups(plans: Iterable[PlanStatus]) -> list[list[PlanStatus]]:
    groups: dict[str, list[PlanStatus]] = {}
    for plan in plans:
        groups.setdefault(plan.samples or str(plan.id), []).append(plan)
    return list(groups.values())
