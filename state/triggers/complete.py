"""`train_at = ["complete"]`: a run once all plans that the student reads are done."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Self

from state.triggers._base import Progress, Stock, Trigger


@dataclass(frozen=True, slots=True)
class Complete(Trigger):
    """Fires once, when all plans are done; it supersedes every count."""

    form: ClassVar[str] = '"complete"'
    schema: ClassVar[Mapping[str, Any]] = {"const": "complete"}
    rank: ClassVar[int] = 2

    @classmethod
    def parse(cls, value: object) -> Self | None:
        """The word."""
        return cls() if value == "complete" else None

    @property
    def name(self) -> str:
        """The word."""
        return "complete"

    def describe(self) -> str:
        """That all plans are done."""
        return "when its plans are complete"

    def reached(self, stock: Stock, now: int) -> bool:
        """Whether all plans are done."""
        return stock.complete

    def progress(self, stock: Stock, now: int) -> Progress:
        """Ended slots of the plans, out of all."""
        return Progress(
            have=stock.ended,
            goal=stock.wanted,
            unit="sampled",
            reached=stock.complete,
            words="" if stock.wanted else "ready",
        )
