from __future__ import annotations

from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.grading.formats.number import show
from engine.grading.numerals import numbers

UNITS = "zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen seventeen eighteen nineteen".split()
TENS = "twenty thirty forty fifty sixty seventy eighty ninety".split()


def spell(n: int) -> str:
    if n < 20:
        return UNITS[n]
    if n < 100:
        return TENS[n // 10 - 2] + (f"-{UNITS[n % 10]}" if n % 10 else "")
    if n < 1000:
        return f"{UNITS[n // 100]} hundred" + (f" and {spell(n % 100)}" if n % 100 else "")
    return f"{spell(n // 1000)} thousand" + (f" {spell(n % 1000)}" if n % 1000 else "")


@given(st.integers(0, 999_999))
def test_words_are_read_as_they_are_spelled(n) -> None:
    assert [found.value for found in numbers(f"about {spell(n)} dollars")] == [n]


@given(st.integers(-(10**12), 10**12), st.integers(0, 99))
def test_digits_are_read_as_they_are_written(n, cents) -> None:
    value = abs(n) + Fraction(cents, 100)
    sign = "-" if n < 0 else ""
    expected = -value if n < 0 else value
    for written in (f"{sign}{abs(n)}.{cents:02}", f"{sign}${abs(n):,}.{cents:02}."):
        assert [found.value for found in numbers(f"It is {written}")] == [expected]


@pytest.mark.parametrize(
    ("text", "values"),
    [
        ("CO2 and H2O", []),
        ("the 3rd of 12", [12]),
        ("10-3", [10, 3]),
        ("x-5", [5]),
        ("5kg", [5]),
        ("12%", [12]),
        ("one half", [Fraction(1, 2)]),
        ("half", [Fraction(1, 2)]),
        ("five and three quarters", [Fraction(23, 4)]),
        ("no numerals", []),
        ("1,23", [1, 23]),
        ("1e3", [1000]),
        ("1e9999", []),
        ("7 million", [7_000_000]),
    ],
)
def test_numbers_of_a_text(text, values) -> None:
    assert [found.value for found in numbers(text)] == values


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (Fraction(5, 1), "5"),
        (Fraction(-1, 4), "-0.25"),
        (Fraction(1, 3), "0.333333333333"),
        (Fraction(10**40), "1e+40"),
    ],
)
def test_numbers_are_shown_as_a_person_writes_them(value, text) -> None:
    assert show(value) == text
