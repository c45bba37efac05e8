"""Finds budgets that cannot be enforced, because a teacher that costs money has no price. Pure."""

from __future__ import annotations

from collections.abc import Iterator

from engine.config.named import teachers_of
from engine.config.root import Config
from engine.config.teachers import TeacherConfig

PRICES = ("usd_per_million_input", "usd_per_million_output")


def unpriced(config: Config) -> Iterator[str]:
    """Warnings about teachers with a key and under a cap, but without prices.

    A server without a key is assumed to be your own and free. A free server with a key is warned about too: the
    opposite mistake would cost money without limit.
    """
    for name, teacher in config.teachers.items():
        missing = [price for price in PRICES if not getattr(teacher, price)]
        if missing and _has_key(teacher) and (caps := list(_caps(config, name, teacher))):
            yield (
                f"teachers.{name} has a key but no {' and no '.join(missing)}: its cost is only counted if the provider"
                f" states dollars, so {' and '.join(caps)} may not limit it"
            )


def _has_key(teacher: TeacherConfig) -> bool:
    return bool(teacher.api_key_env or teacher.api_key_file or teacher.api_key_envs)


def _caps(config: Config, name: str, teacher: TeacherConfig) -> Iterator[str]:
    """The caps that apply to a teacher, as written in config.toml."""
    if config.daemon.budget_usd is not None:
        yield "[daemon] budget_usd"
    if teacher.budget_usd is not None:
        yield f"teachers.{name}.budget_usd"
    for plan in config.plans:
        asked = [*teachers_of(plan, config.teachers), *plan.fallback_teachers]
        if plan.budget_usd is not None and name in asked:
            yield f"budget_usd of plan {plan.name}"
