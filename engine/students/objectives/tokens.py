"""Cross-entropy on the tokens of the rows."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from engine.students.objectives.base import Objective


@dataclass(frozen=True, kw_only=True)
class Tokens(Objective):
    """The negative log-probability of each token."""

    def losses(self, logits: Any, targets: Any, *columns: Any) -> Any:
        """One cross-entropy per token."""
        from torch.nn import functional

        return functional.cross_entropy(logits, targets, reduction="none")

    def total(self, logits: Any, targets: Any, weights: Any, *columns: Any) -> Any:
        """Without weights, torch's own sum: losses of earlier versions stay the same to the bit."""
        from torch.nn import functional

        if weights is None:
            return functional.cross_entropy(logits, targets, reduction="sum")
        return super().total(logits, targets, weights)

    def gradient(self, logits: Any, targets: Any, *columns: Any) -> Any:
        """The softmax, less 1 at the token."""
        import torch

        error = logits.softmax(-1)
        error[torch.arange(len(targets), device=targets.device), targets] -= 1
        return error


OBJECTIVE = Tokens(name="tokens", doc="cross-entropy on the tokens of the rows", rank=0)
