"""orjson and Python's `json` agree, and what orjson refuses is decided by the latter."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.teachers.decode import decode_json, encode_json
from engine.teachers.failures import MalformedAnswer

texts = st.text() | st.sampled_from(["\ud800", "\udc00\ud83d", "a\x00b", "\u2028", "é" * 50])
leaves = (
    st.none() | st.booleans() | texts | st.integers(-(10**30), 10**30) | st.floats(allow_nan=False, allow_infinity=False)
)  # fmt: skip
values = st.recursive(
    leaves,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(texts, inner, max_size=4),
    max_leaves=20,
)


def floated(value: Any) -> Any:
    """A value whose integers beyond 64 bits are floats."""
    if isinstance(value, dict):
        return {name: floated(each) for name, each in value.items()}
    if isinstance(value, list):
        return [floated(each) for each in value]
    beyond = isinstance(value, int) and not isinstance(value, bool) and not -(2**63) <= value < 2**64
    return float(value) if beyond else value


@settings(max_examples=300, deadline=None)
@given(values)
def test_what_is_written_is_read_again(value: Any) -> None:
    raw = encode_json(value)
    assert json.loads(raw) == value
    assert floated(decode_json(raw)) == floated(value)
    assert floated(decode_json(json.dumps(value).encode())) == floated(value)


@pytest.mark.parametrize(
    ("raw", "said"),
    [
        (b"", "empty"),
        (b" \n", "empty"),
        (b"\xff{}", "not valid UTF-8"),
        (b"<html></html>", "HTML"),
        (b'{"a": 1', "cut off"),
        (b'{"a": "b', "cut off"),
        (b'{"a" 1}', "not valid"),
        (b'{"a": NaN}', "NaN is not"),
        (b"[" * 100_000, "nested too deeply"),
        (b"1" * 5_000, "too long"),
    ],
)
def test_a_fault_is_named(raw: bytes, said: str) -> None:
    with pytest.raises(MalformedAnswer, match=said):
        decode_json(raw)


def test_what_only_one_of_them_reads_is_read() -> None:
    assert decode_json(b'\xef\xbb\xbf{"a": 1}') == {"a": 1}
    assert decode_json(b'{"a": "\\ud800"}') == {"a": "\ud800"}
