"""Multi-step arithmetic: a small number, changed step by step. Answer: a number.

Every true running value lies between 0 and `maximum`, so a very small student can learn it.
"""

from __future__ import annotations

import random
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar, Literal

from engine.config.tasks import AnswerFormat
from engine.tasks.builtin.interface import BuiltinTask, Draft, Found, Problem, last_match, walk
from engine.tasks.builtin.options import Option, Value, number

Kind = Literal["add", "take", "double"]

ORDINALS: tuple[str, ...] = (
    "First", "Second", "Third", "Fourth", "Fifth", "Sixth", "Seventh", "Eighth", "Ninth", "Tenth", "Eleventh", "Twelfth",
)  # fmt: skip

_TURN = re.compile(r"\s+(\w{1,20}), (?:(add|take away) (\d{1,6})|(double) it)\.")
_QUESTION = re.compile(
    r"The number is (\d{1,9})\.((?:\s+\w{1,20}, (?:(?:add|take away) \d{1,6}|double it)\.){1,64})"
    r"\s+What is the number now\?"
)


@dataclass(frozen=True, slots=True)
class Change:
    """One step; `amount` is 2 for a doubling, `ordinal` says which step it is (`First`)."""

    ordinal: str
    kind: Kind
    amount: int

    @property
    def words(self) -> str:
        """As the question says it."""
        if self.kind == "double":
            return "double it"
        return f"{'add' if self.kind == 'add' else 'take away'} {self.amount}"


@dataclass(frozen=True)
class Arithmetic(Problem[Change, int]):
    """The state is the running value."""

    start: int
    moves: tuple[Change, ...]

    def apply(self, state: int, move: Change) -> int:
        """The new value."""
        if move.kind == "add":
            return state + move.amount
        return state - move.amount if move.kind == "take" else state * 2

    def slip(self, state: int, move: Change, rng: random.Random) -> int:
        """One too many or too few, or the opposite of what was done; not below zero if that can be."""
        right = self.apply(state, move)
        opposite = state - move.amount if move.kind == "add" else state + move.amount
        wrong = [value for value in (right - 1, right + 1, opposite) if value != right and value >= 0]
        return rng.choice(wrong or [right + 1])

    def answer(self, state: int) -> str:
        """The value."""
        return str(state)


class ArithmeticTask(BuiltinTask):
    """Arithmetic in so many steps."""

    name: ClassVar[str] = "multi_step_arithmetic"
    options: ClassVar[Mapping[str, Option]] = {
        "steps_min": Option(3, "fewest steps in a question", 1, 12),
        "steps_max": Option(4, "most steps in a question", 1, 12),
        "maximum": Option(10, "greatest running value", 2, 9999),
        "amount_max": Option(3, "most that one step adds or takes away", 1, 999),
    }
    span: ClassVar[str | None] = "steps"

    def formats(self, options: Mapping[str, Value]) -> tuple[AnswerFormat, ...]:
        """A number."""
        return ("number", "math")

    def draw(self, rng: random.Random, options: Mapping[str, Value]) -> Draft:
        """Sums and differences and, where there is room, one time in five a doubling."""
        maximum = number(options, "maximum")
        start = value = rng.randint(1, min(9, maximum))
        moves: list[Change] = []
        for ordinal in ORDINALS[: rng.randint(number(options, "steps_min"), number(options, "steps_max"))]:
            kinds: list[Kind] = []
            if value < maximum:
                kinds += ["add", "add"]
            if value > 0:
                kinds += ["take", "take"]
            if 0 < value <= maximum // 2:
                kinds.append("double")
            kind = rng.choice(kinds)
            room = maximum - value if kind == "add" else value
            move = Change(
                ordinal,
                kind,
                2 if kind == "double" else rng.randint(1, min(number(options, "amount_max"), room)),
            )
            value = (
                value + move.amount if kind == "add" else value - move.amount if kind == "take" else value * 2
            )
            moves.append(move)
        told = " ".join(f"{move.ordinal}, {move.words}." for move in moves)
        text = f"The number is {start}. {told} What is the number now?"
        return Draft(text, walk(Arithmetic(start, tuple(moves))).answer)

    def find(self, text: str) -> Found | None:
        """The last such question."""
        last = last_match(_QUESTION, text)
        if last is None:
            return None
        return Found(Arithmetic(int(last[1]), _moves(last[2])), last.start(), last.end())


def _moves(text: str) -> tuple[Change, ...]:
    moves = []
    for ordinal, verb, amount, doubles in _TURN.findall(text):
        kind: Kind = "double" if doubles else "add" if verb == "add" else "take"
        moves.append(Change(ordinal, kind, 2 if doubles else int(amount)))
    return tuple(moves)
