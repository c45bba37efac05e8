"""RegMean (Jin et al. 2023): weights of one model that come closest to what each student's linear layers write on its own rows.

For layers W_i, [inputs, outputs], with Gram matrices G_i of their inputs: W = (Σ G_i)⁻¹ Σ G_i W_i. RegMean++ (2025) takes the inputs of a
block from the blocks before it that are merged already.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import torch

from engine.students.activations import Enough, Grams, linear_layers, read, set_weight, watched, weight_of
from engine.students.operations.base import LearnedRows
from engine.students.token_rows import MicroBatch

EPSILON = 1e-10
"""Of the mean of a Gram matrix's diagonal, added to it: where the inputs say nothing, the weights are the mean."""
BLOCK = re.compile(r"^(.*?\.\d+)\.")

Check = Callable[[], None]


def shrunk(gram: torch.Tensor, alpha: float) -> torch.Tensor:
    """A Gram matrix with everything off its diagonal times `alpha`."""
    return alpha * gram + (1 - alpha) * torch.diag(gram.diagonal())


def solved(
    grams: Sequence[torch.Tensor], weights: Sequence[torch.Tensor], alpha: float, epsilon: float = EPSILON
) -> torch.Tensor:
    """The merged weight, [inputs, outputs].

    Args:
        grams: of each student's inputs, [inputs, inputs] in float64.
        weights: of each student, [inputs, outputs] in float64.
        alpha: see `shrunk`.
        epsilon: see `EPSILON`.
    """
    size = grams[0].shape[0]
    scale = sum(float(gram.diagonal().mean()) for gram in grams) / len(grams)
    own = [
        shrunk(gram, alpha) + epsilon * (scale or 1.0) * torch.eye(size, dtype=gram.dtype) for gram in grams
    ]
    left, right = own[0], own[0] @ weights[0]
    for gram, weight in zip(own[1:], weights[1:], strict=True):
        left, right = left + gram, right + gram @ weight
    return torch.linalg.solve(left, right)


def objective(grams: Sequence[torch.Tensor], weights: Sequence[torch.Tensor], merged: torch.Tensor) -> float:
    """How far a merged layer's outputs are from the students' own: the mean squared distance a token, summed over students."""
    return sum(
        float(((merged - weight) * (gram @ (merged - weight))).sum())
        for gram, weight in zip(grams, weights, strict=True)
    )


def grams_of(
    model: Any, rows: LearnedRows, batches: Sequence[MicroBatch], check: Check
) -> dict[str, torch.Tensor]:
    """The Gram matrix of each linear layer's inputs while a student reads its rows."""
    found = Grams()
    with watched(linear_layers(model), found.add):
        read(model, rows.architecture, batches, check)
    return found.means()


def fill(model: Any, weights: Mapping[str, torch.Tensor]) -> None:
    """Writes weights by their names in `state_dict`."""
    own = model.state_dict()
    with torch.no_grad():
        for name, tensor in weights.items():
            own[name].copy_(tensor)


def blocks_of(model: Any, rows: LearnedRows, batch: MicroBatch, check: Check) -> list[list[str]]:
    """The names of the linear layers by transformer block, in the order in which they compute."""
    found: dict[str, list[str]] = {}

    def seen(name: str, _inputs: torch.Tensor) -> None:
        block = BLOCK.match(name)
        own = found.setdefault(block[1] if block else name, [])
        if name not in own:
            own.append(name)

    with watched(linear_layers(model), seen):
        read(model, rows.architecture, [batch], check)
    return list(found.values())


def block_grams(
    model: Any, rows: LearnedRows, batches: Sequence[MicroBatch], names: Sequence[str], check: Check
) -> dict[str, torch.Tensor]:
    """The Gram matrices of some layers; each forward pass ends behind the last of them."""
    layers, found = linear_layers(model), Grams()

    def enough(_layer: Any, _inputs: Any, _outputs: Any) -> None:
        raise Enough

    handle = layers[names[-1]].register_forward_hook(enough)
    try:
        with watched({name: layers[name] for name in names}, found.add):
            read(model, rows.architecture, batches, check)
    finally:
        handle.remove()
    return found.means()


def prefix_of(names: Sequence[str]) -> str:
    """What the names of all parameters of a block begin with; empty where its layers are in none."""
    block = BLOCK.match(names[0])
    return f"{block[1]}." if block else ""


def merged_layers(
    grams: Sequence[Mapping[str, torch.Tensor]], layers: Sequence[Mapping[str, Any]], alpha: float
) -> Iterator[tuple[str, torch.Tensor, float, float]]:
    """Each layer's name and merged weight, and how far it and the simple mean are from the students: see `objective`."""
    for name in grams[0]:
        if not all(name in each for each in grams):
            continue  # a student's rows never reached it: it stays the mean
        own = [each[name] for each in grams]
        weights = [weight_of(each[name]) for each in layers]
        merged = solved(own, weights, alpha)
        mean = torch.stack(weights).mean(0)
        yield name, merged, objective(own, weights, merged), objective(own, weights, mean)


def write(model: Any, found: Mapping[str, torch.Tensor]) -> None:
    """Writes merged layers into a model."""
    layers = linear_layers(model)
    for name, weight in found.items():
        set_weight(layers[name], weight)
