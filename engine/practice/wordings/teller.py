"""How a walk through a problem is told: several wordings, and how its last state is read out of a text again.

A teller never solves: what it tells is the walk with its slips, what it reads is what a rationale says.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import exp
from typing import Any, TypeVar

from engine.tasks.builtin import Walk

Item = TypeVar("Item")
Told = Callable[[Walk[Any, Any]], str]


@dataclass(frozen=True, slots=True)
class Teller:
    """The ways one task's reasoning is put into words.

    `wordings` tell the steps, `openings` come before them (one may be empty), `closings` say the last state.
    `read` gives the answer that a rationale leads to, None where it says nothing of the kind.
    """

    openings: tuple[str, ...]
    wordings: tuple[Told, ...]
    closings: tuple[Told, ...]
    read: Callable[[Any, str], str | None]

    def tell(
        self,
        walk: Walk[Any, Any],
        order: random.Random,
        rng: random.Random,
        temperature: float,
        *,
        terse: bool,
    ) -> str:
        """A rationale.

        Args:
            walk: what to tell.
            order: gives this prompt's favourite ways; the same for all its completions.
            rng: gives this completion's choices.
            temperature: 0 takes the favourites; the higher, the more evenly all ways come.
            terse: no opening, and always the same closing.
        """
        wording = choose(self.wordings, order, rng, temperature)
        opening = choose(self.openings, order, rng, temperature)
        closing = choose(self.closings, order, rng, temperature)
        parts = [wording(walk), self.closings[0](walk)] if terse else [opening, wording(walk), closing(walk)]
        return " ".join(part for part in parts if part)


def choose(ways: Sequence[Item], order: random.Random, rng: random.Random, temperature: float) -> Item:
    """One of the ways: the r-th favourite has the weight exp(-r / 6T)."""
    ranked = order.sample(range(len(ways)), len(ways))
    if temperature <= 0:
        return ways[ranked[0]]
    weights = [exp(-rank / (6 * temperature)) for rank in range(len(ways))]
    return ways[rng.choices(ranked, weights)[0]]
