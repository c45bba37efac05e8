"""A student with its objective: the loss of the completions' tokens.

The head is applied to the supervised positions only (a hook on the output embedding selects them), so no logits are
computed for prompts and padding. If there are still many, the loss is computed in chunks (`_InParts`).
DeepSpeed averages gradients over ranks and accumulation steps as if each had the same number of supervised tokens;
`weight` corrects that:

    loss = sum over own tokens * world * accumulation steps / supervised tokens of the whole step

so the gradient of a step is the mean over its tokens, however they are distributed. Where rows have weights, tokens count with the
weight of their row on both sides of the fraction, so it is the weighted mean.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import nn
from torch.nn import functional as F

from engine.errors import JobFailed
from engine.students.architecture import Architecture, architecture_of
from engine.students.objectives import OBJECTIVES, Objective

TOKENS = OBJECTIVES["tokens"]


class Student(nn.Module):
    """A language model that returns its weighted loss.

    Args:
        model: the model.
        architecture: its architecture; by default the one in its configuration.
        objective: what it minimises.
        compiled: whether to compile the model for training. Generation is never compiled.
    """

    def __init__(
        self,
        model: Any,
        architecture: Architecture | None = None,
        *,
        objective: Objective = TOKENS,
        compiled: bool = False,
    ) -> None:
        super().__init__()
        self.model = model
        self.objective = objective
        self.architecture = architecture_of(model) if architecture is None else architecture
        self._call = [
            torch.compile(model, dynamic=True) if compiled else model
        ]  # a list: no second submodule
        self._keep: torch.Tensor | None = None
        self._later: list[torch.Tensor] | None = None
        self._loss: tuple[Any, ...] | None = None
        head = model.get_output_embeddings()
        self._logits = head.forward
        # A compiled model ends before its head. The number of kept positions differs from batch to batch; a graph that
        # contains them would be compiled again for each number, and torch gives up after eight.
        outside = torch.compiler.disable if compiled else _identity
        head.register_forward_pre_hook(outside(self._select))
        head.forward = outside(self._head)

    def forward(
        self,
        inputs: Mapping[str, torch.Tensor],
        keep: torch.Tensor,
        targets: torch.Tensor,
        columns: Sequence[torch.Tensor],
        weights: torch.Tensor | None,
        weight: float,
        chunks: int = 1,
    ) -> torch.Tensor:
        """The weighted sum of token losses.

        Args:
            inputs: the arguments of the model, [rows, length] each.
            keep: [supervised] flat positions, of those the head sees, that predict a supervised token.
            targets: [supervised] those tokens.
            columns: what the objective reads besides; the first axis of each is the supervised tokens.
            weights: [supervised] float32, how much each token counts; None: all count 1.
            weight: factor of the whole loss.
            chunks: the number of chunks the loss is computed in. With ZeRO stage 3, the same on all ranks.
        """
        if chunks == 1:
            logits = self.logits(inputs, keep).float()
            whole: torch.Tensor = self.objective.total(logits, targets, weights, *columns)
            return whole * weight
        hidden = self._before_head(inputs, keep)
        self._loss = self.objective, chunks, targets, weights, *columns
        try:
            # Through the head itself: with stage 3 its weights are fetched when it is called.
            loss: torch.Tensor = self.model.get_output_embeddings()(hidden)
        finally:
            self._loss = None
        return loss * weight

    def logits(self, inputs: Mapping[str, torch.Tensor], keep: torch.Tensor) -> torch.Tensor:
        """[supervised, vocabulary] at the kept positions."""
        self._keep = keep
        try:
            found = self.architecture.logits(self._call[0], inputs)
        finally:
            self._keep = None
        if found.shape[:-1] != keep.shape:
            raise self._unsupported()
        return found

    def head_logits(self, inputs: Mapping[str, torch.Tensor], keep: torch.Tensor) -> torch.Tensor:
        """[supervised, vocabulary]: the output of the head at the kept positions, before anything the model does after it."""
        found: torch.Tensor = self.model.get_output_embeddings()(self._before_head(inputs, keep))
        return found

    @property
    def chunkable(self) -> bool:
        """Whether the loss can be computed in chunks: the head is a matrix and nothing else."""
        return isinstance(self.model.get_output_embeddings(), nn.Linear)

    def _before_head(self, inputs: Mapping[str, torch.Tensor], keep: torch.Tensor) -> torch.Tensor:
        """[supervised, width]: the inputs of the head."""
        self._keep, self._later = keep, []
        try:
            self.architecture.logits(self._call[0], inputs)
            hidden = self._later
        finally:
            self._keep = self._later = None
        if not hidden:
            raise self._unsupported()
        return hidden[0]

    def _unsupported(self) -> JobFailed:
        return JobFailed(
            f"{type(self.model).__name__} does not pass its hidden states through its output embedding as "
            "decoders and T5 do; this architecture cannot be trained"
        )

    def _select(
        self, _module: nn.Module, inputs: tuple[torch.Tensor, ...]
    ) -> tuple[torch.Tensor, ...] | None:
        """Outside of `forward` (when the model generates) the head sees all positions."""
        if self._keep is None:
            return None
        picked = inputs[0].flatten(0, -2).index_select(0, self._keep)
        if self._later is not None:
            self._later.append(picked)
            picked = picked[:0]
        return (picked, *inputs[1:])

    def _head(self, hidden: torch.Tensor) -> torch.Tensor:
        """The forward of the head: logits, or the sum of losses if `forward` asks for it."""
        if self._loss is None:
            return self._logits(hidden)
        head = self.model.get_output_embeddings()
        found: torch.Tensor = _InParts.apply(hidden, head.weight, head.bias, *self._loss)
        return found


def _identity(function: Any) -> Any:
    return function


def add_rows_only(model: Any) -> None:
    """Has the input embedding add the gradients of the rows that a batch uses to that of the head, if they are the same matrix.

    Otherwise its gradient is a second matrix of that size, nearly all zeros: with a vocabulary of 49,000, a fifth of the weights of a
    model of 135 million. Not for compiled models, nor where DeepSpeed reduces gradients itself.
    """
    embedding, head = model.get_input_embeddings(), model.get_output_embeddings()
    if isinstance(embedding, nn.Embedding) and embedding.weight is head.weight and head.weight.requires_grad:
        embedding.sparse = True


class _InParts(torch.autograd.Function):
    """The sum of losses of the logits of hidden states, of which only one chunk exists at a time.

    With a vocabulary of 150,000, the logits of one token take 0.6 MB in float32, their gradient the same, and half of each
    in bf16. Here that memory is needed for the tokens of one chunk only. The backward pass computes the logits again, which
    costs one more product with the head. The gradient of the head is computed as a whole, once.
    """

    @staticmethod
    def forward(
        ctx: Any,
        hidden: torch.Tensor,
        weight: torch.Tensor,
        bias: torch.Tensor | None,
        objective: Objective,
        chunks: int,
        *supervision: torch.Tensor | None,
    ) -> torch.Tensor:
        """`supervision`: targets, weights and columns; the weights may be None."""
        ctx.save_for_backward(hidden, weight, bias, *supervision)
        ctx.objective, ctx.chunks = objective, chunks
        total = hidden.new_zeros((), dtype=torch.float32)
        for part, wanted, weights, *columns in _parts(chunks, hidden, *supervision):
            logits = F.linear(part, weight, bias).float()
            total += objective.total(logits, wanted, weights, *columns)
        return total

    @staticmethod
    def backward(ctx: Any, *gradients: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
        hidden, weight, bias, *supervision = ctx.saved_tensors
        below = torch.empty_like(hidden) if ctx.needs_input_grad[0] else None
        of_weight = torch.zeros_like(weight) if ctx.needs_input_grad[1] else None
        of_bias = torch.zeros_like(bias) if ctx.needs_input_grad[2] else None
        start = 0
        for part, wanted, weights, *columns in _parts(ctx.chunks, hidden, *supervision):
            error = _gradient(ctx.objective, F.linear(part, weight, bias).float(), wanted, columns)
            if weights is not None:
                error *= weights[:, None]
            error = (error * gradients[0]).to(hidden.dtype)
            if below is not None:
                below[start : start + len(part)] = error @ weight
            if of_weight is not None:
                of_weight.addmm_(error.T, part)
            if of_bias is not None:
                of_bias += error.sum(0)
            start += len(part)
        return below, of_weight, of_bias, *(None for _ in range(2 + len(supervision)))


def _parts(chunks: int, *arrays: torch.Tensor | None) -> Any:
    """The chunks of arrays, together; those of None are None."""
    return zip(
        *([None] * chunks if each is None else each.tensor_split(chunks) for each in arrays), strict=True
    )


def _gradient(
    objective: Objective, logits: torch.Tensor, targets: torch.Tensor, columns: Sequence[torch.Tensor]
) -> torch.Tensor:
    """[supervised, vocabulary]: the gradient of each position's loss, in closed form or by autograd."""
    found: torch.Tensor | None = objective.gradient(logits, targets, *columns)
    if found is not None:
        return found
    with torch.enable_grad():
        leaf = logits.detach().requires_grad_()
        return torch.autograd.grad(objective.losses(leaf, targets, *columns).sum(), leaf)[0]
