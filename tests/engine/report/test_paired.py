from __future__ import annotations

import random
from dataclasses import replace

import pytest

from engine.report import differences, render
from engine.report.paired import MOST, READING, difference, mcnemar
from state.results import Results
from tests.engine.report.test_markdown import RUN, TASK


def results(*students: str) -> Results:
    runs = tuple(replace(RUN, run_id=key, student=name) for key, name in enumerate(students, 1))
    return Results(
        tasks=(TASK,),
        plans=(),
        runs=runs,
        failed=(),
        config={"students": [{"name": name} for name in students]},
        boots=1,
        spent_usd=0.0,
        unknown_attempts=0,
        prompt_tokens=0,
        completion_tokens=0,
    )


def answers(*given: str) -> dict[tuple[int, str], dict[int, bool]]:
    """Of each run, by question: `+` is a correct answer, and a space none at all."""
    return {
        (run, "coin_flip"): {at: mark == "+" for at, mark in enumerate(marks) if mark != " "}
        for run, marks in enumerate(given, 1)
    }


@pytest.mark.parametrize(
    ("table", "low", "high"),
    [((36, 12, 2, 0), 0.0569, 0.3404), ((0, 12, 2, 36), 0.0569, 0.3404)],  # Newcombe (1998), method 10
)
def test_the_interval_is_that_of_the_source(
    table: tuple[int, int, int, int], low: float, high: float
) -> None:
    found = difference(*table)
    assert found.points == pytest.approx(0.2)
    assert (found.low, found.high) == (pytest.approx(low, abs=6e-5), pytest.approx(high, abs=6e-5))


def test_the_test_is_mcnemar_s_exact_one() -> None:
    assert mcnemar(12, 2) == mcnemar(2, 12) == pytest.approx(2 * (1 + 14 + 91) / 2**14)
    assert mcnemar(0, 0) == mcnemar(3, 3) == 1.0
    assert mcnemar(0, 1000) == pytest.approx(2 / 2**1000)


def test_the_interval_covers_the_difference() -> None:
    rng = random.Random(0)
    covered = 0
    for _ in range(1000):
        counts = [0, 0, 0, 0]
        for _ in range(100):
            counts[rng.choices(range(4), weights=(50, 20, 8, 22))[0]] += 1
        found = difference(*counts)
        covered += found.low <= 0.12 <= found.high
    assert 930 <= covered <= 975


def test_turned_round_it_is_the_same() -> None:
    one, other = difference(5, 4, 1, 9), difference(5, 1, 4, 9)
    assert (one.points, one.low, one.high, one.p) == (-other.points, -other.high, -other.low, other.p)
    with pytest.raises(ValueError, match="no questions"):
        difference(0, 0, 0, 0)


def test_each_pair_of_a_task_is_a_line_on_the_questions_of_both() -> None:
    found = differences(results("base", "plain", "cot"), answers("+--+-- ", "++-----", "++++++ "))
    assert [[cell.strip() for cell in line.split("|")[1:-1]] for line in found.splitlines()[2:]] == [
        ["coin_flip", "plain – base", "0.0 (−43.6 to +43.6)", "1.000", "1", "1", "6"],
        ["coin_flip", "cot – base", "+66.7 (+13.1 to +90.3)", "0.125", "4", "0", "6"],
        ["coin_flip", "cot – plain", "+66.7 (+13.1 to +90.3)", "0.125", "4", "0", "6"],
    ]


def test_one_student_is_compared_with_nobody_and_many_are_not_listed() -> None:
    assert differences(results("one"), answers("++")) == ""
    many = [f"s{number}" for number in range(MOST + 1)]
    told = differences(results(*many), answers(*["+-"] * len(many)))
    assert told.startswith("coin_flip has 9 students")


def test_they_stand_in_the_report_below_the_accuracies() -> None:
    of = results("base", "cot")
    text = render(of, differences=differences(of, answers("+-", "++")))
    assert text.index("## Accuracy on test") < text.index("cot – base") < text.index("## Data")
    assert READING in text and READING not in render(of)
