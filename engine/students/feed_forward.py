"""The feed-forward networks of a model: where their neurons are, and how some are cut out.

All of them keep equally many neurons, since a configuration has one width and servers read no other.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch

from engine.errors import JobFailed
from engine.students.activations import is_conv1d, set_weight, weight_of


@dataclass(frozen=True, slots=True)
class Shape:
    """A kind of feed-forward network: the layers that write its neurons, the layer that reads them, and the width's name."""

    into: tuple[str, ...]
    out: str
    width: str
    families: str


SHAPES = (
    Shape(("gate_proj", "up_proj"), "down_proj", "intermediate_size", "Llama, Qwen, Mistral, Gemma"),
    Shape(("c_fc",), "c_proj", "n_inner", "GPT-2"),
    Shape(("wi_0", "wi_1"), "wo", "d_ff", "T5 with gates"),
    Shape(("wi",), "wo", "d_ff", "T5"),
)


@dataclass(frozen=True, slots=True)
class FeedForward:
    """One network of a model."""

    name: str
    into: tuple[Any, ...]
    out: Any

    @property
    def width(self) -> int:
        """The number of its neurons."""
        return int(self.out.weight.shape[0 if is_conv1d(self.out) else 1])

    def cut(self, kept: torch.Tensor, output: torch.Tensor) -> None:
        """Keeps some neurons.

        Args:
            kept: their numbers, in order.
            output: the weight of the layer that reads them, [kept, outputs].
        """
        for layer in self.into:
            _resize(layer, weight_of(layer)[:, kept])
            if layer.bias is not None:
                layer.bias = torch.nn.Parameter(layer.bias.detach()[kept.to(layer.bias.device)].clone())
        _resize(self.out, output)


def networks_of(model: Any) -> tuple[Shape, list[FeedForward]]:
    """All feed-forward networks of a model, in order.

    Raises:
        JobFailed: it has none of a known shape, or of several widths.
    """
    modules = dict(model.named_modules())
    for shape in SHAPES:
        found = [
            FeedForward(name, tuple(getattr(module, each) for each in shape.into), getattr(module, shape.out))
            for name, module in modules.items()
            if all(_is_linear(getattr(module, each, None)) for each in (*shape.into, shape.out))
        ]
        if not found:
            continue
        widths = {each.width for each in found}
        if len(widths) > 1 or getattr(model.config, shape.width, None) not in {*widths, None}:
            raise JobFailed(
                f"the feed-forward networks of {type(model).__name__} have {', '.join(map(str, sorted(widths)))} neurons, and its configuration says"
                f" {getattr(model.config, shape.width, None)}: only models with one width can be pruned"
            )
        return shape, found
    known = ", ".join(shape.families for shape in SHAPES)
    raise JobFailed(
        f"{type(model).__name__} has no feed-forward networks of a known shape ({known}): it cannot be pruned"
    )


def set_width(model: Any, shape: Shape, width: int) -> None:
    """Writes the width into the configuration of a model whose networks were cut."""
    setattr(model.config, shape.width, width)


def _is_linear(layer: Any) -> bool:
    return isinstance(layer, torch.nn.Linear) or is_conv1d(layer)


def _resize(layer: Any, weight: torch.Tensor) -> None:
    """Gives a linear layer a weight of another shape, [inputs, outputs]."""
    inputs, outputs = weight.shape
    shape: Sequence[int] = (inputs, outputs) if is_conv1d(layer) else (outputs, inputs)
    layer.weight = torch.nn.Parameter(layer.weight.new_empty(shape), requires_grad=False)
    if is_conv1d(layer):
        layer.nx, layer.nf = inputs, outputs
    else:
        layer.in_features, layer.out_features = inputs, outputs
    set_weight(layer, weight)
