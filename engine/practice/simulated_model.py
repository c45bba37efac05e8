"""The built-in teacher's mind: finds the question in a prompt, goes through it, slips now and then, and tells it.

A completion is a pure function of (seed, model, prompt, temperature, replicate). Slips change the state that is
carried on, so a wrong step leads to its own answer; the answer of the second step is read out of the
rationale that the prompt gives, never solved again.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any

from engine.practice.prompts import Stage, classify, given_rationale
from engine.practice.wordings import TELLERS
from engine.tasks.builtin import BUILTIN_TASKS, Found, Problem, walk

MODELS = ("practice-large", "practice-small")
"""`practice-small` slips two and a half times as often, overlooks steps as well (three times the errors in
all), and is terse."""


HASTE = 2.0
"""Without steps to write down, each of them goes wrong so much more often."""

HINT = 0.25
"""Who is told the answer goes wrong so much more seldom."""


class UnknownQuestion(Exception):
    """The prompt holds no question that this teacher knows."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Asked:
    """One completion that is wanted.

    `replicate` tells completions of one prompt apart (not at temperature 0); `turn` counts them from 0.
    """

    prompt: str
    model: str = MODELS[0]
    temperature: float = 1.0
    replicate: str = "0"
    turn: int = 0
    chat: bool = True


@dataclass(frozen=True, slots=True)
class Reply:
    """The text of a completion. `whole`: it is given as it is, whatever the token limit."""

    text: str
    whole: bool = False
    finish_reason: str = "stop"


Mind = Callable[[Asked], Reply]
"""What answers: `Reasoner.reply`, or the `reply` of a replay."""


@dataclass(frozen=True, slots=True)
class Understood:
    """A prompt with the question found in it."""

    stage: Stage
    task: str
    problem: Problem[Any, Any]
    rationale: str


@lru_cache(maxsize=8192)
def understand(prompt: str) -> Understood | None:
    """The prompt's stage and its last question; None where it holds none of a builtin task."""
    read = classify(prompt)
    latest: tuple[str, Found] | None = None
    for name, task in BUILTIN_TASKS.items():
        found = task.find(read.body)
        if found and (latest is None or found.end > latest[1].end):
            latest = name, found
    if latest is None:
        return None
    name, found = latest
    rationale = given_rationale(read.body[found.end :]) if read.stage == "final" else ""
    return Understood(read.stage, name, found.problem, rationale)


class Reasoner:
    """Answers by reasoning, with `error_rate` slips a step (of practice-large, at temperature 0.7)."""

    def __init__(self, seed: int, error_rate: float) -> None:
        self.seed = seed
        self.error_rate = error_rate

    def reply(self, asked: Asked) -> Reply:
        """A completion.

        Raises:
            UnknownQuestion: no question of a builtin task is in the prompt.
        """
        understood = understand(asked.prompt)
        if understood is None:
            raise UnknownQuestion
        lead = "" if asked.chat else " "
        order = random.Random(f"{self.seed}|{asked.model}|{asked.prompt}")
        rng = order
        if asked.temperature > 0:
            rng = random.Random(
                f"{self.seed}|{asked.model}|{asked.temperature}|{asked.replicate}|{asked.prompt}"
            )
        teller = TELLERS[understood.task]
        if understood.stage == "final":
            answer = teller.read(understood.problem, understood.rationale)
            if answer is not None:
                return Reply(f"{lead}{answer}.")
        problem, rate = self._mood(understood.problem, asked, rng)
        if understood.stage == "direct":
            rate = min(1.0, rate * HASTE)
        elif understood.stage == "hinted":
            rate *= HINT
        gone = walk(problem, rng, rate)
        if understood.stage in ("final", "direct"):  # an empty rationale leads nowhere: a guess
            return Reply(f"{lead}{gone.answer}.")
        terse = asked.model == "practice-small"
        rationale = teller.tell(gone, order, rng, asked.temperature, terse=terse)
        if understood.stage in ("chat", "hinted"):
            return Reply(f"{lead}{rationale}\nAnswer: {gone.answer}")
        if understood.stage == "shots":
            return Reply(f"{lead}{rationale} The answer is {gone.answer}.")
        return Reply(f"{lead}{rationale}")

    def _mood(
        self, problem: Problem[Any, Any], asked: Asked, rng: random.Random
    ) -> tuple[Problem[Any, Any], float]:
        """The problem as this model sees it, and its error rate: a little more at higher temperatures."""
        rate = self.error_rate * (1 + 0.3 * (asked.temperature - 0.7))
        if asked.model != "practice-small":
            return problem, min(1.0, rate)
        seen = tuple(move for move in problem.moves if rng.random() >= rate * 0.5)
        return replace(problem, moves=seen), min(0.9, rate * 2.5)  # type: ignore[type-var]
