"""How the built-in teacher errs: independently step by step, or with systematic errors, as real teachers do.

Independent slips make every question about equally hard, and a question's samples disagree by chance. Then a filter, a
band of difficulty, rationalisation or a choice of teachers has little to find. Systematic errors are a function of seed,
model and question. With an error rate e (`step_error_rate`; practice-small has two and a half times as much):

- a share e of the questions is answered wrong in all samples, by the same wrong step;
- a share e of the questions is answered right by a wrong rationale in all samples: one step is wrong, and the last one
  arrives at the right result all the same;
- e / 2 of the phrases (a step as the question words it) are misread wherever they occur, always in the same way;
- every other step slips at e / 5, independently.

A prompt that gives the correct answer away (`hinted`) avoids each of the first three in three samples of four.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

from engine.tasks.procedural import Problem, Step, Trace, trace

HINT_FACTOR = 0.25
"""Factor of the error rate if the prompt gives the correct answer."""
MISREAD_FACTOR = 0.5
"""Share of misread phrases, in error rates."""
SLIP_FACTOR = 0.2
"""Rate of independent slips beside systematic errors, in error rates."""

Slip = Callable[[int, Any, Any], Any]
"""Number of a step, state and move to a wrong next state, or None for the correct one."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Conditions:
    """What a solution depends on besides the problem.

    `key` names seed, model and task; `share` is the model's error rate as configured, `slip_rate` that of one step of this
    request, `overlook_rate` that of a step which is not seen at all; `rng` differs from sample to sample.
    """

    key: str
    share: float
    slip_rate: float
    overlook_rate: float = 0.0
    rng: random.Random
    hinted: bool = False


Solve = Callable[[Problem[Any, Any], Conditions], Trace[Any, Any]]


def independent(problem: Problem[Any, Any], given: Conditions) -> Trace[Any, Any]:
    """Each step is overlooked or slips on its own."""
    return trace(_overlooked(problem, given.rng, given.overlook_rate), given.rng, given.slip_rate)


def systematic(problem: Problem[Any, Any], given: Conditions) -> Trace[Any, Any]:
    """Errors that belong to questions and phrases, and a few slips."""
    of_question = random.Random(f"{given.key}|{problem!r}")
    kind = of_question.random()
    seen_through = given.hinted and given.rng.random() >= HINT_FACTOR
    if problem.moves and not seen_through:
        if kind < given.share:
            return _always_wrong(problem, of_question)
        if kind < 2 * given.share and len(problem.moves) > 1:
            return _lucky(problem, of_question)

    def slip(number: int, state: Any, move: Any) -> Any:
        of_phrase = random.Random(f"{given.key}|{problem.phrase(move)}")
        if not seen_through and of_phrase.random() < MISREAD_FACTOR * given.share:
            return problem.slip(state, move, of_phrase)
        if given.rng.random() < SLIP_FACTOR * given.slip_rate:
            return problem.slip(state, move, given.rng)
        return None

    return _solved(_overlooked(problem, given.rng, SLIP_FACTOR * given.overlook_rate), slip)


ERRORS: dict[str, Solve] = {"independent": independent, "systematic": systematic}
"""How a teacher errs, by the name in the configuration."""


def _overlooked(problem: Problem[Any, Any], rng: random.Random, rate: float) -> Problem[Any, Any]:
    """The problem without the steps that are not seen."""
    if not rate:
        return problem
    return replace(problem, moves=tuple(move for move in problem.moves if rng.random() >= rate))  # type: ignore[type-var]


def _always_wrong(problem: Problem[Any, Any], rng: random.Random) -> Trace[Any, Any]:
    """One wrong step that changes the answer, if there is one."""
    correct = trace(problem).answer
    for place in rng.sample(range(len(problem.moves)), len(problem.moves)):
        found = _solved(problem, _one_slip(problem, place, rng))
        if found.answer != correct:
            break
    return found


def _lucky(problem: Problem[Any, Any], rng: random.Random) -> Trace[Any, Any]:
    """One wrong step before the last, which arrives at the right result although it does not follow."""
    wrong = _solved(problem, _one_slip(problem, rng.randrange(len(problem.moves) - 1), rng))
    end = trace(problem).end
    last = wrong.steps[-1]
    steps = (*wrong.steps[:-1], Step(last.move, last.before, end, True))
    return Trace(problem, steps, problem.answer(end))


def _one_slip(problem: Problem[Any, Any], place: int, rng: random.Random) -> Slip:
    return lambda number, state, move: problem.slip(state, move, rng) if number == place else None


def _solved(problem: Problem[Any, Any], slip: Slip) -> Trace[Any, Any]:
    state = problem.start
    steps = []
    for number, move in enumerate(problem.moves):
        wrong = slip(number, state, move)
        after = problem.apply(state, move) if wrong is None else wrong
        steps.append(Step(move, state, after, wrong is not None))
        state = after
    return Trace(problem, tuple(steps), problem.answer(state))
