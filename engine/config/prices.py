"""Budgets that bound nothing, because a teacher that is paid for has no price. Pure."""

from __future__ import annotations

from collections.abc import Iterator

from engine.config.root import Config, teachers_of
from engine.config.teachers import TeacherConfig

PRICES = ("usd_per_million_input", "usd_per_million_output")


def unpriced(config: Config) -> Iterator[str]:
    """What a person must know: teachers with a key, under a cap, whose tokens cost nothing as far as is known.

    A server without a key is one's own, and free; one that has a key and is free nevertheless is told of all the same,
    since the other way round it costs money without end.
    """
    for name, teacher in config.teachers.items():
        missing = [price for price in PRICES if not getattr(teacher, price)]
        if missing and _has_key(teacher) and (caps := list(_caps(config, name, teacher))):
            yield (
                f"teachers.{name} has a key but no {' and no '.join(missing)}: what it costs is not counted, and"
                f" {' and '.join(caps)} cannot bound it"
            )


def _has_key(teacher: TeacherConfig) -> bool:
    return bool(teacher.api_key_env or teacher.api_key_file or teacher.api_key_envs)


def _caps(config: Config, name: str, teacher: TeacherConfig) -> Iterator[str]:
    """The caps that are meant to hold for a teacher, as a person writes them."""
    if config.daemon.budget_usd is not None:
        yield "[daemon] budget_usd"
    if teacher.budget_usd is not None:
        yield f"teachers.{name}.budget_usd"
    for plan in config.plans:
        asked = [*teachers_of(plan, list(config.teachers)), *plan.fallback_teachers]
        if plan.budget_usd is not None and name in asked:
            yield f"budget_usd of plan {plan.name}"
