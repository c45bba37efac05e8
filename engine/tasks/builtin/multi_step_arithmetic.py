"""Multi-step arithmetic: a small number, changed step by step. Answer: a number.

Every correct running value lies between 0 and `maximum`, so a very small student can learn it.
"""

from __future__ import annotations

import random
import re
from dataclasses import dataclass
from typing import Annotated, ClassVar, Literal

from pydantic import Field

from engine.decomposition import Step as SubQuestion
from engine.question import Draft, Exemplar
from engine.tasks.procedural import (
    FoundQuestion,
    Problem,
    ProceduralTask,
    Renderer,
    Step,
    TaskOptions,
    Trace,
    last_match,
    trace,
)

Kind = Literal["add", "take", "double"]

ORDINALS: tuple[str, ...] = (
    "First", "Second", "Third", "Fourth", "Fifth", "Sixth", "Seventh", "Eighth", "Ninth", "Tenth", "Eleventh", "Twelfth",
)  # fmt: skip

Steps = Annotated[int, Field(ge=1, le=len(ORDINALS))]

_CHANGE = re.compile(r"\s+(\w{1,20}), (?:(add|take away) (\d{1,6})|(double) it)\.")
_QUESTION = re.compile(
    r"The number is (\d{1,9})\.((?:\s+\w{1,20}, (?:(?:add|take away) \d{1,6}|double it)\.){1,64})"
    r"\s+What is the number now\?"
)


# The problem


@dataclass(frozen=True, slots=True)
class Change:
    """One step; `amount` is 2 for a doubling, `ordinal` says which step it is (`First`)."""

    ordinal: str
    kind: Kind
    amount: int

    @property
    def words(self) -> str:
        """As the question words it."""
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
        """One too many or too few, or the opposite operation; not below zero if possible."""
        correct = self.apply(state, move)
        opposite = state - move.amount if move.kind == "add" else state + move.amount
        wrong = [value for value in (correct - 1, correct + 1, opposite) if value != correct and value >= 0]
        return rng.choice(wrong or [correct + 1])

    def answer(self, state: int) -> str:
        """The value."""
        return str(state)


# The generator and the solver


class Options(TaskOptions):
    """`[tasks.NAME.options]` of multi-step arithmetic."""

    span: ClassVar[str | None] = "steps"

    steps_min: Steps = 3
    """Fewest steps in a question."""

    steps_max: Steps = 4
    """Most steps in a question."""

    maximum: Annotated[int, Field(ge=2, le=9999)] = 10
    """Greatest running value."""

    amount_max: Annotated[int, Field(ge=1, le=999)] = 3
    """The most that one step adds or takes away."""


def draw(rng: random.Random, options: Options) -> Draft:
    """Sums and differences and, where the maximum allows it, one time in five a doubling."""
    start = value = rng.randint(1, min(9, options.maximum))
    moves: list[Change] = []
    for ordinal in ORDINALS[: rng.randint(options.steps_min, options.steps_max)]:
        kinds: list[Kind] = []
        if value < options.maximum:
            kinds += ["add", "add"]
        if value > 0:
            kinds += ["take", "take"]
        if 0 < value <= options.maximum // 2:
            kinds.append("double")
        kind = rng.choice(kinds)
        room = options.maximum - value if kind == "add" else value
        amount = 2 if kind == "double" else rng.randint(1, min(options.amount_max, room))
        moves.append(Change(ordinal, kind, amount))
        value = value + amount if kind == "add" else value - amount if kind == "take" else value * 2
    changes = " ".join(f"{move.ordinal}, {move.words}." for move in moves)
    return Draft(text=_question(start, changes), answer=trace(Arithmetic(start, tuple(moves))).answer)


def find(text: str) -> FoundQuestion | None:
    """The last question about a number."""
    last = last_match(_QUESTION, text)
    if last is None:
        return None
    return FoundQuestion(Arithmetic(int(last[1]), _changes(last[2])), last.start(), last.end())


def _question(start: int, changes: str) -> str:
    return f"The number is {start}. {changes} What is the number now?"


def _changes(text: str) -> tuple[Change, ...]:
    changes = []
    for ordinal, verb, amount, doubles in _CHANGE.findall(text):
        kind: Kind = "double" if doubles else "add" if verb == "add" else "take"
        changes.append(Change(ordinal, kind, 2 if doubles else int(amount)))
    return tuple(changes)


# The rationales: each style shows every running value plainly

NumberTrace = Trace[Change, int]

_SIGN = {"add": "+", "take": "-", "double": "*"}


def _sum(step: Step[Change, int]) -> str:
    return f"{step.before} {_SIGN[step.move.kind]} {step.move.amount}"


def _sums(trace: NumberTrace) -> str:
    sentences = [f"We start at {trace.problem.start}."]
    sentences += [f"{step.move.ordinal}, {_sum(step)} = {step.after}." for step in trace.steps]
    return " ".join(sentences)


def _so(trace: NumberTrace) -> str:
    sentences = [f"The number is {trace.problem.start}."]
    sentences += [f"{step.move.ordinal}, {step.move.words}, so it is {step.after}." for step in trace.steps]
    return " ".join(sentences)


def _turns(trace: NumberTrace) -> str:
    sentences = [f"We begin with {trace.problem.start}."]
    sentences += [f"{s.move.ordinal}, {s.move.words}: {s.before} turns into {s.after}." for s in trace.steps]
    return " ".join(sentences)


def _makes(trace: NumberTrace) -> str:
    sentences = [f"At first there is {trace.problem.start}."]
    sentences += [f"{step.move.ordinal}, {_sum(step)} makes {step.after}." for step in trace.steps]
    return " ".join(sentences)


def _after(trace: NumberTrace) -> str:
    sentences = [f"The first number is {trace.problem.start}."]
    sentences += [f"{s.move.ordinal}, we {s.move.words} and get {s.after}." for s in trace.steps]
    return " ".join(sentences)


def _sub_question(trace: NumberTrace, index: int) -> SubQuestion:
    step = trace.steps[index]
    question = f"{step.move.ordinal}, {step.move.words}: what is the number now?"
    return SubQuestion(question, f"{_sum(step)} = {step.after}.")


def read_answer(problem: Arithmetic, rationale: str) -> str | None:
    """The last number."""
    numbers = re.findall(r"(?<![\w.])-?\d{1,15}(?!\w)", rationale)
    return problem.answer(int(numbers[-1])) if numbers else None


# The worked examples: with larger numbers than the default options draw, so that none of them is a question


def _exemplar(start: int, changes: str, rationale: str, answer: int) -> Exemplar:
    return Exemplar(question=_question(start, changes), rationale=rationale, answer=str(answer))


EXEMPLARS = (
    _exemplar(
        20,
        "First, add 5. Second, take away 3.",
        "We start at 20. 20 + 5 = 25. 25 - 3 = 22. The number is 22.",
        22,
    ),
    _exemplar(
        31,
        "First, double it. Second, take away 12.",
        "We start at 31. 31 * 2 = 62. 62 - 12 = 50. The number is 50.",
        50,
    ),
    _exemplar(
        14,
        "First, take away 4. Second, add 11. Third, double it.",
        "We start at 14. 14 - 4 = 10. 10 + 11 = 21. 21 * 2 = 42. The number is 42.",
        42,
    ),
    _exemplar(
        17,
        "First, add 13. Second, add 6. Third, take away 16. Fourth, add 1.",
        "We start at 17. 17 + 13 = 30. 30 + 6 = 36. 36 - 16 = 20. 20 + 1 = 21. The number is 21.",
        21,
    ),
)


TASK = ProceduralTask(
    name="multi_step_arithmetic",
    options=Options,
    formats=lambda options: ("number", "math"),
    draw=draw,
    find=find,
    renderer=Renderer(
        openings=("",),
        styles=(_sums, _so, _turns, _makes, _after),
        closings=(
            lambda trace: f"So the number is {trace.end}.",
            lambda trace: f"At the end the number is {trace.end}.",
            lambda trace: f"This means that the number is now {trace.end}.",
        ),
        read_answer=read_answer,
        sub_question=_sub_question,
    ),
    exemplars=EXEMPLARS,
)
