"""The strategy `zero-shot-cot-chat`: chain of thought in one turn, for chat and reasoning models.

The model is asked to reason and to end with a line "Answer: …". The rationale is the content before that line; if there
is none and the API returns the full reasoning, it is the reasoning. Without such a line the whole text is both rationale
and answer, and the sample is flagged. Where the text is empty, the line is looked for in the reasoning.
"""

from __future__ import annotations

import re

from engine.grading.format import Phrases
from engine.grading.formats import FORMATS
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

PROMPT = "{question}\n\nThink step by step. Then end with one last line of the form\nAnswer: X\nwhere X is {what}, and nothing else."

_ANSWER_LINE = re.compile(r"(?im)^[ \t>#*_]{0,8}(?:final )?answer[*_]{0,3}[ \t]{0,4}:[*_]{0,3}[ \t]*(\S.*)$")


def phrase(phrases: Phrases) -> str:
    """The description of the answer within the prompt."""
    return phrases.described


def _converse(question: Question, settings: Settings) -> Turns:
    """One turn: rationale and answer."""
    what = phrase(FORMATS[settings.answer_format].phrases)
    prompt = fill(settings.wording.prompt or PROMPT, question=question.text, what=what)
    completion = yield from ask(prompt, settings, settings.max_tokens)
    return read(completion)


def read(completion: Completion) -> Finished:
    """Rationale and answer of a completion."""
    text, in_reasoning = said_in(completion)
    line = _last_answer_line(text)
    if line is not None:
        rationale = text[: line.start()].strip()
        answer = line[1].strip().strip("*_").strip()
    else:
        rationale = text.strip()
        answer = "" if in_reasoning else rationale  # reasoning alone does not answer
    if not rationale and completion.reasoning and completion.reasoning_kind == "full" and not in_reasoning:
        rationale = completion.reasoning.strip()
    flags = rationale_flags(completion, rationale)
    if line is None:
        flags.append("no-answer-line")
    elif in_reasoning:
        flags.append(IN_REASONING)
    return Finished(
        rationale=rationale, answer=answer, finish_reason=completion.finish_reason, flags=tuple(flags)
    )


def _last_answer_line(text: str) -> re.Match[str] | None:
    """The last "Answer: …" line. Searched from the end, because it is nearly always there and texts are long."""
    end = len(text)
    while end >= 0:
        start = text.rfind("\n", 0, end) + 1
        if (found := _ANSWER_LINE.match(text, start)) is not None:
            return found
        end = start - 1
    return None


STRATEGY = Strategy(
    name="zero-shot-cot-chat",
    documentation='One turn, for chat and reasoning models: a rationale that ends with a line "Answer: …".',
    converse=_converse,
    templates={
        "prompt": Template(
            text=PROMPT, places=frozenset({"question", "what"}), required=frozenset({"question"})
        ),
    },
    phrase=phrase,
    baseline_rank=2,
    shown_as="teacher",
)
