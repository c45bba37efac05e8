"""Whatever JSON an answer holds, a dialect gives completions that can be stored, or a `MalformedAnswer`."""

from __future__ import annotations

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.teachers.dialects import DIALECTS, dialect
from engine.teachers.failures import MalformedAnswer
from engine.teachers.messages import Message, Request

ASK = Request(messages=(Message("user", "2 + 2?"),), stop=("END",))

WORDS = [
    "choices", "message", "content", "text", "output", "type", "output_text", "refusal", "reasoning", "summary",
    "thinking", "redacted_thinking", "usage", "input_tokens", "output_tokens", "output_tokens_details",
    "cache_read_input_tokens", "status", "completed", "incomplete", "incomplete_details", "reason", "stop_reason",
    "end_turn", "error", "code", "model", "id", "phase", "final_answer", "prompt_tokens", "completion_tokens", "END",
    "finish_reason", "index",
]  # fmt: skip
texts = st.sampled_from([*WORDS, "\ud800", "a\x00b", "<think>", "</think>", ""]) | st.text(max_size=8)
leaves = st.none() | st.booleans() | texts | st.integers(-(10**20), 10**20) | st.floats(allow_nan=False)
payloads = st.recursive(
    leaves,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=6),
    max_leaves=25,
)
# Near enough to an answer that its inner parts are reached
blocks = st.lists(
    st.fixed_dictionaries(
        {"type": st.sampled_from(["message", "reasoning", "text", "thinking", "redacted_thinking", "x"])},
        optional=dict.fromkeys(("content", "summary", "text", "thinking", "phase", "id"), payloads),
    )
    | payloads,
    max_size=4,
)
answers = st.fixed_dictionaries(
    {"output": blocks, "content": blocks, "choices": st.lists(st.dictionaries(texts, payloads, max_size=4))},
    optional=dict.fromkeys(
        ("usage", "status", "error", "incomplete_details", "stop_reason", "model", "id", "type"), payloads
    ),
)


@pytest.mark.parametrize("name", DIALECTS)
@settings(max_examples=80, deadline=None)
@given(payload=payloads | answers)
def test_no_payload_breaks_a_dialect(name, payload) -> None:
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
        used = completion.usage
        assert 0 <= used.cached_tokens <= used.prompt_tokens
        assert 0 <= used.reasoning_tokens <= used.completion_tokens
