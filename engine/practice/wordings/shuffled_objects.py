"""Shuffled objects in words."""

from __future__ import annotations

import re

from engine.practice.wordings.teller import Teller
from engine.tasks.builtin import Step, Walk
from engine.tasks.builtin.scenes import listed
from engine.tasks.builtin.shuffled_objects import Holding, ShuffledObjects, Swap

SwapWalk = Walk[Swap, Holding]


def _problem(walk: SwapWalk) -> ShuffledObjects:
    assert isinstance(walk.problem, ShuffledObjects)
    return walk.problem


def _held(problem: ShuffledObjects, state: Holding, person: int) -> str:
    thing = problem.scene.said(problem.things[state[person]])
    return f"{problem.people[person]} {problem.scene.has} {thing}"


def _everyone(problem: ShuffledObjects, state: Holding) -> str:
    return listed([_held(problem, state, person) for person in range(len(state))])


def _touched(step: Step[Swap, Holding]) -> list[int]:
    """The two of the swap, and whoever else holds something new because of a slip."""
    changed = [p for p in range(len(step.after)) if step.before[p] != step.after[p]]
    return [*step.move, *(p for p in changed if p not in step.move)]


def _pair(problem: ShuffledObjects, step: Step[Swap, Holding]) -> str:
    return f"{problem.people[step.move[0]]} and {problem.people[step.move[1]]}"


def _now(walk: SwapWalk) -> str:
    problem = _problem(walk)
    told = [f"At the start {_everyone(problem, problem.start)}."]
    for step in walk.steps:
        new = listed([_held(problem, step.after, person) for person in _touched(step)])
        told.append(f"{_pair(problem, step)} trade, so now {new}.")
    return " ".join(told)


def _table(walk: SwapWalk) -> str:
    problem = _problem(walk)

    def row(state: Holding) -> str:
        pairs = zip(problem.people, state, strict=True)
        return ", ".join(f"{who}: {problem.things[thing]}" for who, thing in pairs)

    told = [f"Start: {row(problem.start)}."]
    told += [f"{_pair(problem, step)} trade. Now {row(step.after)}." for step in walk.steps]
    return " ".join(told)


def _after(walk: SwapWalk) -> str:
    problem = _problem(walk)
    told = [f"First {_everyone(problem, problem.start)}."]
    for step in walk.steps:
        new = listed([_held(problem, step.after, person) for person in _touched(step)])
        told.append(f"After {_pair(problem, step)} trade, {new}.")
    return " ".join(told)


def _gets(walk: SwapWalk) -> str:
    problem = _problem(walk)
    told = [f"In the beginning {_everyone(problem, problem.start)}."]
    for step in walk.steps:
        got = [
            f"{problem.people[p]} gets {problem.scene.said(problem.things[step.after[p]])}"
            for p in _touched(step)
        ]
        told.append(f"Then {listed(got)}.")
    return " ".join(told)


def _says(walk: SwapWalk) -> str:
    return _held(_problem(walk), walk.end, _problem(walk).asked)


def read(problem: ShuffledObjects, text: str) -> str | None:
    """What is last said of the person in question, else the thing that is named last."""
    things = sorted(problem.things, key=len, reverse=True)
    named = "|".join(re.escape(thing) for thing in things)
    who = re.escape(problem.people[problem.asked])
    said = re.findall(rf"\b{who}\b(?:(?!{named})[^.;])*?({named})", text)
    found = said or re.findall(named, text)
    if not found:
        return None
    state = list(problem.start)
    state[problem.asked] = problem.things.index(found[-1])
    return problem.answer(tuple(state))


TELLER = Teller(
    openings=("", "We follow the swaps one by one.", "Let us keep track of who has what."),
    wordings=(_now, _table, _after, _gets),
    closings=(
        lambda walk: f"So in the end {_says(walk)}.",
        lambda walk: f"At the end {_says(walk)}.",
        lambda walk: f"This means that {_says(walk)}.",
    ),
    read=read,
)
