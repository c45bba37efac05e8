"""Which neurons of feed-forward networks are left out, and what makes up for them. Measured while a student reads its own rows.

A criterion is a function of what was seen to the neurons in the order in which they go.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

import torch

from engine.errors import JobFailed
from engine.students.activations import Grams, read, watched, weight_of
from engine.students.architecture import Architecture
from engine.students.feed_forward import FeedForward, networks_of, set_width
from engine.students.token_rows import MicroBatch

SAMPLE = 6000
"""Positions that mutual information is estimated from."""
BINS = 16
EPSILON = 1e-6
"""Of the mean of a Gram matrix's diagonal, added to it before it is solved."""
ROUND_FROM, ROUND_TO = 512, 8


@dataclass(frozen=True, slots=True)
class Seen:
    """The activations of a network's neurons on some rows."""

    gram: torch.Tensor
    """[neurons, neurons] in float64: the mean over tokens of their products."""
    sample: torch.Tensor
    """[positions, neurons]: those of some tokens."""


class Reservoir:
    """A uniform sample of what goes into each layer, a function of the seed and of the order."""

    def __init__(self, seed: int, size: int = SAMPLE) -> None:
        self._seed, self._size = seed, size
        self._draws: dict[str, torch.Generator] = {}
        self._keys: dict[str, torch.Tensor] = {}
        self.values: dict[str, torch.Tensor] = {}
        """By layer: [positions, width]."""

    def add(self, name: str, inputs: torch.Tensor) -> None:
        """Shows it the inputs of a layer, [tokens, width]."""
        draw = self._draws.setdefault(name, torch.Generator().manual_seed(self._seed))
        keys = torch.rand(len(inputs), generator=draw, dtype=torch.float64)
        values = inputs.float().cpu()
        if name in self.values:
            keys, values = torch.cat([self._keys[name], keys]), torch.cat([self.values[name], values])
        best = keys.topk(min(self._size, len(keys))).indices.sort().values
        self._keys[name], self.values[name] = keys[best], values[best]


def observe(
    model: Any,
    architecture: Architecture,
    batches: Sequence[MicroBatch],
    *,
    seed: int,
    check: Callable[[], None],
) -> dict[str, Seen]:
    """What the neurons of each network do while a model reads batches.

    Raises:
        JobFailed: it has no networks of a known shape.
    """
    _, networks = networks_of(model)
    grams, sample = Grams(), Reservoir(seed)

    def seen(name: str, inputs: torch.Tensor) -> None:
        grams.add(name, inputs)
        sample.add(name, inputs)

    with watched({each.name: each.out for each in networks}, seen):
        read(model, architecture, batches, check)
    return {name: Seen(gram, sample.values[name]) for name, gram in grams.means().items()}


def by_activation(network: FeedForward, seen: Seen, _draw: torch.Generator) -> torch.Tensor:
    """Those first whose share of the network's output is smallest: root mean square, times the norm of the weights that read it."""
    return _contribution(network, seen).argsort(stable=True)


def by_magnitude(network: FeedForward, _seen: Seen, _draw: torch.Generator) -> torch.Tensor:
    """Those first whose weights are smallest: the product of the norms of all layers that write or read them."""
    found = weight_of(network.out).norm(dim=1)
    for layer in network.into:
        found = found * weight_of(layer).norm(dim=0)
    return found.argsort(stable=True)


def at_random(network: FeedForward, _seen: Seen, draw: torch.Generator) -> torch.Tensor:
    """Any."""
    return torch.randperm(network.width, generator=draw)


def by_mutual_information(network: FeedForward, seen: Seen, _draw: torch.Generator) -> torch.Tensor:
    """One of the two that know most of each other, then of the next two: the one that contributes less."""
    shared = mutual_information(seen.sample)
    size = len(shared)
    rows, columns = torch.triu_indices(size, size, offset=1)
    order = shared[rows, columns].argsort(descending=True, stable=True)
    pairs = torch.stack([rows[order], columns[order]], 1).tolist()
    less = _contribution(network, seen).tolist()
    gone: dict[int, None] = {}
    for one, other in pairs:
        if one not in gone and other not in gone:
            gone[one if less[one] < less[other] else other] = None
    return torch.tensor([*gone, *(each for each in range(size) if each not in gone)])


def mutual_information(sample: torch.Tensor) -> torch.Tensor:
    """How much of the smaller entropy two neurons share, [neurons, neurons] in 0..1.

    Activations are binned by quantiles, zeros apart. A neuron that never changes shares everything.
    """
    codes = torch.stack([_binned(column.contiguous()) for column in sample.T], 1)
    count, size = codes.shape
    each = torch.nn.functional.one_hot(codes, BINS + 1).float()  # [positions, neurons, bins]
    entropy = _entropy(each.mean(0).double())
    found = torch.ones(size, size, dtype=torch.float64)
    flat = each.reshape(count, -1)
    for place in range(size):
        both = (each[:, place].T @ flat / count).double().reshape(BINS + 1, size, BINS + 1)
        joint = _entropy(both.permute(1, 0, 2).reshape(size, -1))
        shared = entropy[place] + entropy - joint
        least = torch.minimum(entropy[place], entropy)
        found[place] = torch.where(least > 0, shared / least.clamp(min=1e-12), torch.ones_like(least))
    return found


def _binned(values: torch.Tensor) -> torch.Tensor:
    """The bin of each value: 0 for zero, from 1 on by quantiles of the others."""
    other = values[values != 0]
    if not len(other):
        return torch.zeros(len(values), dtype=torch.long)
    edges = other.quantile(torch.linspace(0, 1, BINS + 1)[1:-1])
    return torch.where(values == 0, 0, 1 + torch.bucketize(values, edges))


def _entropy(shares: torch.Tensor) -> torch.Tensor:
    """Of distributions in the last dimension, in nats."""
    return -torch.special.xlogy(shares, shares).sum(-1)


def _contribution(network: FeedForward, seen: Seen) -> torch.Tensor:
    return seen.gram.diagonal().clamp(min=0).sqrt() * weight_of(network.out).norm(dim=1)


Criterion = Callable[[FeedForward, Seen, torch.Generator], torch.Tensor]
CRITERIA: Mapping[str, Criterion] = MappingProxyType(
    {
        "activation": by_activation,
        "mutual-information": by_mutual_information,
        "magnitude": by_magnitude,
        "random": at_random,
    }
)


def kept_of(width: int, share: float) -> int:
    """How many neurons stay; a multiple of `ROUND_TO` in wide networks.

    Raises:
        JobFailed: none would go, or none would stay.
    """
    kept = round(width * (1 - share))
    if width >= ROUND_FROM:
        kept = round(kept / ROUND_TO) * ROUND_TO
    if not 0 < kept < width:
        raise JobFailed(f"prune.share = {share:g} of {width} neurons leaves {kept}: choose another share")
    return kept


def prune(
    model: Any,
    seen: Mapping[str, Seen],
    *,
    share: float,
    criterion: str,
    refit: bool,
    seed: int,
    check: Callable[[], None] = lambda: None,
) -> dict[str, float]:
    """Cuts a share of the neurons of each network out of a model, in place.

    Args:
        model: whose networks were observed.
        seen: by network.
        share: of the neurons to leave out.
        criterion: one of `CRITERIA`.
        refit: whether the weights that read the others are fitted to the outputs that there were.
        seed: of the random criterion.
        check: called before each network.

    Returns:
        How many neurons a network has and had, and the share of its output's square that is lost, as a mean over networks.

    Raises:
        JobFailed: see `kept_of` and `networks_of`.
    """
    shape, networks = networks_of(model)
    width = networks[0].width
    count = kept_of(width, share)
    draw = torch.Generator().manual_seed(seed)
    lost = 0.0
    for network in networks:
        check()
        own = seen[network.name]
        order = CRITERIA[criterion](network, own, draw)
        kept = order[width - count :].sort().values
        weight = weight_of(network.out)
        output = refitted(own.gram, weight, kept) if refit else weight[kept]
        lost += distance(own.gram, weight, kept, output)
        network.cut(kept, output)
    set_width(model, shape, count)
    return {"neurons": count, "neurons_before": width, "objective": lost / len(networks)}


def refitted(gram: torch.Tensor, weight: torch.Tensor, kept: torch.Tensor) -> torch.Tensor:
    """The weights that read the kept neurons, [kept, outputs], by least squares of the outputs that there were."""
    own = gram[kept][:, kept]
    own = own + EPSILON * own.diagonal().mean().clamp(min=1e-30) * torch.eye(len(kept), dtype=own.dtype)
    return torch.linalg.solve(own, gram[kept] @ weight)


def distance(gram: torch.Tensor, weight: torch.Tensor, kept: torch.Tensor, output: torch.Tensor) -> float:
    """The share of the mean square of a network's output that is lost."""
    off = weight.clone()
    off[kept] -= output
    whole = float((weight * (gram @ weight)).sum())
    return float((off * (gram @ off)).sum()) / whole if whole else 0.0
