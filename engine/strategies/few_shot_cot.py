"""The strategy `few-shot-cot`: worked examples before the question, rationale and answer in one turn.

Source: Wei et al. (2022). The rationale is the text before the last "The answer is", the answer the text behind it.
What a model adds after that (further questions of its own) is cut. Without the phrase the whole text is both rationale
and answer, and the sample is flagged.
"""

from __future__ import annotations

import re

from engine.question import Question
from engine.strategies.base import (
    IN_REASONING,
    Finished,
    Settings,
    Strategy,
    Turns,
    ask,
    rationale_flags,
    said_in,
)
from engine.strategies.templates import Template, fill
from engine.teachers.messages import Completion

EXEMPLAR = "Q: {question}\nA: {rationale} The answer is {answer}."
PROMPT = "{exemplars}\n\nQ: {question}\nA:"
BETWEEN = "\n\n"
NEXT = "\nQ:"

_ANSWER = re.compile(r"(?i)\b(?:so |thus |therefore,? )?(?:the )?(?:final )?answer is:?[ \t]*")


def _converse(question: Question, settings: Settings) -> Turns:
    """One turn: rationale and answer, in the examples' form."""
    form = settings.wording.exemplar or EXEMPLAR
    examples = BETWEEN.join(
        fill(form, question=each.question, rationale=each.rationale, answer=each.answer)
        for each in settings.wording.exemplars
    )
    prompt = fill(settings.wording.prompt or PROMPT, exemplars=examples, question=question.text)
    completion = yield from ask(prompt, settings, settings.max_tokens, NEXT)
    return read(completion)


def read(completion: Completion) -> Finished:
    """Rationale and answer of a completion."""
    whole, in_reasoning = said_in(completion)
    text = whole.split(NEXT)[0].strip()
    marks = list(_ANSWER.finditer(text))
    if marks and text[marks[-1].end() :].strip():
        rationale = text[: marks[-1].start()].strip()
        answer = text[marks[-1].end() :].split("\n")[0].strip()
    else:
        marks = []
        rationale = text
        answer = "" if in_reasoning else text
    flags = rationale_flags(completion, rationale)
    if not marks:
        flags.append("no-answer-line")
    elif in_reasoning:
        flags.append(IN_REASONING)
    return Finished(
        rationale=rationale, answer=answer, finish_reason=completion.finish_reason, flags=tuple(flags)
    )


STRATEGY = Strategy(
    name="few-shot-cot",
    documentation="Shows worked examples first; the answer has their form.",
    converse=_converse,
    templates={
        "exemplar": Template(
            text=EXEMPLAR,
            places=frozenset({"question", "rationale", "answer"}),
            required=frozenset({"question", "rationale", "answer"}),
        ),
        "prompt": Template(
            text=PROMPT,
            places=frozenset({"question", "exemplars"}),
            required=frozenset({"question", "exemplars"}),
        ),
    },
    needs_exemplars=True,
    baseline_rank=3,
)
