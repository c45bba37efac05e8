from __future__ import annotations

from typing import Any

import pytest

from daemon.sampling.first_answers import FIRST, UNSAID, FirstAnswers
from engine.config import PlanConfig
from engine.teachers.failures import Failure
from engine.teachers.messages import Completion, Usage


def plan(**settings: Any) -> PlanConfig:
    return PlanConfig.model_validate(
        {"name": "p", "strategy": "zero-shot-cot-chat", "rationales": 1, **settings}
    )


def completion(
    text: str = "Because.", finish: str = "stop", *, tokens: int = 5, reasoning: int = 0
) -> Completion:
    usage = Usage(prompt_tokens=1, completion_tokens=tokens, reasoning_tokens=reasoning)
    return Completion(text=text, usage=usage, finish_reason=finish)


def told(first: FirstAnswers, config: PlanConfig, answers: list[Completion]) -> list[str]:
    return [said for each in answers if (said := first.completed(config, 0, each))]


CUT = completion("It is", "length")


@pytest.mark.parametrize(
    ("config", "answer", "words"),
    [
        (plan(), CUT, "20 of 20 answers were cut at max_tokens = 256: raise max_tokens"),
        (
            plan(max_tokens=64),
            completion("", "length", tokens=64, reasoning=64),
            "20 of 20 answers were cut at max_tokens = 64 by reasoning alone: raise max_tokens",
        ),
        (
            plan(strategy="zero-shot"),
            completion("", "length"),
            "20 of 20 answers were cut at answer_max_tokens = 32: raise answer_max_tokens",
        ),
        (plan(), completion(" \n"), "20 of 20 answers were empty"),
    ],
)
def test_a_plan_whose_first_answers_are_of_no_use_says_what_to_set(
    config: PlanConfig, answer: Completion, words: str
) -> None:
    (said,) = told(FirstAnswers(), config, [answer] * (FIRST + 10))
    assert said.startswith(words)


@pytest.mark.parametrize(
    "answers",
    [
        [CUT] * (FIRST - 1),
        [*[CUT] * (FIRST - 1), completion(), *[CUT] * FIRST],
        [completion("", "refusal")] * FIRST,
        [completion("", "content_filter")] * FIRST,
    ],
)
def test_one_that_is_of_use_ends_the_watch(answers: list[Completion]) -> None:
    assert told(FirstAnswers(), plan(), answers) == []


def test_a_short_answer_that_is_cut_is_usual() -> None:
    assert told(FirstAnswers(), plan(strategy="zero-shot"), [completion("42 is", "length")] * FIRST) == []
    first = FirstAnswers()
    assert [first.completed(plan(strategy="zero-shot-cot"), 1, CUT) for _ in range(FIRST)] == [""] * FIRST


def test_what_cannot_be_read_and_was_paid_for_counts_too() -> None:
    usage = Usage(prompt_tokens=1, completion_tokens=1)
    unread = Failure(kind="malformed", reason="a choice has no text", usage=usage)
    first = FirstAnswers()
    said = [first.failed(plan(), 0, str(number), unread) for number in range(FIRST)]
    assert said[-1].startswith("20 of 20 answers could not be read: a choice has no text")
    html = Failure(kind="malformed", reason="HTML")
    assert not any(FirstAnswers().failed(plan(), 0, "q", html) for _ in range(FIRST)), "that is an outage"


def test_different_faults_are_told_by_the_most_frequent() -> None:
    first = FirstAnswers()
    cut = Failure(kind="transient", reason="cut at max_tokens (400)", blame="sample", cut=True)
    assert not any(first.completed(plan(), 0, completion("")) for _ in range(5))
    said = [first.failed(plan(), 0, str(number), cut) for number in range(FIRST - 5)]
    assert said[-1] == "15 of 20 answers were cut at max_tokens = 256: raise max_tokens"


def test_refusals_count_by_question() -> None:
    refused = Failure(kind="permanent", reason="too long", blame="request")
    first = FirstAnswers()
    assert not any(first.failed(plan(), 0, "one", refused) for _ in range(40))
    said = [first.failed(plan(), 0, str(number), refused) for number in range(FIRST - 1)]
    assert said[-1] == "20 requests in a row were rejected: too long"


def test_a_plan_that_was_never_answered_is_at_fault_after_a_few_rejections() -> None:
    first = FirstAnswers()
    said = [first.rejected(str(number), "no such thing") for number in range(UNSAID)]
    assert said == [""] * (UNSAID - 1) + [
        "5 requests in a row were rejected, and none was answered: no such thing"
    ]
    first = FirstAnswers()
    first.completed(plan(), 0, completion())
    assert not any(first.rejected(str(number), "x") for number in range(30))


def test_what_the_user_resumed_is_not_held_again() -> None:
    first = FirstAnswers()
    told(first, plan(), [CUT] * FIRST)
    first.accept()
    assert told(first, plan(), [CUT] * 50) == []
