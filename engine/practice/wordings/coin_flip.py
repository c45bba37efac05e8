"""Coin flips in words."""

from __future__ import annotations

import re

from engine.practice.wordings.teller import Teller
from engine.tasks.builtin import Walk
from engine.tasks.builtin.coin_flip import CoinFlip, Side, Turn

CoinWalk = Walk[Turn, Side]


def _so_it_is(walk: CoinWalk) -> str:
    told = [f"The coin starts {walk.problem.start} up."]
    for step in walk.steps:
        verb = "flips it" if step.move.flips else "does not flip it"
        told.append(f"{step.move.who} {verb}, so it is {step.after}.")
    return " ".join(told)


def _after(walk: CoinWalk) -> str:
    told = [f"At first the coin is {walk.problem.start}."]
    told += [f"After {step.move.who} it is {step.after}." for step in walk.steps]
    return " ".join(told)


def _turns(walk: CoinWalk) -> str:
    told = [f"The coin shows {walk.problem.start}."]
    for step in walk.steps:
        verb = "turns it to" if step.before != step.after else "leaves it at"
        told.append(f"{step.move.who} {verb} {step.after}.")
    return " ".join(told)


def _from_to(walk: CoinWalk) -> str:
    told = [f"We begin with {walk.problem.start}."]
    for step in walk.steps:
        verb = "flips" if step.move.flips else "does not flip"
        told.append(f"{step.move.who} {verb}: {step.before} to {step.after}.")
    return " ".join(told)


def _counting(walk: CoinWalk) -> str:
    told = [f"We count the flips from {walk.problem.start}."]
    count = 0
    for step in walk.steps:
        count += step.before != step.after
        verb = "flips" if step.move.flips else "does not flip"
        told.append(f"{step.move.who} {verb}: {count}.")
    kind = "even" if count % 2 == 0 else "odd"
    told.append(f"The count {count} is {kind}, so we have {walk.end}.")
    return " ".join(told)


def read(problem: CoinFlip, text: str) -> str | None:
    """The side that is named last."""
    sides = re.findall(r"\b(heads|tails)\b", text.lower())
    if sides:
        return problem.answer("heads" if sides[-1] == "heads" else "tails")
    return None


TELLER = Teller(
    openings=("",),
    wordings=(_so_it_is, _after, _turns, _from_to, _counting),
    closings=(
        lambda walk: f"So the coin is {walk.end} up.",
        lambda walk: f"At the end the coin is {walk.end} up.",
        lambda walk: f"This means that {walk.end} is up now.",
    ),
    read=read,
)
