"""`wordings` of a plan: each wording becomes a plan of its own on dev, which is asked in rounds. Pure.

Half of the dev questions choose among the wordings: after each round the worse half of them is left out, and a round has twice as many questions
as the one before. The other half compares the one that is left with the plan's own wording.
"""

from __future__ import annotations

import math
import re

from engine.config.base import NAME_PATTERN
from engine.config.faults import Path, nearest, quoted
from engine.config.named import expand, teachers_of
from engine.config.plans import GIVEN, Candidate, PlanConfig, candidate_name
from engine.config.prompts import PUBLISHED
from engine.config.root import Config
from engine.strategies import STRATEGIES

FEWEST = 4
"""Dev questions with which a comparison of wordings can begin."""


def rounds(questions: int, candidates: int) -> tuple[int, ...]:
    """How many dev questions a wording has been asked after each round; the last one compares, the others choose.

    Args:
        questions: dev questions of the task.
        candidates: wordings beside the plan's own.
    """
    if candidates < 2:
        return (questions,)
    half, halvings = questions // 2, math.ceil(math.log2(candidates))
    chosen = (half >> (halvings - number) for number in range(1, halvings + 1))
    return (*(max(1, each) for each in chosen), questions)


def expected_questions(questions: int, candidate: Candidate) -> float:
    """How many dev questions one wording is asked in the mean; of the plan's own, all."""
    if not candidate.place:
        return float(questions)
    left, before, asked = candidate.candidates - 1, 0, 0
    for limit in rounds(questions, left):
        asked += left * (limit - before)
        left, before = math.ceil(left / 2), limit
    return asked / (candidate.candidates - 1)


def with_wordings(config: Config) -> tuple[Config, list[tuple[Path, str]]]:
    """The configuration with the plans that try wordings, each behind the plan that it is for; what cannot be, as (path, message)."""
    plans: list[PlanConfig] = []
    found: list[tuple[Path, str]] = []
    taken = {plan.name for plan in config.plans}
    for index, plan in enumerate(config.plans):
        plans.append(plan)
        if not plan.wordings or plan.candidate:
            continue
        place: Path = ("plans", index, "wordings")
        found += [(place, text) for text in _wrong(plan, config)]
        named = [(GIVEN, plan.prompts), *((name, name) for name in plan.wordings)]
        for number, (wording, prompts) in enumerate(named):
            name = candidate_name(plan.name, wording)
            if name in taken:
                found.append((place, f"would make a plan {name}, and there is one of that name: rename it"))
            elif not re.fullmatch(NAME_PATTERN, name):
                found.append((place, f"{quoted(name)} is too long for the name of a plan"))
            plans.append(plan.trying(Candidate(plan.name, wording, number, len(named)), prompts))
    return config.model_copy(update={"plans": plans}), found


def _wrong(plan: PlanConfig, config: Config) -> list[str]:
    """Why the wordings of a plan cannot be compared."""
    found = []
    for name in plan.wordings:
        if name in config.prompts:
            if misfit := config.prompts[name].misfit(plan.strategy):
                found.append(f"[prompts.{name}] does not fit: {misfit}")
        elif name != PUBLISHED:
            found.append(
                f"unknown prompts {quoted(name)}; {nearest(name, list(config.prompts)) if config.prompts else 'there is no [prompts.NAME]'}"
            )
        elif not STRATEGIES[plan.strategy].published:
            found.append(f"the paper has no other wording for {plan.strategy}: leave {PUBLISHED} out")
    teachers = teachers_of(plan, config.teachers)
    if len(teachers) > 1 or plan.fallback_teachers:
        asked = ", ".join([*teachers, *plan.fallback_teachers])
        found.append(
            f"which wording is best depends on the teacher: a plan with wordings has one, and this one has {asked}"
        )
    for task in expand(plan.tasks, list(config.tasks)):
        if not config.tasks[task].labelled:
            found.append(
                f"the task {task} has no gold answers, so no answer to a wording is right or wrong: name the other tasks in `tasks`"
            )
        elif (dev := config.tasks[task].dev) is not None and dev < FEWEST:
            found.append(
                f"the task {task} has {dev} dev questions, and wordings are compared on {FEWEST} or more: raise its `dev`"
            )
    return found
