"""Coin flips (Wei et al. 2022): people flip a coin or do not; is it still heads up? Answer: yes or no.

The wording is the paper's, so the paper's questions are solved too. A person's name may have several words.
"""

from __future__ import annotations

import random
import re
from dataclasses import dataclass
from typing import Annotated, ClassVar, Literal

from pydantic import Field

from engine.decomposition import Step as SubQuestion
from engine.question import Draft, Exemplar
from engine.tasks.procedural import (
    FoundQuestion,
    Problem,
    ProceduralTask,
    Renderer,
    TaskOptions,
    Trace,
    last_match,
    trace,
)
from engine.tasks.procedural.names import COMMON_NAMES

Side = Literal["heads", "tails"]
People = Annotated[int, Field(ge=1, le=len(COMMON_NAMES))]

_QUESTION = re.compile(
    r"A coin is (heads|tails) up\.((?:\s+[^.?!\n]{1,60}? (?:flips|does not flip) the coin\.)+)"
    r"\s+Is the coin still (heads|tails) up\?(?:\s+Note that \"flip\" here means \"reverse\"\.)?"
)
_TURN = re.compile(r"\s+([^.?!\n]{1,60}?) (flips|does not flip) the coin\.")


# The problem


@dataclass(frozen=True, slots=True)
class Turn:
    """What one person does."""

    who: str
    flips: bool


@dataclass(frozen=True)
class CoinFlip(Problem[Turn, Side]):
    """The state is the side that is up."""

    start: Side
    moves: tuple[Turn, ...]
    asked: Side

    def apply(self, state: Side, move: Turn) -> Side:
        """A flip turns the coin over."""
        return other(state) if move.flips else state

    def slip(self, state: Side, move: Turn, rng: random.Random) -> Side:
        """The other side."""
        return other(self.apply(state, move))

    def answer(self, state: Side) -> str:
        """Whether the side in question is up."""
        return "yes" if state == self.asked else "no"


def other(side: Side) -> Side:
    """The other side of the coin."""
    return "tails" if side == "heads" else "heads"


# The generator and the solver


class Options(TaskOptions):
    """`[tasks.NAME.options]` of coin flips."""

    span: ClassVar[str | None] = "people"

    people_min: People = 4
    """Fewest people in a question."""

    people_max: People = 6
    """Most people in a question."""


def draw(rng: random.Random, options: Options) -> Draft:
    """Different people, each of whom flips the coin with probability one half."""
    count = rng.randint(options.people_min, options.people_max)
    turns = tuple(Turn(who, rng.random() < 0.5) for who in rng.sample(COMMON_NAMES, count))
    flips = " ".join(f"{turn.who} {_verb(turn)} the coin." for turn in turns)
    text = f'A coin is heads up. {flips} Is the coin still heads up? Note that "flip" here means "reverse".'
    return Draft(text=text, answer=trace(CoinFlip("heads", turns, "heads")).answer)


def find(text: str) -> FoundQuestion | None:
    """The last question about a coin."""
    last = last_match(_QUESTION, text)
    if last is None:
        return None
    turns = tuple(Turn(who, verb == "flips") for who, verb in _TURN.findall(last[2]))
    return FoundQuestion(CoinFlip(_side(last[1]), turns, _side(last[3])), last.start(), last.end())


def _side(word: str) -> Side:
    return "heads" if word == "heads" else "tails"


def _verb(turn: Turn) -> str:
    return "flips" if turn.flips else "does not flip"


# The rationales

CoinTrace = Trace[Turn, Side]


def _so_it_is(trace: CoinTrace) -> str:
    sentences = [f"The coin starts {trace.problem.start} up."]
    sentences += [f"{step.move.who} {_verb(step.move)} it, so it is {step.after}." for step in trace.steps]
    return " ".join(sentences)


def _after(trace: CoinTrace) -> str:
    sentences = [f"At first the coin is {trace.problem.start}."]
    sentences += [f"After {step.move.who} it is {step.after}." for step in trace.steps]
    return " ".join(sentences)


def _turns(trace: CoinTrace) -> str:
    sentences = [f"The coin shows {trace.problem.start}."]
    for step in trace.steps:
        verb = "turns it to" if step.before != step.after else "leaves it at"
        sentences.append(f"{step.move.who} {verb} {step.after}.")
    return " ".join(sentences)


def _from_to(trace: CoinTrace) -> str:
    sentences = [f"We begin with {trace.problem.start}."]
    sentences += [
        f"{step.move.who} {_verb(step.move)}: {step.before} to {step.after}." for step in trace.steps
    ]
    return " ".join(sentences)


def _counting(trace: CoinTrace) -> str:
    sentences = [f"We count the flips from {trace.problem.start}."]
    count = 0
    for step in trace.steps:
        count += step.before != step.after
        sentences.append(f"{step.move.who} {_verb(step.move)}: {count}.")
    kind = "even" if count % 2 == 0 else "odd"
    sentences.append(f"The count {count} is {kind}, so we have {trace.end}.")
    return " ".join(sentences)


def _sub_question(trace: CoinTrace, index: int) -> SubQuestion:
    step = trace.steps[index]
    said = f"It was {step.before}, and {step.move.who} {_verb(step.move)} it, so it is {step.after}."
    return SubQuestion(f"Which side is up after {step.move.who}?", said)


def read_answer(problem: CoinFlip, rationale: str) -> str | None:
    """The side that is named last."""
    sides = re.findall(r"\b(heads|tails)\b", rationale.lower())
    return problem.answer(_side(sides[-1])) if sides else None


# The worked examples


def _exemplar(turns: str, rationale: str, answer: str) -> Exemplar:
    text = f'A coin is heads up. {turns} Is the coin still heads up? Note that "flip" here means "reverse".'
    return Exemplar(question=text, rationale=rationale, answer=answer)


EXEMPLARS = (
    _exemplar(
        "Wanda flips the coin. Igor flips the coin.",
        "The coin starts heads up. Wanda flips it, so it is tails. Igor flips it, so it is heads. It is heads up.",
        "yes",
    ),
    _exemplar(
        "Petra flips the coin. Olaf does not flip the coin.",
        "The coin starts heads up. Petra flips it, so it is tails. Olaf leaves it, so it is tails. It is tails up.",
        "no",
    ),
    _exemplar(
        "Ruth does not flip the coin. Emil does not flip the coin.",
        "The coin starts heads up. Ruth leaves it, so it is heads. Emil leaves it, so it is heads. It is heads up.",
        "yes",
    ),
    _exemplar(
        "Hana does not flip the coin. Jorge flips the coin. Nadia does not flip the coin.",
        "The coin starts heads up. Hana leaves it, so it is heads. Jorge flips it, so it is tails. Nadia leaves"
        " it, so it is tails. It is tails up.",
        "no",
    ),
)


TASK = ProceduralTask(
    name="coin_flip",
    options=Options,
    formats=lambda options: ("yes_no",),
    draw=draw,
    find=find,
    renderer=Renderer(
        openings=("",),
        styles=(_so_it_is, _after, _turns, _from_to, _counting),
        closings=(
            lambda trace: f"So the coin is {trace.end} up.",
            lambda trace: f"At the end the coin is {trace.end} up.",
            lambda trace: f"This means that {trace.end} is up now.",
        ),
        read_answer=read_answer,
        sub_question=_sub_question,
    ),
    exemplars=EXEMPLARS,
)
