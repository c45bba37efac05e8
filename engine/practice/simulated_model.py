"""The built-in teacher's simulated model: it finds the question in a prompt, solves it with slips, and words a rationale.

A completion is a pure function of (seed, model, prompt, temperature, replicate). A slip changes the state that the next
steps start from, so a wrong step leads to its own answer. The answer of the second step is read from the rationale in the
prompt; it is never solved again.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from engine.decomposition import write_steps
from engine.practice.errors import ERRORS, HINT_FACTOR, Conditions
from engine.practice.prompts import PromptKind, classify, given_rationale
from engine.tasks.builtin import BUILTIN_TASKS
from engine.tasks.procedural import FoundQuestion, Problem, ProceduralTask

MODELS = ("practice-large", "practice-small")
"""`practice-small` slips two and a half times as often and also overlooks steps (three times the errors in all). Its
rationales are terse."""

DIRECT_FACTOR = 2.0
"""Factor of the error rate if the prompt asks for the answer alone."""

ADOPTED = 0.4
"""How often a model that reads solutions of others repeats one of them, right or wrong; else it solves the question anew."""

SMALL_FACTOR = 2.5
"""Factor of the error rate of practice-small."""


class UnknownQuestion(Exception):
    """The prompt contains no question that this teacher knows."""


@dataclass(frozen=True, kw_only=True, slots=True)
class CompletionRequest:
    """A request for one completion.

    `replicate` distinguishes completions of one prompt (not at temperature 0); `turn` is its number, from 0.
    """

    prompt: str
    model: str = MODELS[0]
    temperature: float = 1.0
    replicate: str = "0"
    turn: int = 0
    chat: bool = True


@dataclass(frozen=True, slots=True)
class Reply:
    """The text of a completion. `whole`: the token limit does not cut it."""

    text: str
    whole: bool = False
    finish_reason: str = "stop"


Respond = Callable[[CompletionRequest], Reply]
"""What answers requests: the simulated model's `reply`, or the recorded model's."""


@dataclass(frozen=True, slots=True)
class ParsedPrompt:
    """A prompt with its question; `rationale` is the one that it gives."""

    kind: PromptKind
    task: ProceduralTask[Any]
    problem: Problem[Any, Any]
    rationale: str
    solutions: tuple[str, ...] = ()


@lru_cache(maxsize=8192)
def parse_prompt(prompt: str) -> ParsedPrompt | None:
    """The prompt's kind and its last question; None if it contains no question of a builtin task."""
    read = classify(prompt)
    latest: tuple[ProceduralTask[Any], FoundQuestion] | None = None
    for task in BUILTIN_TASKS.values():
        found = task.find(read.body)
        if found and (latest is None or found.end > latest[1].end):
            latest = task, found
    if latest is None:
        return None
    task, found = latest
    rationale = given_rationale(read.body[found.end :]) if read.kind == "final" else ""
    return ParsedPrompt(read.kind, task, found.problem, rationale, read.solutions)


class SimulatedModel:
    """Answers by solving; `error_rate` is the share of steps that slip (practice-large at temperature 0.7).

    `errors` is how it errs, a name in `ERRORS`.
    """

    def __init__(self, seed: int, error_rate: float, errors: str = "independent") -> None:
        self.seed = seed
        self.error_rate = error_rate
        self._solve = ERRORS[errors]

    def reply(self, request: CompletionRequest) -> Reply:
        """A completion.

        Raises:
            UnknownQuestion: the prompt contains no question of a builtin task.
        """
        prompt = parse_prompt(request.prompt)
        if prompt is None:
            raise UnknownQuestion
        lead = "" if request.chat else " "
        preferences = random.Random(f"{self.seed}|{request.model}|{request.prompt}")
        rng = preferences
        if request.temperature > 0:
            rng = random.Random(
                f"{self.seed}|{request.model}|{request.temperature}|{request.replicate}|{request.prompt}"
            )
        renderer = prompt.task.renderer
        if prompt.kind == "final":
            answer = renderer.read_answer(prompt.problem, prompt.rationale)
            if answer is not None:
                return Reply(f"{lead}{answer}.")
        if prompt.solutions and rng.random() < ADOPTED:
            return Reply(f"{lead}{rng.choice(prompt.solutions)}")
        rate = self.error_rate * (1 + 0.3 * (request.temperature - 0.7))
        small = request.model != MODELS[0]
        slips = min(0.9, rate * SMALL_FACTOR) if small else min(1.0, rate)
        if prompt.kind == "direct":
            slips = min(1.0, slips * DIRECT_FACTOR)
        elif prompt.kind == "hinted":
            slips *= HINT_FACTOR
        solved = self._solve(
            prompt.problem,
            Conditions(
                key=f"{self.seed}|{request.model}|{prompt.task.name}",
                share=min(0.45, self.error_rate * (SMALL_FACTOR if small else 1)),
                slip_rate=slips,
                overlook_rate=rate * 0.5 if small else 0.0,
                rng=rng,
                hinted=prompt.kind == "hinted",
            ),
        )
        if prompt.kind in ("final", "direct"):  # "final": the rationale names no answer, so this is a guess
            return Reply(f"{lead}{solved.answer}.")
        if prompt.kind == "steps":
            return Reply(f"{lead}{write_steps(renderer.steps(solved))}\nAnswer: {solved.answer}")
        rationale = renderer.render(solved, preferences, rng, request.temperature, terse=small)
        if prompt.kind in ("chat", "hinted", "peers"):
            return Reply(f"{lead}{rationale}\nAnswer: {solved.answer}")
        if prompt.kind == "shots":
            return Reply(f"{lead}{rationale} The answer is {solved.answer}.")
        return Reply(f"{lead}{rationale}")
