"""The format `interval`, in particular what must not change a verdict."""

from __future__ import annotations

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.grading import grade

RIGHT = (
    "[3, 5]",
    "between 3 and 5",
    "3 to 5",
    "3–5 kg",
    "$3-$5",
    "from three to five",
    "3.0 – 5.0 %",
    "[3 kg, 5 kg]",
)
HEDGES = ("3 to 5 or 4 to 6", "3 to 5 or 7", "2, or 3 to 5", "3, 4 or 5", "3 to 5 to 7", "[3, 5] and [4, 6]")
OTHERS = ("4", "3", "[3, 6]", "(3, 5)", "[3, 5)", "3 < x < 5", "5 to 3", "3 and 5", "3-5-2021", "", "no idea")


def correct(completion: str, gold: str = "[3, 5]") -> bool:
    verdict = grade(completion, gold, "interval")
    assert verdict.extracted == "[3, 5]" or not verdict.correct or "%" in completion or gold != "[3, 5]"
    return verdict.correct


@pytest.mark.parametrize("text", RIGHT)
def test_the_same_interval_in_several_notations(text: str) -> None:
    assert correct(text) and correct(f"Answer: {text}") and correct(f"The answer is {text}.")


@pytest.mark.parametrize("text", HEDGES)
def test_a_hedge_is_wrong_whatever_the_gold_is(text: str) -> None:
    for gold in ("[3, 5]", "4 to 6", "5 to 7"):
        assert not correct(text, gold) and not correct(f"Answer: {text}", gold)


@pytest.mark.parametrize("text", OTHERS)
def test_anything_else_is_wrong(text: str) -> None:
    assert not correct(text) and not correct(f"Answer: {text}")


@pytest.mark.parametrize("gold", ["3", "5-3", "(3, 5)", "soon", "3-5 or 6", ""])
def test_a_gold_that_is_not_an_interval_is_said(gold: str) -> None:
    assert grade("3-5", gold, "interval").flags == ("bad-gold",)


@pytest.mark.parametrize(
    ("answer", "gold"),
    [
        ("2-3 million", "2,000,000 to 3,000,000"),
        ("3-5%", "3% to 5%"),
        ("[0,5]", "0 to 5"),
        ("[3,500]", "3 to 500"),
        ("[1,000, 2,000]", "1000-2000"),
        ("between 1/3 and 7/2", "[1/3, 3.5]"),
        ("-3–-1", "[-3, -1]"),
        ("#### 3-5", "so that 3 is least #### 3-5"),
        ("[3, 5], not [4, 6]", "3-5"),
    ],
)
def test_ends_are_compared_as_numbers(answer: str, gold: str) -> None:
    assert correct(answer, gold)


THOUGHT = (
    "First I take 12 of the 30 boxes. Then between 2 and 4 of them are left, so 7 - 2 = 5 remains. "
    "Perhaps the answer is 4 to 6? I check: 3 + 2 = 5. Wait, 9 cannot be it.\n"
)
SIZES = pytest.mark.parametrize("size", [512, 4096, 40_960])


@SIZES
@pytest.mark.parametrize("text", [*RIGHT, *HEDGES, "[3, 6]", "4", "(3, 5)"])
def test_what_stands_around_the_answer_changes_nothing(text: str, size: int) -> None:
    """A think block before it, a reason behind it, another question after it."""
    thought = (THOUGHT * (size // len(THOUGHT) + 1))[:size]
    alone = correct(f"Answer: {text}")
    assert alone is (text in RIGHT)
    for around in (
        f"<think>{thought}</think>\n\nAnswer: {text}",
        f"{thought}\nTherefore, the answer is {text}.",
        f"{thought}\nThe answer is {text}, because 8 - 3 = 5 and 2 of them are too small.",
        f"{thought}\nAnswer: {text}\nI hope this helps!",
        f"{thought}\nAnswer: {text}\nQ: How many are 7 to 9?\nA: The answer is 7 to 9.",
    ):
        assert correct(around) is alone, around[size:]


@SIZES
def test_without_a_mark_the_last_sentence_with_a_number_is_the_answer(size: int) -> None:
    thought = (THOUGHT * (size // len(THOUGHT) + 1))[:size].replace("the answer is", "it is")
    assert correct(f"{thought}\nSo it lies between 3 and 5.")
    assert correct(f"{thought}\nSo it lies between 3 and 5. That is all.")
    assert not correct(f"{thought}\nSo it lies between 3 and 5. It is 4.")


ENDS = st.integers(-1000, 1000)


@settings(max_examples=100, deadline=None)
@given(ENDS, ENDS, st.randoms(use_true_random=False))
def test_every_notation_of_two_ends_is_read(one: int, two: int, chance: random.Random) -> None:
    low, high = sorted((one, two))
    ways = (
        f"[{low}, {high}]",
        f"{low} to {high}",
        f"between {low} and {high}",
        f"{low}–{high}",
        f"[{low},{high}]",
    )
    answer, gold = chance.choice(ways), chance.choice(ways)
    assert correct(answer, gold)
    assert not correct(f"[{low}, {high + 1}]", gold)
    assert not correct(f"[{low - 1}, {high}]", gold)
