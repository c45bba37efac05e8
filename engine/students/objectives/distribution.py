"""The divergence from the distribution of the teacher (Fu et al. 2023), of which the likeliest tokens are known."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from engine.students.objectives.base import Objective


@dataclass(frozen=True, kw_only=True)
class Distribution(Objective):
    """KL(teacher || student) over the known tokens and one bucket for all others; cross-entropy where a position has no distribution."""

    def losses(self, logits: Any, targets: Any, *columns: Any) -> Any:
        """`columns`: [n, k] tokens (the target first) and [n, k] their probabilities."""
        from engine.students.objectives import _sparse_kl

        ids, shares = columns
        return _sparse_kl.losses(logits, targets, ids.long(), shares)

    def total(self, logits: Any, targets: Any, weights: Any, *columns: Any) -> Any:
        """With the gradient in closed form, also where the loss is not in parts."""
        from engine.students.objectives import _sparse_kl

        ids, shares = columns
        return _sparse_kl.Total.apply(logits, targets, weights, ids.long(), shares)

    def gradient(self, logits: Any, targets: Any, *columns: Any) -> Any:
        """In closed form."""
        from engine.students.objectives import _sparse_kl

        ids, shares = columns
        return _sparse_kl.gradient(logits, ids.long(), shares)


OBJECTIVE = Distribution(
    name="distribution",
    doc="the teacher's distribution at each token of its rationale, where its plan asked for log-probabilities, and the token alone elsewhere",
    rank=1,
    title="the distributions of the teacher (Fu et al. 2023)",
    reads_distributions=True,
)
