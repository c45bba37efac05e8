"""The strategy `zero-shot`: the answer at once, without a chain of thought.

Source: Kojima et al. (2022), appendix: the phrase that draws the answer follows "A:".
"""

from __future__ import annotations

from engine.grading.format import Phrases
from engine.question import Question
from engine.strategies.base import Finished, Settings, Strategy, Turns, ask, trigger
from engine.strategies.templates import Template, fill

PROMPT = "Q: {question}\nA: {trigger}"


def _phrase(phrases: Phrases) -> str:
    return phrases.direct


def _converse(question: Question, settings: Settings) -> Turns:
    """One turn: the answer, of at most `answer_max_tokens`."""
    phrase = trigger(question, settings, _phrase)
    prompt = fill(settings.wording.prompt or PROMPT, question=question.text, trigger=phrase)
    completion = yield ask(prompt, settings, settings.answer_max_tokens)
    flags: tuple[str, ...] = ()
    if completion.finish_reason == "length":
        flags = ("answer-truncated",)
    elif completion.finish_reason in ("content_filter", "refusal"):
        flags = (completion.finish_reason,)
    return Finished(
        rationale="", answer=completion.text.strip(), finish_reason=completion.finish_reason, flags=flags
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
    phrase=_phrase,
    writes_rationale=False,
    baseline_rank=0,
)
