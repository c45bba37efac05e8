"""What a student minimises: cross-entropy on the tokens of the completion.

The head is applied to the supervised positions alone (a hook on the output embedding picks them), so no
logits are made for prompts and padding. DeepSpeed averages gradients over ranks and passes as if each
had as many supervised tokens; `weight` undoes that:

    loss = sum over own tokens * world * accumulation / supervised tokens of the whole step

so that a step's gradient is the mean over its tokens, however they are spread.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import nn
from torch.nn import functional as F

from engine.errors import JobFailed


class Student(nn.Module):
    """A language model of either kind that returns its weighted loss."""

    def __init__(self, model: Any) -> None:
        super().__init__()
        self.model = model
        self._keep: torch.Tensor | None = None
        model.get_output_embeddings().register_forward_pre_hook(self._select)

    def forward(
        self, inputs: dict[str, torch.Tensor], keep: torch.Tensor, targets: torch.Tensor, weight: float
    ) -> torch.Tensor:
        """The weighted sum of token losses.

        Args:
            inputs: what the model is called with, [rows, length] each.
            keep: [supervised] flat positions, of those the head sees, that predict a learned token.
            targets: [supervised] those tokens.
            weight: what each token's loss is multiplied by.
        """
        self._keep = keep
        try:
            logits = self.model(**inputs, use_cache=False).logits
        finally:
            self._keep = None
        if logits.shape[:-1] != targets.shape:
            raise JobFailed(
                f"{type(self.model).__name__} does not pass its hidden states through its output embedding as "
                "decoders and T5 do; this architecture cannot be trained"
            )
        return F.cross_entropy(logits.float(), targets, reduction="sum") * weight

    def _select(
        self, _module: nn.Module, inputs: tuple[torch.Tensor, ...]
    ) -> tuple[torch.Tensor, ...] | None:
        """Outside of `forward` (when the model generates) the head sees everything, as usual."""
        if self._keep is None:
            return None
        return (inputs[0].flatten(0, -2).index_select(0, self._keep), *inputs[1:])
