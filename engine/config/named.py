"""Which tasks, plans and teachers a list of names means."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from engine.config.plans import PlanConfig
from engine.config.teachers import TeacherConfig


def teachers_of(plan: PlanConfig, teachers: Mapping[str, TeacherConfig]) -> list[str]:
    """The teachers that share a plan's work, in the order of the configuration.

    `*` stands for all but students and the plan's fallbacks, and but the built-in ones where there is another.
    """
    plain = {name: {"builtin": each.builtin, "student": each.student} for name, each in teachers.items()}
    return served(plan.teachers, plan.fallback_teachers, by_star(plain, plan.teachers))[0]


def by_star(teachers: Mapping[str, Any], named: Sequence[str]) -> dict[str, bool]:
    """The teachers that a list of names may mean, and whether they are built in. `*` means no student."""
    plain = {name: each if isinstance(each, Mapping) else {} for name, each in teachers.items()}
    return {
        name: each.get("builtin") is True
        for name, each in plain.items()
        if name in named or not each.get("student")
    }


def served(
    named: Sequence[str], fallbacks: Sequence[str], built_in: Mapping[str, bool]
) -> tuple[list[str], list[str]]:
    """The teachers that a list of names means, and the built-in ones that its `*` leaves out."""
    if "*" not in named:
        return expand(named, list(built_in)), []
    names = [name for name in built_in if name not in fallbacks]
    real = any(not built_in[name] for name in names)
    unused = [name for name in names if real and built_in[name] and name not in named]
    return [name for name in names if name not in unused], unused


def expand(names: Sequence[str], known: list[str]) -> list[str]:
    """The names meant by a list in which `*` stands for all, in the order of `known`."""
    if "*" in names:
        return list(known)
    return [name for name in known if name in names]
