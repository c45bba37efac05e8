"""A question as a problem that is solved in steps, and the trace of a solution.

A problem has a start, moves, and what each move does to the state. So the same problem can be solved correctly, or with
slips: a wrong step leads to its own answer, because the steps after it continue from the wrong state.
"""

from __future__ import annotations

import random
import re
from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

Move = TypeVar("Move")
State = TypeVar("State")


class Problem(ABC, Generic[Move, State]):
    """A question that was parsed: its first state and the moves that change it."""

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

    def phrase(self, move: Move) -> str:
        """A text that is the same for moves that questions word in the same way."""
        return repr(move)


@dataclass(frozen=True, slots=True)
class Step(Generic[Move, State]):
    """One move of a trace. `slipped`: `after` is wrong, given `before`."""

    move: Move
    before: State
    after: State
    slipped: bool


@dataclass(frozen=True, slots=True)
class Trace(Generic[Move, State]):
    """A problem with the state after each step, and the answer that follows from the last state."""

    problem: Problem[Move, State]
    steps: tuple[Step[Move, State], ...]
    answer: str

    @property
    def end(self) -> State:
        """The last state."""
        return self.steps[-1].after if self.steps else self.problem.start


def trace(
    problem: Problem[Move, State], rng: random.Random | None = None, error_rate: float = 0.0
) -> Trace[Move, State]:
    """Solves a problem; each step slips with probability `error_rate`, and the next one continues from there."""
    state = problem.start
    steps: list[Step[Move, State]] = []
    for move in problem.moves:
        slipped = rng is not None and error_rate > 0 and rng.random() < error_rate
        after = problem.slip(state, move, rng) if slipped and rng is not None else problem.apply(state, move)
        steps.append(Step(move, state, after, slipped))
        state = after
    return Trace(problem, tuple(steps), problem.answer(state))


@dataclass(frozen=True, slots=True)
class FoundQuestion:
    """A question found in a longer text, in which it occupies `start` to `end`."""

    problem: Problem[Any, Any]
    start: int
    end: int


def last_match(pattern: re.Pattern[str], text: str) -> re.Match[str] | None:
    """The last match in a text: worked examples come before the question that is asked."""
    last = None
    for match in pattern.finditer(text):
        last = match
    return last
