"""What a check of a system measures, and what it must reach."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True, slots=True)
class Gate:
    """A figure for each seed, and the least or the most that each of them may be."""

    name: str
    values: dict[int, float]
    """By seed."""
    least: float | None = None
    most: float | None = None

    @property
    def holds(self) -> bool:
        """Whether all seeds keep the threshold."""
        least = -float("inf") if self.least is None else self.least
        most = float("inf") if self.most is None else self.most
        return bool(self.values) and all(least <= value <= most for value in self.values.values())

    def __str__(self) -> str:
        """Figure, threshold, seeds and verdict in a line."""
        bound = f">= {self.least:g}" if self.most is None else f"<= {self.most:g}"
        seeds = ", ".join(f"seed {seed} {value:.3f}" for seed, value in self.values.items())
        return f"{self.name}: {bound} · {seeds} · {'holds' if self.holds else 'FAILS'}"
