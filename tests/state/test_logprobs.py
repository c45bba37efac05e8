from __future__ import annotations

import json
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.practice.logprobs import chat_form, logprobs
from state.logprobs import LOWEST, Logprobs, pack, unpack

WORDS = st.text(st.characters(exclude_categories=["Cs"]), max_size=8)
VALUES = st.floats(-1e4, 0.0)
PLACES = st.lists(st.tuples(WORDS, VALUES, st.lists(st.tuples(WORDS, VALUES), max_size=20)), max_size=30)


def of(places: list[tuple[str, float, list[tuple[str, float]]]]) -> Logprobs:
    return Logprobs(
        tuple(token for token, _, _ in places),
        tuple(value for _, value, _ in places),
        tuple(tuple(top) for _, _, top in places),
    )


@given(PLACES)
def test_what_was_packed_comes_back(places: list[tuple[str, float, list[tuple[str, float]]]]) -> None:
    given_, found = of(places), unpack(pack(of(places)))
    assert found.tokens == given_.tokens
    assert [[token for token, _ in top] for top in found.top] == [[t for t, _ in top] for top in given_.top]
    for old, new in zip(given_.values, found.values, strict=True):
        assert math.isclose(old, new, rel_tol=1e-3, abs_tol=1e-6)


def test_a_value_that_is_less_than_can_be_told_stays_finite() -> None:
    found = unpack(pack(Logprobs(("a",), (-9999.0,), ((("b", -1e30),),))))
    assert found.values[0] == pytest.approx(-9999, rel=1e-3)
    assert found.top[0][0][1] == LOWEST


def test_more_words_than_two_bytes_can_count() -> None:
    many = tuple(f"w{number}" for number in range(70_000))
    assert unpack(pack(Logprobs(many, (-1.0,) * 70_000, ((),) * 70_000))).tokens == many


def test_another_version_is_refused() -> None:
    with pytest.raises(ValueError, match="version 9; known is 1"):
        unpack(b"\x09")


def test_packed_they_are_a_small_part_of_the_json() -> None:
    text = "Ada flips the coin, so it is tails up. Then Bo does not flip it, and it stays so. " * 4
    packed = pack(of(logprobs(text, 5)))
    raw = json.dumps(chat_form(text, 5)).encode()
    assert len(packed) * 15 < len(raw)
