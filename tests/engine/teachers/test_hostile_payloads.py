"""Whatever JSON an answer holds, a dialect gives completions that can be stored, or a `MalformedAnswer`."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.teachers.dialects import DIALECTS, dialect
from engine.teachers.failures import MalformedAnswer
from engine.teachers.messages import Message, Request

ASK = Request(messages=(Message("user", "2 + 2?"),), stop=("END",))

texts = st.sampled_from(
    [
        "4",
        "\ud800",
        "\udc00\ud83d",
        "a\x00b\x1b]0;x\x07",
        "<think>hm",
        "hm</think>4",
        "4 END 5",
        "",
        "end_turn",
    ]
)
leaves = st.none() | st.booleans() | texts | st.integers(-(10**20), 10**20) | st.floats(allow_nan=False)
junk = st.recursive(
    leaves,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3),
    max_leaves=8,
)


def table(wanted: st.SearchStrategy[Any], *names: str) -> st.SearchStrategy[dict[str, Any]]:
    """Some of `names`, mostly with what is wanted there, at times with anything."""
    mostly = st.integers(0, 9).flatmap(lambda chance: junk if chance == 0 else wanted)
    return st.fixed_dictionaries({}, optional=dict.fromkeys(names, mostly))


def both(*tables: st.SearchStrategy[dict[str, Any]]) -> st.SearchStrategy[dict[str, Any]]:
    """The tables in one."""
    return st.tuples(*tables).map(lambda each: {name: value for one in each for name, value in one.items()})


def some(item: st.SearchStrategy[Any]) -> st.SearchStrategy[list[Any]]:
    return st.lists(item, max_size=3)


tokens = st.sampled_from([0, 5, 60, 60.0, -1, 10**7 + 1, 1e300, True, None, "7"])
details = table(tokens, "cached_tokens", "reasoning_tokens", "thinking_tokens")
sides = ("input_tokens", "output_tokens", "prompt_tokens", "completion_tokens", "total_tokens")
usage = both(
    table(tokens, *sides, "cache_read_input_tokens", "cache_creation_input_tokens"),
    table(details, *(f"{side}_details" for side in sides)),
)
kinds = table(
    st.sampled_from(
        ["message", "reasoning", "output_text", "refusal", "text", "thinking", "redacted_thinking"]
    ),
    "type",
)
parts = both(kinds, table(texts, "text", "refusal", "thinking"))
items = both(kinds, table(texts, "text", "thinking", "phase"), table(some(parts), "content", "summary"))
message = both(table(texts | some(parts), "content"), table(texts, "refusal", "reasoning"))
choices = both(table(message, "message"), table(texts, "text", "finish_reason"), table(tokens, "index"))
words = st.sampled_from(["completed", "incomplete", "failed", "queued", "refusal", "\ud800"])
answers = both(
    table(some(items), "output", "content"),
    table(some(choices), "choices"),
    table(usage, "usage"),
    table(words, "status", "stop_reason"),
    table(table(words, "reason"), "incomplete_details"),
    table(texts, "model", "id"),
    table(st.none(), "error"),
)


@pytest.mark.parametrize("name", DIALECTS)
@settings(max_examples=150, deadline=None)
@given(payload=answers | junk)
def test_no_payload_breaks_a_dialect(name: str, payload: object) -> None:
    try:
        completions = dialect(name).parse(payload, ASK)
    except MalformedAnswer as error:
        assert str(error).isascii() and len(str(error)) < 120
        return
    assert completions
    for completion in completions:
        stored = (completion.text, completion.reasoning or "", completion.finish_reason, completion.model)
        json.dumps([*stored, completion.provider_id or ""], ensure_ascii=False).encode()
        assert completion.reasoning_kind in (None, "full", "summary", "hidden")
        assert (completion.reasoning_kind in ("full", "summary")) is bool(completion.reasoning)
        used = completion.usage
        assert 0 <= used.cached_tokens <= used.prompt_tokens
        assert 0 <= used.reasoning_tokens <= used.completion_tokens
