"""Last letters (Wei et al. 2022): take the last letter of each word and put them together. Answer: text."""

from __future__ import annotations

import random
import re
import string
from dataclasses import dataclass
from typing import Annotated, ClassVar

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
from engine.tasks.procedural.names import NAMES

Words = Annotated[int, Field(ge=1, le=24)]

_QUESTION = re.compile(
    r"Take the last letters of (?:each|the) words in \"([^\"\n]{1,2000})\" and concatenate them\."
)


# The problem


@dataclass(frozen=True)
class LastLetters(Problem[str, str]):
    """A move is a word; the state is what has been put together so far."""

    moves: tuple[str, ...]
    start: str = ""

    def apply(self, state: str, move: str) -> str:
        """One letter more, in lower case."""
        return state + move[-1].lower()

    def slip(self, state: str, move: str, rng: random.Random) -> str:
        """Another letter of the word, or any other letter if the word has no other."""
        correct = move[-1].lower()
        wrong = sorted({letter for letter in move.lower() if letter != correct and letter.isalpha()})
        if not wrong:
            wrong = [letter for letter in string.ascii_lowercase if letter != correct]
        return state + rng.choice(wrong)

    def answer(self, state: str) -> str:
        """The letters."""
        return state


# The generator and the solver


class Options(TaskOptions):
    """`[tasks.NAME.options]` of last letters."""

    span: ClassVar[str | None] = "words"

    words_min: Words = 4
    """Fewest words in a question."""

    words_max: Words = 4
    """Most words in a question."""


def draw(rng: random.Random, options: Options) -> Draft:
    """Different names."""
    words = tuple(rng.sample(NAMES, rng.randint(options.words_min, options.words_max)))
    return Draft(text=_question(" ".join(words)), answer=trace(LastLetters(words)).answer)


def find(text: str) -> FoundQuestion | None:
    """The last question about last letters."""
    last = last_match(_QUESTION, text)
    if last is None or not last[1].split():
        return None
    return FoundQuestion(LastLetters(tuple(last[1].split())), last.start(), last.end())


def _question(words: str) -> str:
    return f'Take the last letters of each words in "{words}" and concatenate them.'


# The rationales: each style shows in quotation marks what has been put together so far

LetterTrace = Trace[str, str]


def _so_we_have(trace: LetterTrace) -> str:
    return " ".join(f'{s.move} ends in {s.after[-1]}, so we have "{s.after}".' for s in trace.steps)


def _last_letter(trace: LetterTrace) -> str:
    return " ".join(f'The last letter of {s.move} is {s.after[-1]}: "{s.after}".' for s in trace.steps)


def _gives(trace: LetterTrace) -> str:
    return " ".join(f'{s.move} gives {s.after[-1]}, which makes "{s.after}".' for s in trace.steps)


def _add(trace: LetterTrace) -> str:
    sentences = []
    for index, step in enumerate(trace.steps):
        verb = "Add" if index else "Take"
        sentences.append(f'{verb} the {step.after[-1]} of {step.move} and get "{step.after}".')
    return " ".join(sentences)


def _after(trace: LetterTrace) -> str:
    return " ".join(f'After {s.move} comes {s.after[-1]}, and the text is "{s.after}".' for s in trace.steps)


def _sub_question(trace: LetterTrace, index: int) -> SubQuestion:
    step = trace.steps[index]
    question = f"What is the last letter of word {index + 1}, {step.move}?"
    return SubQuestion(question, f'It is {step.after[-1]}, so we have "{step.after}".')


def read_answer(problem: LastLetters, rationale: str) -> str | None:
    """The last quotation that is all in lower case."""
    quotations = re.findall(r"[\"“]([^\"“”\s]{1,200}?)\.?[\"”]", rationale)
    lower = [each for each in quotations if each.islower()]
    return problem.answer(lower[-1]) if lower else None


# The worked examples

EXEMPLARS = (
    Exemplar(
        question=_question("Marie Koch"),
        rationale='The last letter of "Marie" is "e". The last letter of "Koch" is "h". Together they are "eh".',
        answer="eh",
    ),
    Exemplar(
        question=_question("Emmy Rose Ada"),
        rationale='The last letter of "Emmy" is "y". The last letter of "Rose" is "e". The last letter of "Ada" is'
        ' "a". Together they are "yea".',
        answer="yea",
    ),
    Exemplar(
        question=_question("Grace Hopper"),
        rationale='The last letter of "Grace" is "e". The last letter of "Hopper" is "r". Together they are "er".',
        answer="er",
    ),
    Exemplar(
        question=_question("Alan Turing Kurt Goedel"),
        rationale='The last letter of "Alan" is "n". The last letter of "Turing" is "g". The last letter of "Kurt"'
        ' is "t". The last letter of "Goedel" is "l". Together they are "ngtl".',
        answer="ngtl",
    ),
)


TASK = ProceduralTask(
    name="last_letter_concatenation",
    options=Options,
    formats=lambda options: ("text",),
    draw=draw,
    find=find,
    renderer=Renderer(
        openings=(
            "",
            "We take the words one by one.",
            "Let us go through the words and keep the last letters.",
        ),
        styles=(_so_we_have, _last_letter, _gives, _add, _after),
        closings=(
            lambda trace: f'So the letters together are "{trace.end}".',
            lambda trace: f'Put together this is "{trace.end}".',
            lambda trace: f'The last letters make "{trace.end}".',
        ),
        read_answer=read_answer,
        sub_question=_sub_question,
    ),
    exemplars=EXEMPLARS,
)
