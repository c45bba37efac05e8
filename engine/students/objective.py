"""What a student minimises: cross-entropy on the tokens of the completion.

The head is applied to the supervised positions alone (a hook on the output embedding picks them), so no
logits are made for prompts and padding. Where those are many still, the loss is computed in parts (`_InParts`).
DeepSpeed averages gradients over ranks and passes as if each had as many supervised tokens; `weight` undoes that:

    loss = sum over own tokens * world * passes / supervised tokens of the whole step

so that a step's gradient is the mean over its tokens, however they are spread.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import nn
from torch.nn import functional as F

from engine.errors import JobFailed
from engine.students.architecture import Kind, kind_of


class Student(nn.Module):
    """A language model of either kind that returns its weighted loss.

    Args:
        model: the model.
        kind: what it is; told by its configuration where it is not given.
        compiled: whether to compile the model for training; when it generates it is not.
    """

    def __init__(self, model: Any, kind: Kind | None = None, *, compiled: bool = False) -> None:
        super().__init__()
        self.model = model
        self.kind = kind_of(model) if kind is None else kind
        self._call = [
            torch.compile(model, dynamic=True) if compiled else model
        ]  # a list: no second submodule
        self._keep: torch.Tensor | None = None
        self._later: list[torch.Tensor] | None = None
        self._loss: tuple[torch.Tensor, int] | None = None
        head = model.get_output_embeddings()
        self._logits = head.forward
        # A compiled model ends before its head: how many positions are kept differs with each batch, and a graph with them
        # in it would be compiled anew for each number, and given up after eight.
        outside = torch.compiler.disable if compiled else _as_it_is
        head.register_forward_pre_hook(outside(self._select))
        head.forward = outside(self._head)

    def forward(
        self,
        inputs: Mapping[str, torch.Tensor],
        keep: torch.Tensor,
        targets: torch.Tensor,
        weight: float,
        parts: int = 1,
    ) -> torch.Tensor:
        """The weighted sum of token losses.

        Args:
            inputs: what the model is called with, [rows, length] each.
            keep: [supervised] flat positions, of those the head sees, that predict a learned token.
            targets: [supervised] those tokens.
            weight: what each token's loss is multiplied by.
            parts: in how many parts the loss is computed. With ZeRO stage 3, the same on all ranks.
        """
        if parts == 1:
            logits = self.logits(inputs, keep)
            return F.cross_entropy(logits.float(), targets, reduction="sum") * weight
        hidden = self._before_head(inputs, keep)
        self._loss = targets, parts
        try:
            # Through the head itself: where its weights are elsewhere, they are fetched when it is called.
            loss: torch.Tensor = self.model.get_output_embeddings()(hidden)
        finally:
            self._loss = None
        return loss * weight

    def logits(self, inputs: Mapping[str, torch.Tensor], keep: torch.Tensor) -> torch.Tensor:
        """[supervised, vocabulary] of the kept positions."""
        self._keep = keep
        try:
            found = self.kind.logits(self._call[0], inputs)
        finally:
            self._keep = None
        if found.shape[:-1] != keep.shape:
            raise self._unlike()
        return found

    def head_logits(self, inputs: Mapping[str, torch.Tensor], keep: torch.Tensor) -> torch.Tensor:
        """[supervised, vocabulary]: what the head makes of the kept positions, whatever the model does with it."""
        found: torch.Tensor = self.model.get_output_embeddings()(self._before_head(inputs, keep))
        return found

    @property
    def divisible(self) -> bool:
        """Whether its loss can be computed in parts: its head is a matrix and nothing else."""
        return isinstance(self.model.get_output_embeddings(), nn.Linear)

    def _before_head(self, inputs: Mapping[str, torch.Tensor], keep: torch.Tensor) -> torch.Tensor:
        """[supervised, width]: what the head would be applied to."""
        self._keep, self._later = keep, []
        try:
            self.kind.logits(self._call[0], inputs)
            hidden = self._later
        finally:
            self._keep = self._later = None
        if not hidden:
            raise self._unlike()
        return hidden[0]

    def _unlike(self) -> JobFailed:
        return JobFailed(
            f"{type(self.model).__name__} does not pass its hidden states through its output embedding as "
            "decoders and T5 do; this architecture cannot be trained"
        )

    def _select(
        self, _module: nn.Module, inputs: tuple[torch.Tensor, ...]
    ) -> tuple[torch.Tensor, ...] | None:
        """Outside of `forward` (when the model generates) the head sees everything, as usual."""
        if self._keep is None:
            return None
        picked = inputs[0].flatten(0, -2).index_select(0, self._keep)
        if self._later is not None:
            self._later.append(picked)
            picked = picked[:0]
        return (picked, *inputs[1:])

    def _head(self, hidden: torch.Tensor) -> torch.Tensor:
        """The head's forward: logits, or the sum of losses where `forward` asks for it."""
        if self._loss is None:
            return self._logits(hidden)
        targets, parts = self._loss
        head = self.model.get_output_embeddings()
        found: torch.Tensor = _InParts.apply(hidden, head.weight, head.bias, targets, parts)
        return found


def _as_it_is(function: Any) -> Any:
    return function


class _InParts(torch.autograd.Function):
    """The sum of cross-entropies of hidden states' logits, of which only a part exists at a time.

    A vocabulary of 150,000 makes 0.6 MB of one token's logits in float32, as much again of their gradient, and half
    of each in bf16. Here that is paid for the tokens of one part; in the backward pass the logits are made again,
    which costs one more product with the head. The head's gradient is made whole, and once.
    """

    @staticmethod
    def forward(
        ctx: Any,
        hidden: torch.Tensor,
        weight: torch.Tensor,
        bias: torch.Tensor | None,
        targets: torch.Tensor,
        parts: int,
    ) -> torch.Tensor:
        ctx.save_for_backward(hidden, weight, bias, targets)
        ctx.parts = parts
        total = hidden.new_zeros((), dtype=torch.float32)
        for some, their in zip(hidden.tensor_split(parts), targets.tensor_split(parts), strict=True):
            total += F.cross_entropy(F.linear(some, weight, bias).float(), their, reduction="sum")
        return total

    @staticmethod
    def backward(ctx: Any, *gradients: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
        hidden, weight, bias, targets = ctx.saved_tensors
        below = torch.empty_like(hidden) if ctx.needs_input_grad[0] else None
        of_weight = torch.zeros_like(weight) if ctx.needs_input_grad[1] else None
        of_bias = torch.zeros_like(bias) if ctx.needs_input_grad[2] else None
        start = 0
        for some, their in zip(hidden.tensor_split(ctx.parts), targets.tensor_split(ctx.parts), strict=True):
            wrong = F.linear(some, weight, bias).float().softmax(-1)
            wrong[torch.arange(len(their), device=their.device), their] -= 1
            wrong = (wrong * gradients[0]).to(hidden.dtype)
            if below is not None:
                below[start : start + len(some)] = wrong @ weight
            if of_weight is not None:
                of_weight.addmm_(wrong.T, some)
            if of_bias is not None:
                of_bias += wrong.sum(0)
            start += len(some)
        return below, of_weight, of_bias, None, None
