"""Multi-step arithmetic in words: every wording shows each running value plainly."""

from __future__ import annotations

import re

from engine.practice.wordings.teller import Teller
from engine.tasks.builtin import Step, Walk
from engine.tasks.builtin.arithmetic import Arithmetic, Change

NumberWalk = Walk[Change, int]

_SIGN = {"add": "+", "take": "-", "double": "*"}


def _sum(step: Step[Change, int]) -> str:
    return f"{step.before} {_SIGN[step.move.kind]} {step.move.amount}"


def _sums(walk: NumberWalk) -> str:
    told = [f"We start at {walk.problem.start}."]
    told += [f"{step.move.ordinal}, {_sum(step)} = {step.after}." for step in walk.steps]
    return " ".join(told)


def _so(walk: NumberWalk) -> str:
    told = [f"The number is {walk.problem.start}."]
    told += [f"{step.move.ordinal}, {step.move.words}, so it is {step.after}." for step in walk.steps]
    return " ".join(told)


def _turns(walk: NumberWalk) -> str:
    told = [f"We begin with {walk.problem.start}."]
    told += [f"{s.move.ordinal}, {s.move.words}: {s.before} turns into {s.after}." for s in walk.steps]
    return " ".join(told)


def _makes(walk: NumberWalk) -> str:
    told = [f"At first there is {walk.problem.start}."]
    told += [f"{step.move.ordinal}, {_sum(step)} makes {step.after}." for step in walk.steps]
    return " ".join(told)


def _after(walk: NumberWalk) -> str:
    told = [f"The first number is {walk.problem.start}."]
    told += [f"{s.move.ordinal}, we {s.move.words} and get {s.after}." for s in walk.steps]
    return " ".join(told)


def read(problem: Arithmetic, text: str) -> str | None:
    """The last number."""
    numbers = re.findall(r"(?<![\w.])-?\d{1,15}(?!\w)", text)
    return problem.answer(int(numbers[-1])) if numbers else None


TELLER = Teller(
    openings=("",),
    wordings=(_sums, _so, _turns, _makes, _after),
    closings=(
        lambda walk: f"So the number is {walk.end}.",
        lambda walk: f"At the end the number is {walk.end}.",
        lambda walk: f"This means that the number is now {walk.end}.",
    ),
    read=read,
)
