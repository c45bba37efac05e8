"""Which rows make which batch: a pure function of lengths, seed, batch size and number. Needs numpy only.

Rows are sorted by length (rows of equal length in a new random order each epoch) and cut into micro-batches of at most
`batch_tokens` padded tokens; then the micro-batches are shuffled. A row may have several sides that are padded
separately (encoder and decoder): it is sorted by its total length, then by its first side. Packed rows need no padding: a
micro-batch then takes as many rows as have `batch_tokens` together. With `batch_rows`, a micro-batch takes that many rows of
a random order instead, whatever their length, and the last one of an epoch the rest. The sorted lengths are the same in every epoch, and so
are the cuts. So every epoch has the same number of micro-batches, and micro-batch n of the endless stream is found
without computing the ones before it.

Step s, of world size W and accumulation A, takes micro-batches s*W*A … (s+1)*W*A - 1. Rank r takes every W-th of them,
starting at the r-th. So the data of a step depends on W*A alone (two ranks without accumulation see the same rows as one
rank with accumulation 2), and a resumed run needs only its step number.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

import numpy as np


class BatchPlan:
    """The order of all rows of a training, epoch after epoch.

    Args:
        lengths: the length of each row, or the lengths of its sides.
        batch_tokens: the largest number of padded tokens in a micro-batch.
        batch_rows: the number of rows in a micro-batch; None: `batch_tokens` decides.
        seed: decides the order.
        packed: whether rows follow one another without padding.
        begin: the epoch of the stream that comes first. A student that goes on has seen those before it.
    """

    def __init__(
        self,
        lengths: Sequence[int] | Sequence[tuple[int, ...]],
        *,
        batch_tokens: int,
        batch_rows: int | None = None,
        seed: int,
        packed: bool = False,
        begin: int = 0,
    ) -> None:
        self._lengths = np.asarray(lengths, dtype=np.int64).reshape(len(lengths), -1)
        self._seed = seed
        self._batch_rows = batch_rows
        if batch_rows is not None:
            self._cuts = list(range(batch_rows, len(lengths), batch_rows))
        else:
            sizes = self._lengths[self._sorted(np.arange(len(lengths)))]
            self._cuts = _packed_cuts(sizes, batch_tokens) if packed else _cuts(sizes, batch_tokens)
        self.begin = begin
        self.micro_batches = len(self._cuts) + 1
        """Micro-batches in an epoch."""
        self._epoch = lru_cache(maxsize=2)(self._order)

    def micro_batch(self, number: int) -> np.ndarray:
        """The row indices of micro-batch `number` of the stream."""
        epoch, index = divmod(number, self.micro_batches)
        return self._epoch(self.begin + epoch)[index]

    def step(self, step: int, *, world: int, accumulation: int) -> list[list[np.ndarray]]:
        """The micro-batches of optimizer step `step` (from 0), per rank in order."""
        first = step * world * accumulation
        return [
            [self.micro_batch(first + number * world + rank) for number in range(accumulation)]
            for rank in range(world)
        ]

    def epochs(self, steps: int, *, world: int, accumulation: int) -> float:
        """The number of epochs in `steps` optimizer steps."""
        return steps * world * accumulation / self.micro_batches

    def _order(self, epoch: int) -> list[np.ndarray]:
        random = np.random.default_rng((self._seed % 2**63, epoch))
        drawn = random.permutation(len(self._lengths))
        if self._batch_rows is not None:
            return np.split(drawn, self._cuts)
        rows = self._sorted(drawn)
        groups = np.split(rows, self._cuts)
        return [groups[index] for index in random.permutation(len(groups))]

    def _sorted(self, rows: np.ndarray) -> np.ndarray:
        lengths = self._lengths[rows]
        order = np.lexsort(
            (*lengths.T[:-1][::-1], lengths.sum(axis=1))
        )  # stable; the last key is the primary one
        return rows[order]


def _cuts(lengths: np.ndarray, batch_tokens: int) -> list[int]:
    """Cuts sorted rows so that rows x longest <= batch_tokens; a longer row is alone."""
    cuts: list[int] = []
    start, longest = 0, [0] * lengths.shape[1]
    for index, row in enumerate(lengths.tolist()):
        longest = [max(pair) for pair in zip(longest, row, strict=True)]
        if index > start and (index - start + 1) * sum(longest) > batch_tokens:
            cuts.append(index)
            start, longest = index, row
    return cuts


def _packed_cuts(lengths: np.ndarray, batch_tokens: int) -> list[int]:
    """Cuts rows so that their lengths add up to at most batch_tokens; a longer row is alone."""
    cuts: list[int] = []
    start = total = 0
    for index, length in enumerate(lengths.sum(axis=1).tolist()):
        if index > start and total + length > batch_tokens:
            cuts.append(index)
            start, total = index, 0
        total += length
    return cuts
