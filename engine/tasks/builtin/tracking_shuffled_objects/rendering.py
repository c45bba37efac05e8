"""Rationales about shuffled objects."""

from __future__ import annotations

import re

from engine.decomposition import Step as SubQuestion
from engine.tasks.builtin.tracking_shuffled_objects.problem import Holding, ShuffledObjects, Swap
from engine.tasks.builtin.tracking_shuffled_objects.scenes import listed
from engine.tasks.procedural import Renderer, Step, Trace

SwapTrace = Trace[Swap, Holding]


def _problem(trace: SwapTrace) -> ShuffledObjects:
    assert isinstance(trace.problem, ShuffledObjects)
    return trace.problem


def _held(problem: ShuffledObjects, state: Holding, person: int) -> str:
    thing = problem.scene.named(problem.objects[state[person]])
    return f"{problem.people[person]} {problem.scene.has} {thing}"


def _everyone(problem: ShuffledObjects, state: Holding) -> str:
    return listed([_held(problem, state, person) for person in range(len(state))])


def _changed(step: Step[Swap, Holding]) -> list[int]:
    """The two of the swap, and whoever else holds something new because of a slip."""
    changed = [p for p in range(len(step.after)) if step.before[p] != step.after[p]]
    return [*step.move, *(p for p in changed if p not in step.move)]


def _pair(problem: ShuffledObjects, step: Step[Swap, Holding]) -> str:
    return f"{problem.people[step.move[0]]} and {problem.people[step.move[1]]}"


def _now(trace: SwapTrace) -> str:
    problem = _problem(trace)
    sentences = [f"At the start {_everyone(problem, problem.start)}."]
    for step in trace.steps:
        new = listed([_held(problem, step.after, person) for person in _changed(step)])
        sentences.append(f"{_pair(problem, step)} trade, so now {new}.")
    return " ".join(sentences)


def _table(trace: SwapTrace) -> str:
    problem = _problem(trace)

    def row(state: Holding) -> str:
        pairs = zip(problem.people, state, strict=True)
        return ", ".join(f"{who}: {problem.objects[thing]}" for who, thing in pairs)

    sentences = [f"Start: {row(problem.start)}."]
    sentences += [f"{_pair(problem, step)} trade. Now {row(step.after)}." for step in trace.steps]
    return " ".join(sentences)


def _after(trace: SwapTrace) -> str:
    problem = _problem(trace)
    sentences = [f"First {_everyone(problem, problem.start)}."]
    for step in trace.steps:
        new = listed([_held(problem, step.after, person) for person in _changed(step)])
        sentences.append(f"After {_pair(problem, step)} trade, {new}.")
    return " ".join(sentences)


def _gets(trace: SwapTrace) -> str:
    problem = _problem(trace)
    sentences = [f"In the beginning {_everyone(problem, problem.start)}."]
    for step in trace.steps:
        got = [
            f"{problem.people[p]} gets {problem.scene.named(problem.objects[step.after[p]])}"
            for p in _changed(step)
        ]
        sentences.append(f"Then {listed(got)}.")
    return " ".join(sentences)


def _result(trace: SwapTrace) -> str:
    problem = _problem(trace)
    return _held(problem, trace.end, problem.asked)


def _sub_question(trace: SwapTrace, index: int) -> SubQuestion:
    problem, step = _problem(trace), trace.steps[index]
    question = f"Who has what after swap {index + 1}, of {_pair(problem, step)}?"
    return SubQuestion(question, f"Now {_everyone(problem, step.after)}.")


def read_answer(problem: ShuffledObjects, rationale: str) -> str | None:
    """The last object named for the person in question, else the last object named."""
    things = sorted(problem.objects, key=len, reverse=True)
    named = "|".join(re.escape(thing) for thing in things)
    who = re.escape(problem.people[problem.asked])
    theirs = re.findall(rf"\b{who}\b(?:(?!{named})[^.;])*?({named})", rationale)
    found = theirs or re.findall(named, rationale)
    if not found:
        return None
    state = list(problem.start)
    state[problem.asked] = problem.objects.index(found[-1])
    return problem.answer(tuple(state))


RENDERER = Renderer(
    openings=("", "We follow the swaps one by one.", "Let us keep track of who has what."),
    styles=(_now, _table, _after, _gets),
    closings=(
        lambda trace: f"So in the end {_result(trace)}.",
        lambda trace: f"At the end {_result(trace)}.",
        lambda trace: f"This means that {_result(trace)}.",
    ),
    read_answer=read_answer,
    sub_question=_sub_question,
)
