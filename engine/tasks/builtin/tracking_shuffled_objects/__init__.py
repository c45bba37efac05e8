"""Tracking shuffled objects (BIG-bench): people swap objects in pairs; who has what at the end? Answer: a choice.

The five scenes are the benchmark's, in the paper's wording. Questions with any number of people and swaps are solved.
"""

from __future__ import annotations

import random
import re
from typing import Annotated

from pydantic import Field

from engine.question import Draft, Exemplar
from engine.tasks.builtin.tracking_shuffled_objects.problem import ShuffledObjects, Swap
from engine.tasks.builtin.tracking_shuffled_objects.rendering import RENDERER
from engine.tasks.builtin.tracking_shuffled_objects.scenes import PEOPLE, SCENES, Scene, listed
from engine.tasks.procedural import FoundQuestion, ProceduralTask, TaskOptions, trace


class Options(TaskOptions):
    """`[tasks.NAME.options]` of shuffled objects."""

    people: Annotated[int, Field(ge=2, le=len(PEOPLE))] = 3
    """People in a question."""

    swaps: Annotated[int, Field(ge=1, le=24)] = 3
    """Swaps in a question."""


def draw(rng: random.Random, options: Options) -> Draft:
    """One of the scenes, with the people of a pair in either order."""
    scene = rng.choice(SCENES)
    people = PEOPLE[: options.people]
    objects = tuple(rng.sample(scene.objects, len(people)))
    swaps = tuple(_pair(rng, len(people)) for _ in range(options.swaps))
    asked = rng.randrange(len(people))
    held = listed([scene.held(who, thing) for who, thing in zip(people, objects, strict=True)])
    events = " ".join(
        f"{_ordinal(i, len(swaps))}, {people[a]} and {people[b]} {scene.swap}."
        for i, (a, b) in enumerate(swaps)
    )
    choices = ", ".join(f"({letter}) {thing}" for letter, thing in zip("ABCDEFGHIJ", objects, strict=False))
    text = (
        f"{listed(list(people))} {scene.setting} {held}. \n\n{scene.before} {events} "
        f"{scene.ending.format(who=people[asked])}\nWhich choice is true? Answer choices: {choices}."
    )
    problem = ShuffledObjects(scene, people, objects, objects, swaps, asked)
    return Draft(text=text, answer=trace(problem).answer)


def find(text: str) -> FoundQuestion | None:
    """The last question about shuffled objects."""
    latest: FoundQuestion | None = None
    for scene in SCENES:
        for match in scene.question.finditer(text):
            found = _parsed(scene, match)
            if found and (latest is None or found.start > latest.start):
                latest = found
    return latest


def _pair(rng: random.Random, people: int) -> Swap:
    first, second = rng.sample(range(people), 2)
    return first, second


def _ordinal(index: int, count: int) -> str:
    return "First" if index == 0 else "Finally" if index == count - 1 else "Then"


def _parsed(scene: Scene, match: re.Match[str]) -> FoundQuestion | None:
    held = scene.holder.findall(match["held"])
    people = tuple(who for who, _ in held)
    objects = tuple(thing for _, thing in held)
    pairs = re.findall(r"(\w+) and (\w+) " + re.escape(scene.swap), match["swaps"])
    choices = tuple(re.findall(r"\([A-Z]\) (.+?)(?=[,.]? \([A-Z]\)|[,.]?$)", match["choices"].strip()))
    known = set(people)
    if len(known) < 2 or len(known) != len(people) or match["asked"] not in known:
        return None
    if not choices or len(choices) > 26 or any(who not in known for pair in pairs for who in pair):
        return None
    swaps = tuple((people.index(a), people.index(b)) for a, b in pairs)
    problem = ShuffledObjects(scene, people, objects, choices, swaps, people.index(match["asked"]))
    return FoundQuestion(problem, match.start(), match.end())


def _exemplar(events: str, rationale: str, answer: str) -> Exemplar:
    text = (
        "Alice, Bob, and Claire are playing a game. At the start of the game, they are each holding a ball: Alice has"
        " a red ball, Bob has a green ball, and Claire has a white ball. \n\nAs the game progresses, pairs of players"
        f" trade balls. {events}\nWhich choice is true? Answer choices: (A) red ball, (B) green ball, (C) white ball."
    )
    return Exemplar(question=text, rationale=rationale, answer=answer)


EXEMPLARS = (
    _exemplar(
        "First, Alice and Bob swap balls. Finally, Bob and Claire swap balls. At the end of the game, Bob has the",
        "Alice has red, Bob green, Claire white. After Alice and Bob swap, Alice has green and Bob red. After Bob and"
        " Claire swap, Bob has white and Claire red. Bob has the white ball, which is (C).",
        "C",
    ),
    _exemplar(
        "First, Claire and Alice swap balls. Finally, Alice and Bob swap balls. At the end of the game, Alice has the",
        "Alice has red, Bob green, Claire white. After Claire and Alice swap, Claire has red and Alice white. After"
        " Alice and Bob swap, Alice has green and Bob white. Alice has the green ball, which is (B).",
        "B",
    ),
    _exemplar(
        "First, Bob and Claire swap balls. Finally, Claire and Bob swap balls. At the end of the game, Alice has the",
        "Alice has red, Bob green, Claire white. Bob and Claire swap twice, so each has their own again, and Alice"
        " never swapped. Alice has the red ball, which is (A).",
        "A",
    ),
)


TASK = ProceduralTask(
    name="tracking_shuffled_objects",
    options=Options,
    formats=lambda options: ("choice",),
    draw=draw,
    find=find,
    renderer=RENDERER,
    exemplars=EXEMPLARS,
)
