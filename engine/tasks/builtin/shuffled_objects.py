"""Tracking shuffled objects (BIG-bench): people swap things in pairs; who has what in the end? A choice.

The five scenes are the benchmark's, in the paper's wording; any number of people and swaps is read.
"""

from __future__ import annotations

import random
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

from engine.config.tasks import AnswerFormat
from engine.tasks.builtin.interface import BuiltinTask, Draft, Found, Problem, walk
from engine.tasks.builtin.options import Option, Value, number
from engine.tasks.builtin.scenes import PEOPLE, SCENES, Scene, listed

Swap = tuple[int, int]
Holding = tuple[int, ...]
"""For each person the number of the thing that they hold."""


@dataclass(frozen=True)
class ShuffledObjects(Problem[Swap, Holding]):
    """A move is a pair of people, the state is who holds what."""

    scene: Scene
    people: tuple[str, ...]
    things: tuple[str, ...]
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
        """The wrong two trade, or nobody does."""
        first, second = move
        others = [person for person in range(len(state)) if person not in move]
        wrong = [_traded(state, rng.choice(move), person) for person in others]
        return rng.choice([*wrong, state] if first != second else wrong or [state[1:] + state[:1]])

    def answer(self, state: Holding) -> str:
        """The letter of what the person in question holds."""
        thing = self.things[state[self.asked]]
        return "ABCDEFGHIJKLMNOPQRSTUVWXYZ"[self.choices.index(thing)] if thing in self.choices else thing


def _traded(state: Holding, first: int, second: int) -> Holding:
    held = list(state)
    held[first], held[second] = held[second], held[first]
    return tuple(held)


class ShuffledObjectsTask(BuiltinTask):
    """Shuffled objects of so many people and swaps."""

    name: ClassVar[str] = "tracking_shuffled_objects"
    options: ClassVar[Mapping[str, Option]] = {
        "people": Option(3, "people in a question", 2, len(PEOPLE)),
        "swaps": Option(3, "swaps in a question", 1, 24),
    }

    def formats(self, options: Mapping[str, Value]) -> tuple[AnswerFormat, ...]:
        """A letter."""
        return ("choice",)

    def draw(self, rng: random.Random, options: Mapping[str, Value]) -> Draft:
        """One of the scenes, with pairs in either order."""
        scene = rng.choice(SCENES)
        people = PEOPLE[: number(options, "people")]
        things = tuple(rng.sample(scene.things, len(people)))
        swaps = tuple(_pair(rng, len(people)) for _ in range(number(options, "swaps")))
        asked = rng.randrange(len(people))
        problem = ShuffledObjects(scene, people, things, things, swaps, asked)
        held = listed([scene.held(who, thing) for who, thing in zip(people, things, strict=True)])
        told = " ".join(
            f"{_ordinal(i, len(swaps))}, {people[a]} and {people[b]} {scene.swap}."
            for i, (a, b) in enumerate(swaps)
        )
        choices = ", ".join(
            f"({letter}) {thing}" for letter, thing in zip("ABCDEFGHIJ", things, strict=False)
        )
        text = (
            f"{listed(list(people))} {scene.setting} {held}. \n\n{scene.before} {told} "
            f"{scene.ending.format(who=people[asked])}\nWhich choice is true? Answer choices: {choices}."
        )
        return Draft(text, walk(problem).answer)

    def find(self, text: str) -> Found | None:
        """The last such question."""
        latest: Found | None = None
        for scene in SCENES:
            for match in scene.question.finditer(text):
                found = _read(scene, match)
                if found and (latest is None or found.start > latest.start):
                    latest = found
        return latest


def _pair(rng: random.Random, people: int) -> Swap:
    first, second = rng.sample(range(people), 2)
    return first, second


def _ordinal(index: int, count: int) -> str:
    return "First" if index == 0 else "Finally" if index == count - 1 else "Then"


def _read(scene: Scene, match: re.Match[str]) -> Found | None:
    held = scene.holder.findall(match["held"])
    people = tuple(who for who, _ in held)
    things = tuple(thing for _, thing in held)
    pairs = re.findall(r"(\w+) and (\w+) " + re.escape(scene.swap), match["swaps"])
    choices = tuple(re.findall(r"\([A-Z]\) (.+?)(?=[,.]? \([A-Z]\)|[,.]?$)", match["choices"].strip()))
    known = set(people)
    if len(known) < 2 or len(known) != len(people) or match["asked"] not in known:
        return None
    if not choices or len(choices) > 26 or any(who not in known for pair in pairs for who in pair):
        return None
    swaps = tuple((people.index(a), people.index(b)) for a, b in pairs)
    problem = ShuffledObjects(scene, people, things, choices, swaps, people.index(match["asked"]))
    return Found(problem, match.start(), match.end())
