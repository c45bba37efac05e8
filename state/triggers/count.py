"""`train_at = [400]`: a run once there are that many samples."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Self

from state.triggers._base import Progress, Stock, Trigger

MOST = 10**12


@dataclass(frozen=True, slots=True)
class Count(Trigger):
    """Fires once, when the student can read `samples` samples; 0 fires at once."""

    form: ClassVar[str] = "a count"
    schema: ClassVar[Mapping[str, Any]] = {"type": "integer", "minimum": 0, "maximum": MOST}
    rank: ClassVar[int] = 0
    samples: int

    @classmethod
    def parse(cls, value: object) -> Self | None:
        """A whole number, not below 0."""
        if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value <= MOST:
            return None
        return cls(value)

    @property
    def name(self) -> str:
        """The number."""
        return str(self.samples)

    @property
    def order(self) -> int:
        """Larger counts come later."""
        return self.samples

    def describe(self) -> str:
        """With the count."""
        return f"at {self.samples:,} samples" if self.samples else "at once"

    def reached(self, stock: Stock, now: int) -> bool:
        """Whether there are enough samples."""
        return stock.samples >= self.samples

    def progress(self, stock: Stock, now: int) -> Progress:
        """Samples, out of the count."""
        return Progress(
            have=stock.samples,
            goal=self.samples,
            unit="samples",
            reached=self.reached(stock, now),
            words="" if self.samples else "ready",
        )
