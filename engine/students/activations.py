"""What goes into the layers of a model while it reads rows: for operations that are computed on data.

A batch has rows of one length, so there is no padding that could be counted.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import torch

from engine.students.architecture import Architecture
from engine.students.token_rows import MicroBatch, TokenRow

BATCH_TOKENS = 4096
Seen = Callable[[str, torch.Tensor], None]
"""Is told a layer and its inputs, [tokens, width]."""


class Enough(Exception):
    """Ends a forward pass behind the last layer that is needed."""


def even_batches(rows: Sequence[TokenRow], architecture: Architecture) -> list[MicroBatch]:
    """The rows in batches of equal lengths, so that nothing is padded; shorter rows first."""
    groups: dict[tuple[int, ...], list[TokenRow]] = {}
    for row in rows:
        groups.setdefault(architecture.lengths(row), []).append(row)
    found = []
    for lengths in sorted(groups):
        own = groups[lengths]
        count = max(1, BATCH_TOKENS // sum(lengths))
        found += [architecture.collate(own[start : start + count], 0) for start in range(0, len(own), count)]
    return found


def weight_of(layer: Any) -> torch.Tensor:
    """A copy of a linear layer's weight, [inputs, outputs] in float64. GPT-2's Conv1D has it so, a Linear the other way."""
    weight = layer.weight.detach().double().cpu()
    return weight.clone() if is_conv1d(layer) else weight.T.contiguous()


def set_weight(layer: Any, weight: torch.Tensor) -> None:
    """Writes a weight, [inputs, outputs], into a linear layer of that shape."""
    with torch.no_grad():
        layer.weight.copy_(weight if is_conv1d(layer) else weight.T)


def is_conv1d(layer: Any) -> bool:
    """Whether it is GPT-2's linear layer."""
    from transformers.pytorch_utils import Conv1D

    return isinstance(layer, Conv1D)


def linear_layers(model: Any) -> dict[str, Any]:
    """The linear layers by name, without the head and what shares its weights with the embeddings."""
    embedded = {id(part.weight) for part in (model.get_input_embeddings(),) if part is not None}
    head = model.get_output_embeddings()
    return {
        name: part
        for name, part in model.named_modules()
        if (isinstance(part, torch.nn.Linear) or is_conv1d(part))
        and part is not head
        and id(part.weight) not in embedded
    }


@contextmanager
def watched(layers: Mapping[str, Any], seen: Seen) -> Iterator[None]:
    """Tells of the inputs of these layers while it lasts."""

    def hook(name: str) -> Callable[[Any, tuple[Any, ...]], None]:
        def before(_layer: Any, inputs: tuple[Any, ...]) -> None:
            seen(name, inputs[0].detach().reshape(-1, inputs[0].shape[-1]))

        return before

    handles = [layer.register_forward_pre_hook(hook(name)) for name, layer in layers.items()]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


def read(
    model: Any, architecture: Architecture, batches: Sequence[MicroBatch], check: Callable[[], None]
) -> None:
    """Lets a model read batches. `check` is called before each; `Enough` ends one early."""
    device = next(model.parameters()).device
    with torch.inference_mode():
        for batch in batches:
            check()
            inputs = {name: torch.from_numpy(value).to(device) for name, value in batch.inputs.items()}
            try:
                architecture.logits(model, inputs)
            except Enough:
                continue


class Grams:
    """The mean of xᵀx over the tokens that went into each layer, [inputs, inputs] in float64."""

    def __init__(self) -> None:
        self._sums: dict[str, torch.Tensor] = {}
        self._tokens: dict[str, int] = {}

    def add(self, name: str, inputs: torch.Tensor) -> None:
        """Counts the inputs of a layer, [tokens, inputs]."""
        values = inputs.double()
        own = (values.T @ values).cpu()
        self._sums[name] = self._sums[name] + own if name in self._sums else own
        self._tokens[name] = self._tokens.get(name, 0) + len(values)

    def means(self) -> dict[str, torch.Tensor]:
        """By layer; one that nothing went into is not among them."""
        return {name: total / self._tokens[name] for name, total in self._sums.items()}
