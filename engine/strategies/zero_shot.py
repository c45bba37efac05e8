"""The strategy `zero-shot`: the answer at once, without a chain of thought.

Source: Kojima et al. (2022), appendix: the phrase that draws the answer follows "A:".
"""

from __future__ import annotations

from engine.grading.format import Phrases
from engine.question import Question
from engine.strategies.base import (
    IN_REASONING,
    Finished,
    Settings,
    Strategy,
    Turns,
    ask,
    finish_flags,
    said_in,
    trigger,
)
from engine.strategies.templates import Template, fill

PROMPT = "Q: {question}\nA: {trigger}"


def _phrase(phrases: Phrases) -> str:
    return phrases.direct


def _converse(question: Question, settings: Settings) -> Turns:
    """One turn: the answer, of at most `answer_max_tokens`."""
    phrase = trigger(question, settings, _phrase)
    prompt = fill(settings.wording.prompt or PROMPT, question=question.text, trigger=phrase)
    completion = yield from ask(prompt, settings, settings.answer_max_tokens)
    text, in_reasoning = said_in(completion)
    flags = ["answer-truncated"] if completion.finish_reason == "length" else finish_flags(completion)
    if in_reasoning:
        flags.append(IN_REASONING)
    return Finished(
        rationale="", answer=text.strip(), finish_reason=completion.finish_reason, flags=tuple(flags)
    )


STRATEGY = Strategy(
    name="zero-shot",
    documentation="Asks for the answer at once. A baseline: its samples have no rationale, so no student reads them.",
    converse=_converse,
    templates={
        "prompt": Template(
            text=PROMPT, places=frozenset({"question", "trigger"}), required=frozenset({"question"})
        ),
        "trigger": Template(places=frozenset({"last"})),
    },
    published={"prompt": "Q: {question}\n\nA:"},
    phrase=_phrase,
    writes_rationale=False,
    baseline_rank=0,
)
