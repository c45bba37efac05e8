"""The divergence between a few probabilities with a tail and a student's distribution, with its gradient in closed form.

At a position, p are the probabilities of the listed tokens and t = 1 - sum of p that of all others together. With logits z,
Z = logsumexp(z) and R = logsumexp of the tokens that are not listed:

    loss     = sum of p (log p - z + Z) + t (log t - R + Z)
    gradient = softmax(z) - p                      at listed tokens
               softmax(z) - t softmax(others)      at the others

A token may be listed twice; only its first entry may then have a probability. So rows of different lengths are filled up.
"""

from __future__ import annotations

from typing import Any

import torch

LEAST_TAIL = 1e-6
"""A smaller tail is rounding."""
PART = 128
"""Positions whose copies of logits exist at a time."""


def losses(
    logits: torch.Tensor, targets: torch.Tensor, ids: torch.Tensor, shares: torch.Tensor
) -> torch.Tensor:
    """[n] in nats. `ids` and `shares`: [n, k] tokens and their probabilities; the first token is the target."""
    known, rest = _logsumexps(logits, ids)
    whole = torch.logaddexp(known, rest)
    tail = _tail(shares)
    listed = logits.gather(1, ids)
    inside = torch.special.xlogy(shares, shares) - shares * (listed - whole[:, None])
    outside = torch.special.xlogy(tail, tail) - torch.where(tail > 0, tail * (rest - whole), 0.0)
    return inside.sum(1) + outside


def gradient(logits: torch.Tensor, ids: torch.Tensor, shares: torch.Tensor) -> torch.Tensor:
    """[n, vocabulary]. Overwrites the logits."""
    listed = logits.gather(1, ids)
    known, rest = _logsumexps(logits, ids)
    whole = torch.logaddexp(known, rest)
    error = logits.scatter_(1, ids, -torch.inf).softmax(-1)
    if ids.shape[1] >= logits.shape[1]:
        error.nan_to_num_(0.0)  # where all tokens are listed, there are no others
    error *= (rest - whole).exp().sub_(_tail(shares))[:, None]
    error.scatter_(1, ids, (listed - whole[:, None]).exp())
    return error.scatter_add_(1, ids, -shares)


class Total(torch.autograd.Function):
    """The weighted sum of losses, of which autograd sees the gradient in closed form."""

    @staticmethod
    def forward(
        ctx: Any,
        logits: torch.Tensor,
        targets: torch.Tensor,
        weights: torch.Tensor | None,
        ids: torch.Tensor,
        shares: torch.Tensor,
    ) -> torch.Tensor:
        ctx.save_for_backward(logits, weights, ids, shares)
        found = torch.cat(
            [
                losses(*part)
                for part in zip(*(each.split(PART) for each in (logits, targets, ids, shares)), strict=True)
            ]
        )
        return found.sum() if weights is None else found @ weights

    @staticmethod
    def backward(ctx: Any, *gradients: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
        logits, weights, ids, shares = ctx.saved_tensors
        error = logits.clone()
        for part, some, known in zip(*(each.split(PART) for each in (error, ids, shares)), strict=True):
            part.copy_(gradient(part, some, known))
        error *= gradients[0] if weights is None else (weights * gradients[0])[:, None]
        return error, None, None, None, None


def _tail(shares: torch.Tensor) -> torch.Tensor:
    """[n]: the probability of all tokens that are not listed."""
    tail = 1.0 - shares.sum(1)
    return torch.where(tail > LEAST_TAIL, tail, 0.0)


def _logsumexps(logits: torch.Tensor, ids: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """[n] each: over the listed tokens, each once, and over the others."""
    again = torch.zeros_like(ids, dtype=torch.bool)
    again[:, 1:] = ids[:, 1:] == ids[:, :1]
    known = logits.gather(1, ids).masked_fill(again, -torch.inf).logsumexp(1)
    return known, logits.scatter(1, ids, -torch.inf).logsumexp(1)
