from __future__ import annotations

import pytest

from engine.report.intervals import estimate, estimate_answers
from state.confidence_interval import wilson


def run(*answers: int, start: int = 0) -> dict[int, bool]:
    return {start + place: bool(answer) for place, answer in enumerate(answers)}


def test_one_seed_has_wilsons_interval_over_questions() -> None:
    found = estimate([run(*[1] * 15, *[0] * 5)])
    assert found is not None
    assert (found.low, found.high) == wilson(15, 20)
    assert (found.accuracy, found.questions, found.seeds) == (0.75, 20, 1)
    assert found.text() == f"75.0 ({100 * found.low:.1f}–{100 * found.high:.1f})"


def test_seeds_that_disagree_widen_the_interval() -> None:
    same = estimate([run(*[1, 0] * 50)] * 3)
    other = estimate([run(*[1] * 100), run(*[0] * 100), run(*[1, 0] * 50)])
    assert same is not None and other is not None
    assert same.accuracy == other.accuracy == 0.5
    assert other.high - other.low > 2 * (same.high - same.low)
    assert (other.questions, other.seeds) == (100, 3)
    assert other == estimate([run(*[1] * 100), run(*[0] * 100), run(*[1, 0] * 50)])  # the same each time


@pytest.mark.parametrize("value", [0, 1])
def test_where_all_is_right_or_wrong_something_may_still_be_otherwise(value: int) -> None:
    found = estimate([run(*[value] * 20)] * 3)
    assert found is not None and found.accuracy == value
    assert (found.low, found.high) == pytest.approx(wilson(20 * value, 20))
    assert found.high - found.low > 0.1


def test_seeds_are_compared_on_the_same_questions() -> None:
    found = estimate([run(1, 1, 0), run(1, 0, 1, start=1)])
    assert found is not None and found.questions == 2
    assert estimate([run(1), run(1, start=5)]) is None
    assert estimate([]) is None and estimate([{}]) is None


def test_next_to_all_an_interval_is_no_narrower_than_at_all_of_them() -> None:
    nearly = estimate([run(*[1] * 199, 0), run(*[1] * 200), run(*[1] * 200)])
    every = estimate([run(*[1] * 200)] * 3)
    assert nearly is not None and every is not None
    assert nearly.high - nearly.low >= every.high - every.low
    half = estimate([run(1, *[0] * 59), run(*[0] * 60)])  # half a question on average
    assert half is not None and half.low < half.accuracy < half.high
    assert half.high > wilson(0, 60)[1]


def test_of_several_answers_to_a_question_whole_questions_are_drawn() -> None:
    alike = estimate_answers([[bool(key % 2)] * 8 for key in range(100)])
    mixed = estimate_answers([[True, False] * 4] * 100)
    once = estimate_answers([[bool(key % 2)] for key in range(100)])
    assert alike is not None and mixed is not None and once is not None
    assert alike.questions == mixed.questions == once.questions == 100
    assert (once.low, once.high) == wilson(50, 100)
    assert alike.high - alike.low == pytest.approx(once.high - once.low, abs=0.02)
    assert mixed.low == mixed.high == 0.5  # every question is half known, whichever are drawn
    assert estimate_answers([]) is None and estimate_answers([[], []]) is None
