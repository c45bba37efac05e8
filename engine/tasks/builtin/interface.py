"""What the builtin tasks share: a problem that is solved in steps, and a task that writes and reads its text.

A task writes questions (`draw`) and solves any question of its wording from the text alone (`find`,
`solve`). A `Problem` is such a question, read: a start, moves, and what each move does to the state. So the
same problem can be walked rightly, or with slips that are carried on truthfully (`walk`). Nothing here knows
how a walk is told in words.
"""

from __future__ import annotations

import random
import re
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Generic, TypeVar

from engine.config.tasks import AnswerFormat
from engine.tasks.builtin.options import Option, Value, number

Move = TypeVar("Move")
State = TypeVar("State")


class Problem(ABC, Generic[Move, State]):
    """A question that was understood: where it starts and what happens then."""

    start: State
    moves: tuple[Move, ...]

    @abstractmethod
    def apply(self, state: State, move: Move) -> State:
        """The state after a move."""

    @abstractmethod
    def slip(self, state: State, move: Move, rng: random.Random) -> State:
        """A plausible wrong state after a move; never what `apply` gives."""

    @abstractmethod
    def answer(self, state: State) -> str:
        """The question's answer if `state` is the last one."""


@dataclass(frozen=True, slots=True)
class Step(Generic[Move, State]):
    """One move of a walk. `slipped`: `after` is wrong, given `before`."""

    move: Move
    before: State
    after: State
    slipped: bool


@dataclass(frozen=True, slots=True)
class Walk(Generic[Move, State]):
    """A problem, walked through: the state after each step and the answer that follows from the last."""

    problem: Problem[Move, State]
    steps: tuple[Step[Move, State], ...]
    answer: str

    @property
    def end(self) -> State:
        """The last state."""
        return self.steps[-1].after if self.steps else self.problem.start


def walk(
    problem: Problem[Move, State], rng: random.Random | None = None, error_rate: float = 0.0
) -> Walk[Move, State]:
    """Go through a problem; each step goes wrong with probability `error_rate` and is carried on as it is."""
    state = problem.start
    steps: list[Step[Move, State]] = []
    for move in problem.moves:
        slipped = rng is not None and error_rate > 0 and rng.random() < error_rate
        after = problem.slip(state, move, rng) if slipped and rng is not None else problem.apply(state, move)
        steps.append(Step(move, state, after, slipped))
        state = after
    return Walk(problem, tuple(steps), problem.answer(state))


@dataclass(frozen=True, slots=True)
class Draft:
    """A question as written, with its gold answer."""

    text: str
    answer: str


@dataclass(frozen=True, slots=True)
class Found:
    """A question found in a longer text, which it fills from `start` to `end`."""

    problem: Problem[Any, Any]
    start: int
    end: int


class BuiltinTask(ABC):
    """A task whose questions are written by program."""

    name: ClassVar[str]
    options: ClassVar[Mapping[str, Option]]
    span: ClassVar[str | None] = None
    """X where the options X_min and X_max bound the length of a question."""

    @abstractmethod
    def formats(self, options: Mapping[str, Value]) -> tuple[AnswerFormat, ...]:
        """The answer formats that fit the gold answers; the natural one first."""

    @abstractmethod
    def draw(self, rng: random.Random, options: Mapping[str, Value]) -> Draft:
        """A question; one that was drawn before may come again."""

    @abstractmethod
    def find(self, text: str) -> Found | None:
        """The last question of this task in a text, or None."""

    def settle(
        self, options: dict[str, Value], given: Mapping[str, Value], answer: AnswerFormat
    ) -> str | None:
        """Fit options to each other and to the answer format that the configuration asks for.

        Where only one bound of `span` is given and the two would cross, the other one moves with it.

        Returns:
            Why they do not fit, or None.
        """
        if self.span is None:
            return None
        low, high = f"{self.span}_min", f"{self.span}_max"
        if high not in given:
            options[high] = max(number(options, low), number(options, high))
        if low not in given:
            options[low] = min(number(options, low), number(options, high))
        return f"{low} is greater than {high}" if number(options, low) > number(options, high) else None

    def solve(self, text: str) -> Walk[Any, Any] | None:
        """The right steps and the answer of a question, from its text alone; None for another task's."""
        found = self.find(text)
        return walk(found.problem) if found else None


def last_match(pattern: re.Pattern[str], text: str) -> re.Match[str] | None:
    """The last match in a text: after examples of the same kind stands the question that is asked."""
    last = None
    for match in pattern.finditer(text):
        last = match
    return last
