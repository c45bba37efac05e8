"""Panels: a plan whose teachers hear each other becomes one plan for each of them.

A member's plan is an ordinary plan with one teacher, so that claims, limits, budgets and counters stay what they are.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from engine.config.base import NAME_PATTERN
from engine.config.faults import quoted
from engine.config.plans import PlanConfig
from engine.config.teachers import TeacherConfig
from engine.strategies import STRATEGIES
from engine.teachers.dialects import DEFAULT, DIALECTS

MOST_MEMBERS = 16


def member_name(plan: str, teacher: str) -> str:
    """The name of a member's plan."""
    return f"{plan}.{teacher}"


def is_panel(plan: Mapping[str, Any]) -> bool:
    """Whether a plan, as plain values, is for a panel."""
    name = plan.get("strategy")
    return isinstance(name, str) and name in STRATEGIES and STRATEGIES[name].panel


def wrong_panel(plan: Mapping[str, Any], teachers: Mapping[str, Mapping[str, Any]]) -> list[tuple[str, str]]:
    """Why these teachers cannot be the panel of a plan, as (key, message)."""
    if len(teachers) < 2:
        have = ", ".join(teachers) or "none"
        return [
            (
                "teachers",
                f"strategy {plan['strategy']} needs two teachers or more that hear each other (here: {have})",
            )
        ]
    found: list[tuple[str, str]] = []
    if len(teachers) > MOST_MEMBERS:
        found.append(("teachers", f"a panel has {MOST_MEMBERS} teachers at most, got {len(teachers)}"))
    for name, teacher in teachers.items():
        spoken = DIALECTS.get(str(teacher.get("dialect", DEFAULT)))
        if spoken is not None and spoken.transport == "batches":
            text = f"teacher {name} is asked by batches ({spoken.name}), and each turn of a panel would wait for one"
            found.append(("teachers", f"{text}: give it another dialect, or leave it out"))
        if not re.fullmatch(NAME_PATTERN, member_name(plan["name"], name)):
            found.append(
                (
                    "name",
                    f"{quoted(member_name(plan['name'], name))} is too long for the name of a member's plan",
                )
            )
    return found


def members_of(plan: PlanConfig, teachers: list[str]) -> list[PlanConfig]:
    """The plans of a panel's members; the plan itself if it is for no panel."""
    if not STRATEGIES[plan.strategy].panel or plan.panel:
        return [plan]
    return [plan.member(member_name(plan.name, name), name, tuple(teachers)) for name in teachers]


def models_asked(
    plan: PlanConfig, own: list[str], teachers: Mapping[str, TeacherConfig]
) -> list[TeacherConfig]:
    """The teachers on which a plan's answers depend: its `own` and its fallbacks, or all members of its panel."""
    return [teachers[name] for name in plan.panel or (*own, *plan.fallback_teachers)]
