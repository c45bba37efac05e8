"""The problem behind a question about shuffled objects."""

from __future__ import annotations

import random
import string
from dataclasses import dataclass

from engine.tasks.builtin.tracking_shuffled_objects.scenes import Scene
from engine.tasks.procedural import Problem

Swap = tuple[int, int]
Holding = tuple[int, ...]
"""For each person the number of the object that they hold."""


@dataclass(frozen=True)
class ShuffledObjects(Problem[Swap, Holding]):
    """A move is a pair of people; the state is who holds what."""

    scene: Scene
    people: tuple[str, ...]
    objects: tuple[str, ...]
    choices: tuple[str, ...]
    moves: tuple[Swap, ...]
    asked: int

    @property
    def start(self) -> Holding:  # type: ignore[override]
        """Everyone holds their own."""
        return tuple(range(len(self.people)))

    def apply(self, state: Holding, move: Swap) -> Holding:
        """The two trade."""
        return _traded(state, *move)

    def slip(self, state: Holding, move: Swap, rng: random.Random) -> Holding:
        """One of the two trades with somebody else, or nobody trades."""
        first, second = move
        others = [person for person in range(len(state)) if person not in move]
        wrong = [_traded(state, rng.choice(move), person) for person in others]
        return rng.choice([*wrong, state] if first != second else wrong or [state[1:] + state[:1]])

    def answer(self, state: Holding) -> str:
        """The letter of what the person in question holds."""
        thing = self.objects[state[self.asked]]
        return string.ascii_uppercase[self.choices.index(thing)] if thing in self.choices else thing

    def phrase(self, move: Swap) -> str:
        """The names of the two."""
        return " ".join(self.people[person] for person in move)


def _traded(state: Holding, first: int, second: int) -> Holding:
    held = list(state)
    held[first], held[second] = held[second], held[first]
    return tuple(held)
