"""The strategy `zero-shot-cot`: chain of thought in two steps, as Fine-tune-CoT samples its teachers.

Source: Kojima et al. (2022) and Ho et al. (2023). First "Let's think step by step." draws a rationale, then the rationale
and "Therefore, the answer is" draw a short answer; the phrase names the answer format. If the first turn is empty or
withheld, the sample ends there and nothing more is paid.
"""

from __future__ import annotations

from engine.grading.format import Phrases
from engine.question import Question
from engine.strategies.base import (
    IN_REASONING,
    Finished,
    Settings,
    Strategy,
    Turn,
    Turns,
    ask,
    asking,
    finish_flags,
    rationale_flags,
    said_in,
    trigger,
)
from engine.strategies.templates import Template, fill

PROMPT = "Q: {question}\nA: Let's think step by step."
SECOND = "{prompt}{rationale}\n{trigger}"


def _phrase(phrases: Phrases) -> str:
    return phrases.after_rationale


def _converse(question: Question, settings: Settings) -> Turns:
    """Two turns: rationale, then answer."""
    prompt = _first(question, settings)
    first = yield from ask(prompt, settings, settings.max_tokens)
    reasoned, in_reasoning = said_in(first)
    rationale = reasoned.strip()
    flags = rationale_flags(first, rationale)
    if in_reasoning and rationale:
        flags.append(IN_REASONING)
    if not rationale or first.finish_reason in ("content_filter", "refusal"):
        return Finished(rationale=rationale, answer="", finish_reason=first.finish_reason, flags=tuple(flags))
    text = _second(question, settings, reasoned)
    second = yield from ask(text, settings, settings.answer_max_tokens)
    answer, in_reasoning = said_in(second)
    flags += ["answer-truncated"] if second.finish_reason == "length" else finish_flags(second)
    if in_reasoning:
        flags.append(IN_REASONING)
    return Finished(
        rationale=rationale,
        answer=answer.strip(),
        finish_reason=first.finish_reason,
        flags=tuple(dict.fromkeys(flags)),
    )


def _first(question: Question, settings: Settings) -> str:
    return fill(settings.wording.prompt or PROMPT, question=question.text)


def _second(question: Question, settings: Settings, reasoned: str) -> str:
    gap = "" if reasoned[:1].isspace() else " "
    return fill(
        settings.wording.answer_prompt or SECOND,
        prompt=_first(question, settings),
        question=question.text,
        rationale=gap + reasoned.rstrip(),
        trigger=trigger(question, settings, _phrase),
    )


def _later(question: Question, settings: Settings) -> tuple[Turn, ...]:
    request = asking(_second(question, settings, ""), settings, settings.answer_max_tokens)
    return (Turn(request, repeats=settings.max_tokens),)


STRATEGY = Strategy(
    name="zero-shot-cot",
    documentation="The paper's two steps: first a rationale, then the answer drawn from it.",
    converse=_converse,
    later=_later,
    templates={
        "prompt": Template(text=PROMPT, places=frozenset({"question"}), required=frozenset({"question"})),
        "answer_prompt": Template(
            text=SECOND,
            places=frozenset({"question", "prompt", "rationale", "trigger"}),
            required=frozenset({"rationale"}),
        ),
        "trigger": Template(places=frozenset({"last"})),
    },
    published={"trigger": "Therefore, the answer is"},
    phrase=_phrase,
    baseline_rank=1,
    for_chat="zero-shot-cot-chat",
    shown_as="teacher",
)
