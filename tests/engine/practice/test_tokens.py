from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from engine.practice.tokens import count_tokens, cut


def test_counts() -> None:
    assert count_tokens("") == 0
    assert count_tokens("After Anna flips it is heads.") == 7
    assert count_tokens("concatenation") == 3
    assert count_tokens("12345") == 2


def test_cut_by_length_and_by_stop() -> None:
    assert cut("one two three", 2) == ("one two", 2, "length")
    assert cut("one two three", 3) == ("one two three", 3, "stop")
    assert cut("one two three", 3, (" three", "two")) == ("one ", 2, "stop")
    assert cut("one two three four", 2, ("four",)) == ("one two", 2, "length")


@given(st.text(max_size=200), st.integers(1, 40))
def test_a_text_is_its_tokens_joined(text: str, limit: int) -> None:
    total = count_tokens(text)
    head, tokens, reason = cut(text, limit)
    assert text.startswith(head) and tokens == min(limit, total)
    assert (reason == "length") == (total > limit) and (reason == "length" or head == text)
    assert total <= len(text)
