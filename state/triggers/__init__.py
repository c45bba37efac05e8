"""When students are trained: the kinds of triggers, and what they count.

A kind is a module of this folder with one subclass of `Trigger`; a new one is found by itself. Modules whose name
begins with `_` are not kinds. Daemon, export and monitor use the same rules:

    trigger  = parse_trigger("every 6h")
    stock    = rule.stock(rule.read(plan_counts(connection), tasks), ...)
    name     = due(triggers, stock, now)            the run to make now
    progress = trigger.progress(stock, now)         what displays show
"""

from __future__ import annotations

import importlib
import inspect
import pkgutil
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from state.triggers._base import LastRun, Progress, Stock, Trigger
from state.triggers._stock import (
    PlanCounts,
    StudentRule,
    first_start,
    last_runs,
    plan_counts,
    student_rule,
)

__all__ = [
    "KINDS",
    "Due",
    "LastRun",
    "PlanCounts",
    "Progress",
    "Stock",
    "StudentRule",
    "Trigger",
    "check_triggers",
    "due",
    "first_start",
    "last_runs",
    "parse_trigger",
    "plan_counts",
    "student_rule",
    "wakes_at",
]


def _kinds() -> tuple[type[Trigger], ...]:
    found = []
    for name in sorted(module.name for module in pkgutil.iter_modules(__path__)):
        if not name.startswith("_"):
            module = importlib.import_module(f"{__name__}.{name}")
            found += [
                kind
                for kind in vars(module).values()
                if inspect.isclass(kind) and issubclass(kind, Trigger) and kind.__module__ == module.__name__
            ]
    return tuple(sorted(found, key=lambda kind: kind.rank))


KINDS = _kinds()


def parse_trigger(value: object) -> Trigger:
    """The trigger that a value of `train_at` means.

    Raises:
        ValueError: no kind knows it, or its kind finds it malformed; the message says what is expected.
    """
    for kind in KINDS:
        if (trigger := kind.parse(value)) is not None:
            return trigger
    forms = [kind.form for kind in sorted(KINDS, key=lambda kind: (kind.repeats, kind.rank))]
    raise ValueError(f"expected {', '.join(forms[:-1])} or {forms[-1]}")


def check_triggers(triggers: Sequence[Trigger]) -> None:
    """Refuses triggers that cannot stand side by side.

    Raises:
        ValueError: two of them repeat: both count from the last run, so the slower one would never fire.
    """
    repeating = [trigger.name for trigger in sorted(triggers, key=_order) if trigger.repeats]
    if len(set(repeating)) > 1:
        raise ValueError(f'"{repeating[-1]}" would never fire beside "{repeating[0]}": keep one of them')


@dataclass(frozen=True, slots=True)
class Due:
    """A run to make now: its trigger, and the name that the run gets."""

    trigger: Trigger
    name: str


def due(triggers: Iterable[Trigger], stock: Stock, now: int) -> Due | None:
    """The run to make now, if any.

    Of several one-time triggers that are reached at the same time, only the last one makes a run: the data of the
    others would be the same, so they never fire. A repeating trigger fires only where no one-time trigger does.
    """
    reached = [trigger for trigger in sorted(triggers, key=_order) if trigger.reached(stock, now)]
    once = [trigger for trigger in reached if not trigger.repeats]
    repeating = [trigger for trigger in reached if trigger.repeats]
    for trigger in (*once[-1:], *repeating):
        name = trigger.run_name(stock)
        if name not in stock.runs:
            return Due(trigger, name)
    return None


def wakes_at(triggers: Iterable[Trigger], stock: Stock) -> int | None:
    """When the first trigger is reached if nothing but time changes (UTC milliseconds); None: none is."""
    return min((at for trigger in triggers if (at := trigger.wakes_at(stock)) is not None), default=None)


def _order(trigger: Trigger) -> tuple[int, int]:
    return trigger.rank, trigger.order
