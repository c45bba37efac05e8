from __future__ import annotations

import json
import time
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.errors import ConfigError
from engine.grading import FORMATS, GRADER_VERSIONS, grade
from engine.grading.options import options_of

CASES = [json.loads(line) for line in (Path(__file__).parent / "cases.jsonl").read_text().splitlines()]
GOLDS = {
    "number": "42",
    "choice": "B",
    "yes_no": "yes",
    "text": "oke",
    "date": "05/01/2021",
    "math": "42",
    "interval": "3-5",
}


@pytest.mark.parametrize("case", CASES, ids=lambda case: f"{case['format']}: {case['why']}")
def test_case(case) -> None:
    verdict = grade(case["completion"], case["gold"], case["format"], question=case.get("question"))
    assert (verdict.correct, verdict.extracted) == (case["correct"], case["extracted"])
    assert verdict.reason


def test_there_are_enough_cases_and_no_two_alike() -> None:
    assert len(CASES) >= 200
    assert {case["format"] for case in CASES} == set(FORMATS)
    assert len(
        {(case["format"], case["completion"], case["gold"], case.get("question")) for case in CASES}
    ) == len(CASES)


def test_hedges_and_silence_are_flagged() -> None:
    assert grade("A or B", "A", "choice").flags == ("hedged",)
    assert grade("5, 4, 9", "9", "number").flags == ("hedged",)
    assert grade("who knows", "9", "number").flags == ("no-answer",)
    assert "unmarked" in grade("They have 9 hats.", "9", "number").flags
    assert grade("Answer: 9 hats", "9", "number").flags == ()


@pytest.mark.parametrize(
    ("gold", "answer_format"),
    [
        ("many", "number"),
        ("maybe", "yes_no"),
        ("soon", "date"),
        (" ", "text"),
        ("$ $", "math"),
        ("{{", "math"),
    ],
)
def test_a_gold_that_is_none_is_said(gold, answer_format) -> None:
    assert grade("42", gold, answer_format).flags == ("bad-gold",)


def test_what_cannot_be_graded_is_refused_with_what_can() -> None:
    with pytest.raises(ConfigError, match="choice, date, interval, math, number, text, yes_no"):
        grade("1", "1", "essay")
    with pytest.raises(ConfigError, match="careful, paper"):
        grade("1", "1", "number", grader="kind")
    assert GRADER_VERSIONS == {"careful": "careful:3", "paper": "paper:1", "published": "published:1"}


@pytest.mark.parametrize(
    ("question", "options"),
    [
        ("Pick: (A) oak (B) elm", {"A": "oak", "B": "elm"}),
        ("Pick: A) oak B) elm C) fir", {"A": "oak", "B": "elm", "C": "fir"}),
        ("Pick\nA. oak tree\nB. elm", {"A": "oak tree", "B": "elm"}),
        ("Pick\nA: oak\nB: elm", {"A": "oak", "B": "elm"}),
        ("Plan A. It failed. (B) was next.", {}),
        ("No options", {}),
    ],
)
def test_options(question, options) -> None:
    assert options_of(question) == options


HOSTILE = [
    "9" * 20_000,
    "1," * 20_000,
    "(" * 20_000,
    "-" * 20_000,
    " " * 20_000,
    "answer is " * 4_000,
    "Answer: " * 4_000,
    "\\boxed{" * 4_000,
    "two hundred and " * 3_000,
    "1/" * 20_000,
    "1 1/1 " * 8_000,
    "1e" * 20_000,
    "A " * 20_000,
    "a-" * 20_000,
    '"' * 20_000,
    "is " * 20_000,
    "may 1 " * 8_000,
    "1/1/" * 10_000,
    "yes or " * 8_000,
    "answer to the " + "a " * 20_000,
    "\n\n" * 20_000,
    "$" * 20_000,
    "=" * 20_000,
    "point " * 8_000,
    "9" * 39 + "e300",
    "(A) " * 8_000,
    "\ud800" * 5_000,
    "\\(" * 10_000,
    "$" + "a" * 300 + "$" + "b" * 300,
    "5 " + "a" * 350 + "1",
    "3 a, " * 5_000,
    "how many a " * 3_000,
    "5:00" * 5_000,
    "1,1 " * 8_000,
    "1.000" * 5_000,
    "2 hours " * 4_000,
    "\x00" * 5_000,
]


@pytest.mark.parametrize("answer_format", FORMATS)
@pytest.mark.parametrize("grader", GRADER_VERSIONS)
def test_hostile_texts_take_no_time(answer_format, grader) -> None:
    for text in HOSTILE:
        for wrapped in (text, f"Answer: {text}"):
            best = min(_seconds(wrapped, answer_format, grader) for _ in range(2))
            assert best < 0.1, text[:20]


def _seconds(text: str, answer_format: str, grader: str) -> float:
    started = time.process_time()
    grade(text, GOLDS[answer_format], answer_format, question=text, grader=grader)
    return time.process_time() - started


pieces = st.sampled_from(
    ["1", "23", ",", ".", "/", "-", "$", "%", " ", "\n", "=", "and", " or ", "(A)", "B", "yes", "no", "answer is", "Answer:",
     "\\boxed{", "}", "-->", "twenty", "hundred", "point", "half", "May", "2021", '"', "10^6", "e5", "×", "\ud800", "Q:"]
)  # fmt: skip


@settings(max_examples=150, deadline=100)
@given(
    st.lists(pieces, max_size=200).map("".join),
    st.sampled_from([name for name in FORMATS if name != "math"]),  # which may ask another process
    st.sampled_from(sorted(GRADER_VERSIONS)),
)
def test_any_text_gets_a_verdict(text, answer_format, grader) -> None:
    verdict = grade(text, GOLDS[answer_format], answer_format, question=text, grader=grader)
    assert verdict == grade(text, GOLDS[answer_format], answer_format, question=text, grader=grader)
    if verdict.correct:
        assert verdict.extracted is not None
