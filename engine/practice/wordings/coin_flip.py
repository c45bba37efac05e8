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
        if step.move.flips:
            told.append(f"{step.move.who} flips it, so it is {step.after} up.")
        else:
            told.append(f"{step.move.who} does not flip it, so it is {step.after} up.")
    return " ".join(told)


def _after(walk: CoinWalk) -> str:
    told = [f"At first it is {walk.problem.start}."]
    for step in walk.steps:
        verb = "flips" if step.move.flips else "does not flip"
        told.append(f"After {step.move.who} {verb} it is {step.after}.")
    return " ".join(told)


def _turns(walk: CoinWalk) -> str:
    told = [f"The coin shows {walk.problem.start}."]
    for step in walk.steps:
        verb = "turns" if step.before != step.after else "leaves"
        way = "to" if verb == "turns" else "at"
        told.append(f"{step.move.who} {verb} the coin {way} {step.after}.")
    return " ".join(told)


def _from_to(walk: CoinWalk) -> str:
    told = [f"Start: {walk.problem.start}."]
    for step in walk.steps:
        verb = "flips" if step.move.flips else "does not flip"
        told.append(f"{step.move.who} {verb}: from {step.before} to {step.after}.")
    return " ".join(told)


def _counting(walk: CoinWalk) -> str:
    told = [f"We count the flips from {walk.problem.start}."]
    count = 0
    for step in walk.steps:
        count += step.before != step.after
        verb = "flips" if step.move.flips else "does not flip"
        told.append(f"{step.move.who} {verb}: {count}.")
    kind = "even" if count % 2 == 0 else "odd"
    told.append(f"The number {count} is {kind}, which gives {walk.end}.")
    return " ".join(told)


def read(problem: CoinFlip, text: str) -> str | None:
    """The side that is named last."""
    sides = re.findall(r"\b(heads|tails)\b", text.lower())
    if sides:
        return problem.answer("heads" if sides[-1] == "heads" else "tails")
    return None


TELLER = Teller(
    openings=("", "We follow the coin from one person to the next.", "Let us look at each person in turn."),
    wordings=(_so_it_is, _after, _turns, _from_to, _counting),
    closings=(
        lambda walk: f"So the coin is {walk.end} up.",
        lambda walk: f"At the end the coin is {walk.end} up.",
        lambda walk: f"This means that {walk.end} is up now.",
    ),
    read=read,
)
