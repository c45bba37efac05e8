"""Coin flips (Wei et al. 2022): people flip a coin or do not; is it still heads up? Answer yes or no.

The wording is the paper's, so its questions are solved as well. A person's name may have several words.
"""

from __future__ import annotations

import random
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar, Literal

from engine.config.tasks import AnswerFormat
from engine.tasks.builtin.interface import BuiltinTask, Draft, Found, Problem, last_match, walk
from engine.tasks.builtin.names import PLAIN
from engine.tasks.builtin.options import Option, Value, number

Side = Literal["heads", "tails"]

_QUESTION = re.compile(
    r"A coin is (heads|tails) up\.((?:\s+[^.?!\n]{1,60}? (?:flips|does not flip) the coin\.)+)"
    r"\s+Is the coin still (heads|tails) up\?(?:\s+Note that \"flip\" here means \"reverse\"\.)?"
)
_TURN = re.compile(r"\s+([^.?!\n]{1,60}?) (flips|does not flip) the coin\.")


@dataclass(frozen=True, slots=True)
class Turn:
    """What one person does."""

    who: str
    flips: bool


@dataclass(frozen=True)
class CoinFlip(Problem[Turn, Side]):
    """The state is the side that is up."""

    start: Side
    moves: tuple[Turn, ...]
    asked: Side

    def apply(self, state: Side, move: Turn) -> Side:
        """A flip turns the coin over."""
        return other(state) if move.flips else state

    def slip(self, state: Side, move: Turn, rng: random.Random) -> Side:
        """The other side."""
        return other(self.apply(state, move))

    def answer(self, state: Side) -> str:
        """Is that side up?"""
        return "yes" if state == self.asked else "no"


def other(side: Side) -> Side:
    """The other side of the coin."""
    return "tails" if side == "heads" else "heads"


class CoinFlipTask(BuiltinTask):
    """Coin flips of so many people."""

    name: ClassVar[str] = "coin_flip"
    options: ClassVar[Mapping[str, Option]] = {
        "people_min": Option(4, "fewest people in a question", 1, len(PLAIN)),
        "people_max": Option(6, "most people in a question", 1, len(PLAIN)),
    }
    span: ClassVar[str | None] = "people"

    def formats(self, options: Mapping[str, Value]) -> tuple[AnswerFormat, ...]:
        """Yes or no."""
        return ("yes_no",)

    def draw(self, rng: random.Random, options: Mapping[str, Value]) -> Draft:
        """Different people, each of whom flips the coin with probability one half."""
        count = rng.randint(number(options, "people_min"), number(options, "people_max"))
        turns = tuple(Turn(who, rng.random() < 0.5) for who in rng.sample(PLAIN, count))
        problem = CoinFlip("heads", turns, "heads")
        told = " ".join(f"{t.who} {'flips' if t.flips else 'does not flip'} the coin." for t in turns)
        text = (
            f'A coin is heads up. {told} Is the coin still heads up? Note that "flip" here means "reverse".'
        )
        return Draft(text, walk(problem).answer)

    def find(self, text: str) -> Found | None:
        """The last such question."""
        last = last_match(_QUESTION, text)
        if last is None:
            return None
        turns = tuple(Turn(who, verb == "flips") for who, verb in _TURN.findall(last[2]))
        return Found(CoinFlip(_side(last[1]), turns, _side(last[3])), last.start(), last.end())


def _side(word: str) -> Side:
    return "heads" if word == "heads" else "tails"
