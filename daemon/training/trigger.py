"""Which student runs are due. Pure: counts in, triggers out.

A trigger fires once for each (student, scope, recipe). When several are due at the same time their
data would be the same, so only the last of them fires.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass

from engine.config import StudentConfig

COMPLETE = "complete"


@dataclass(frozen=True, kw_only=True, slots=True)
class Stock:
    """What there is for a student in one scope: accepted samples, and whether all its plans are done."""

    student: str
    scope: str
    recipe: str
    accepted: int
    complete: bool


@dataclass(frozen=True, slots=True)
class Due:
    """A run that should start."""

    stock: Stock
    trigger: str


def due(
    students: Sequence[StudentConfig],
    stocks: Sequence[Stock],
    existing: Collection[tuple[str, str, str, str]],
) -> list[Due]:
    """The runs that are due and do not exist; `existing` holds (student, scope, trigger, recipe)."""
    by_name = {student.name: student for student in students}
    result = []
    for stock in stocks:
        reached = [trigger for trigger in _ordered(by_name[stock.student]) if _reached(trigger, stock)]
        if not reached:
            continue
        last = reached[-1]
        if (stock.student, stock.scope, last, stock.recipe) not in existing:
            result.append(Due(stock, last))
    return result


def _ordered(student: StudentConfig) -> list[str]:
    counts = sorted(trigger for trigger in student.train_at if isinstance(trigger, int))
    last = [COMPLETE] if COMPLETE in student.train_at else []
    return [str(count) for count in counts] + last


def _reached(trigger: str, stock: Stock) -> bool:
    return stock.complete if trigger == COMPLETE else stock.accepted >= int(trigger)


def next_trigger(student: StudentConfig, accepted: int) -> int | None:
    """The next count at which a run starts; None where only completion is left."""
    counts = [trigger for trigger in student.train_at if isinstance(trigger, int) and trigger > accepted]
    return min(counts) if counts else None
