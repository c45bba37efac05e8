"""The order of the rows of a long list: newest first, oldest first, or at random by a seed. Pure.

A row is found from its rank (0: the oldest) and back without a list of all rows, so a jump among a million costs as much as among ten.
At random, a fixed number of the oldest rows is shuffled by a Feistel network; rows that come later follow in the order they came,
so what you have read stays where it was, and the same seed gives the same order again.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

ROUNDS = 4
_MASK = (1 << 64) - 1


@dataclass(frozen=True, slots=True)
class RowOrder:
    """An order of rows; `seed` is None unless it is random."""

    newest_first: bool = True
    seed: int | None = None
    shuffled: int = 0
    """The number of rows that are shuffled."""

    @property
    def words(self) -> str:
        """Its name."""
        if self.seed is not None:
            return f"random order {self.seed}"
        return "newest first" if self.newest_first else "oldest first"

    @property
    def grows_above(self) -> bool:
        """Whether rows that come later stand above the others."""
        return self.newest_first and self.seed is None

    def within(self, total: int) -> RowOrder:
        """The order of a list that has become shorter."""
        return replace(self, shuffled=total) if self.shuffled > total else self

    def rank(self, index: int, total: int) -> int:
        """How many rows are older than row `index` of `total`."""
        if self.seed is not None:
            return permuted(index, self.shuffled, self.seed) if index < self.shuffled else index
        return total - 1 - index if self.newest_first else index

    def index(self, rank: int, total: int) -> int:
        """The row of a rank."""
        if self.seed is not None:
            return unpermuted(rank, self.shuffled, self.seed) if rank < self.shuffled else rank
        return total - 1 - rank if self.newest_first else rank


def permuted(value: int, size: int, seed: int) -> int:
    """The image of a number below `size` under a permutation of these numbers."""
    half = _half(size)
    while (
        True
    ):  # a network permutes a power of 4, up to four times as many: it goes on until it is below `size`
        left, right = value >> half, value & ((1 << half) - 1)
        for number in range(ROUNDS):
            left, right = right, left ^ _mixed(right, seed, number, half)
        value = left << half | right
        if value < size:
            return value


def unpermuted(value: int, size: int, seed: int) -> int:
    """The inverse of `permuted`."""
    half = _half(size)
    while True:
        left, right = value >> half, value & ((1 << half) - 1)
        for number in reversed(range(ROUNDS)):
            left, right = right ^ _mixed(left, seed, number, half), left
        value = left << half | right
        if value < size:
            return value


def _half(size: int) -> int:
    return max(1, ((size - 1).bit_length() + 1) // 2)


def _mixed(value: int, seed: int, number: int, bits: int) -> int:
    """Some bits that depend on all of value, seed and round (the finaliser of splitmix64)."""
    found = (value + (seed * ROUNDS + number + 1) * 0x9E3779B97F4A7C15) & _MASK
    found = ((found ^ found >> 30) * 0xBF58476D1CE4E5B9) & _MASK
    found = ((found ^ found >> 27) * 0x94D049BB133111EB) & _MASK
    return (found ^ found >> 31) & ((1 << bits) - 1)
