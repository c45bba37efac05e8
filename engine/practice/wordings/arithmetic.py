"""Multi-step arithmetic in words: every wording shows each running value plainly."""

from __future__ import annotations

import re

from engine.practice.wordings.teller import Teller
from engine.tasks.builtin import Walk
from engine.tasks.builtin.arithmetic import Arithmetic, Change

NumberWalk = Walk[Change, int]

_SIGN = {"add": "+", "take": "-", "double": "*"}


def _sums(walk: NumberWalk) -> str:
    told = [f"We start at {walk.problem.start}."]
    for step in walk.steps:
        move = step.move
        told.append(
            f"{move.who} {move.words}: {step.before} {_SIGN[move.kind]} {move.amount} = {step.after}."
        )
    return " ".join(told)


def _after(walk: NumberWalk) -> str:
    told = [f"At first the number is {walk.problem.start}."]
    told += [f"After {step.move.who} {step.move.words} it is {step.after}." for step in walk.steps]
    return " ".join(told)


def _turns(walk: NumberWalk) -> str:
    told = [f"The number is {walk.problem.start}."]
    told += [
        f"{step.move.who} {step.move.words} and turns {step.before} into {step.after}." for step in walk.steps
    ]
    return " ".join(told)


def _makes(walk: NumberWalk) -> str:
    told = [f"Start: {walk.problem.start}."]
    sign = {"add": "plus", "take": "minus", "double": "times"}
    for step in walk.steps:
        move = step.move
        told.append(f"{move.who}: {step.before} {sign[move.kind]} {move.amount} makes {step.after}.")
    return " ".join(told)


def _from_to(walk: NumberWalk) -> str:
    told = [f"The first number is {walk.problem.start}."]
    told += [f"{step.move.who} goes from {step.before} to {step.after}." for step in walk.steps]
    return " ".join(told)


def read(problem: Arithmetic, text: str) -> str | None:
    """The last number."""
    numbers = re.findall(r"(?<![\w.])-?\d{1,15}(?!\w)", text)
    return problem.answer(int(numbers[-1])) if numbers else None


TELLER = Teller(
    openings=(
        "",
        "We keep the number in mind and go on step by step.",
        "Let us look at each person in turn.",
    ),
    wordings=(_sums, _after, _turns, _makes, _from_to),
    closings=(
        lambda walk: f"So the number is {walk.end}.",
        lambda walk: f"At the end the number is {walk.end}.",
        lambda walk: f"This means that the number is now {walk.end}.",
    ),
    read=read,
)
