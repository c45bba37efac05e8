"""The strategy `zero-shot-cot`: chain of thought in two steps, as Fine-tune-CoT samples its teachers.

Source: Kojima et al. (2022) and Ho et al. (2023). First "Let's think step by step." draws a rationale, then the rationale
and "Therefore, the answer is" draw a short answer; the phrase names the answer format. If the first turn is empty or
withheld, the sample ends there and nothing more is paid.
"""

from __future__ import annotations

from engine.grading.format import Phrases
from engine.question import Question
from engine.strategies.base import (
    Finished,
    Settings,
    Strategy,
    Turns,
    ask,
    rationale_flags,
    trigger,
)
from engine.strategies.templates import Template, fill

PROMPT = "Q: {question}\nA: Let's think step by step."
SECOND = "{prompt}{rationale}\n{trigger}"


def _phrase(phrases: Phrases) -> str:
    return phrases.after_rationale


def _converse(question: Question, settings: Settings) -> Turns:
    """Two turns: rationale, then answer."""
    prompt = fill(settings.wording.prompt or PROMPT, question=question.text)
    first = yield ask(prompt, settings, settings.max_tokens)
    rationale = first.text.strip()
    flags = rationale_flags(first, rationale)
    if not rationale or first.finish_reason in ("content_filter", "refusal"):
        return Finished(rationale=rationale, answer="", finish_reason=first.finish_reason, flags=tuple(flags))
    gap = "" if first.text[:1].isspace() else " "
    text = fill(
        settings.wording.answer_prompt or SECOND,
        prompt=prompt,
        question=question.text,
        rationale=gap + first.text.rstrip(),
        trigger=trigger(question, settings, _phrase),
    )
    second = yield ask(text, settings, settings.answer_max_tokens)
    if second.finish_reason == "length":
        flags.append("answer-truncated")
    elif second.finish_reason in ("content_filter", "refusal"):
        flags.append(second.finish_reason)
    return Finished(
        rationale=rationale, answer=second.text.strip(), finish_reason=first.finish_reason, flags=tuple(flags)
    )


STRATEGY = Strategy(
    name="zero-shot-cot",
    documentation="The paper's two steps: first a rationale, then the answer drawn from it.",
    converse=_converse,
    templates={
        "prompt": Template(text=PROMPT, places=frozenset({"question"}), required=frozenset({"question"})),
        "answer_prompt": Template(
            text=SECOND,
            places=frozenset({"question", "prompt", "rationale", "trigger"}),
            required=frozenset({"rationale"}),
        ),
        "trigger": Template(places=frozenset({"last"})),
    },
    phrase=_phrase,
    baseline_rank=1,
    shown_as="teacher",
)
