"""What an objective is: the loss of each supervised position.

Everything that differs between objectives is a field or function of `Objective`. Imports nothing heavy: the configuration is
built on it. Arrays are torch's; n is the number of supervised positions.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, kw_only=True)
class Objective(ABC):
    """What a student minimises, one supervised position at a time."""

    name: str
    doc: str
    """What it minimises, in a few words; part of docs/configuration.md."""
    rank: int
    """Its place in lists."""
    reads_distributions: bool = False
    """Whether its columns are distributions of teachers: [n, k] tokens, the target first, and [n, k] their probabilities."""
    title: str = ""
    """What cards call it; empty: they do not name it."""

    @abstractmethod
    def losses(self, logits: Any, targets: Any, *columns: Any) -> Any:
        """[n] float32, in nats. Autograd can go through it, unless `total` and `gradient` are given.

        Args:
            logits: [n, vocabulary] float32.
            targets: [n] int64, the tokens of the rows.
            columns: what the objective reads besides; the first axis of each is n.
        """

    def total(self, logits: Any, targets: Any, weights: Any, *columns: Any) -> Any:
        """The sum of losses, each times its weight; autograd can go through it.

        Args:
            logits: [n, vocabulary] float32.
            targets: [n] int64.
            weights: [n] float32; None: all are 1.
            columns: as in `losses`.
        """
        losses = self.losses(logits, targets, *columns)
        return losses.sum() if weights is None else losses @ weights

    def gradient(self, logits: Any, targets: Any, *columns: Any) -> Any:
        """[n, vocabulary] float32: the gradient of each position's loss, in closed form; None: autograd finds it.

        It may overwrite the logits.
        """
        return None
