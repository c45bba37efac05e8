"""Answers with several choices: odd orders, doubles, bad ones among good ones, and how their usage is split."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.teachers.apportion import apportion
from engine.teachers.client import Answer
from engine.teachers.dialects import dialect
from engine.teachers.failures import MalformedAnswer
from tests.engine.teachers.conftest import ASK
from tests.lazily import Lazy

openai = Lazy("openai.types.responses")

SEVERAL = replace(ASK, n=3, logprobs=2)
BOTH = pytest.mark.parametrize("name", ["openai-chat", "openai-completions"])


def choice(name: str, text: object, **more: object) -> dict[str, object]:
    said = {"message": {"content": text}} if name == "openai-chat" else {"text": text}
    return {**said, "finish_reason": "stop", **more}


def texts(name: str, *choices: object, **top: object) -> list[str]:
    return [each.text for each in dialect(name).parse({"choices": list(choices), **top}, SEVERAL)]


@BOTH
def test_choices_in_odd_order_and_with_doubles(name) -> None:
    def at(*indexes: object) -> list[str]:
        return texts(name, *(choice(name, f"c{i}", index=index) for i, index in enumerate(indexes)))

    assert at(2, 0, 1) == ["c1", "c2", "c0"]
    assert at(0, 0, 0) == ["c0", "c1", "c2"], "a server that numbers none is taken at its word's order"
    assert at(1, 0, 1, 0) == ["c1", "c3", "c0", "c2"]
    assert at(None, "x", 7) == ["c0", "c1", "c2"]
    assert at(1, True, -4) == ["c2", "c0", "c1"]


@BOTH
def test_a_choice_that_cannot_be_read_costs_the_others_nothing(name) -> None:
    good, bad = choice(name, "good", index=1), choice(name, None, index=0)
    usage = {"prompt_tokens": 9, "completion_tokens": 8}
    (found,) = dialect(name).parse({"choices": [bad, good], "usage": usage}, SEVERAL)
    assert found.text == "good"
    assert (found.usage.prompt_tokens, found.usage.completion_tokens) == (9, 8), "it was billed all the same"
    with pytest.raises(MalformedAnswer, match="no text"):
        dialect(name).parse({"choices": [bad, bad]}, SEVERAL)


@BOTH
def test_without_usage_each_choice_is_estimated_and_the_prompt_once(name) -> None:
    found = dialect(name).parse({"choices": [choice(name, "abcd" * k) for k in (1, 2, 3)]}, SEVERAL)
    assert all(each.usage.estimated for each in found)
    assert [each.usage.completion_tokens for each in found] == [1, 2, 3]
    assert sum(each.usage.prompt_tokens for each in found) == 8


@given(st.integers(0, 10**7), st.lists(st.integers(0, 10**5), min_size=1, max_size=32))
def test_parts_add_up_and_are_fair(total: int, weights: list[int]) -> None:
    parts = apportion(total, weights)
    assert sum(parts) == total
    whole = sum(weights)
    for part, weight in zip(parts, weights, strict=True):
        exact = total * weight / whole if whole else total / len(weights)
        assert part >= 0 and abs(part - exact) < 1 + 1e-6


@given(st.integers(0, 10**6), st.lists(st.floats(0, 1e5), min_size=1, max_size=8))
def test_parts_by_fractions_add_up_too(total: int, weights: list[float]) -> None:
    parts = apportion(total, weights)
    assert sum(parts) == total and min(parts) >= 0


@given(
    st.integers(0, 1000),
    st.integers(0, 1000),
    st.integers(0, 500),
    st.integers(0, 500),
    st.lists(st.text("ab ", max_size=40), min_size=1, max_size=9),
)
def test_the_usage_of_choices_is_whole_and_no_part_is_more_than_its_whole(
    prompt: int, cached: int, completion: int, reasoning: int, said: list[str]
) -> None:
    usage = {
        **{"prompt_tokens": prompt, "prompt_tokens_details": {"cached_tokens": cached}},
        **{"completion_tokens": completion, "completion_tokens_details": {"reasoning_tokens": reasoning}},
    }
    choices = [choice("openai-chat", text) for text in said]
    if not completion and not any(said):
        with pytest.raises(MalformedAnswer, match="the reply is empty"):
            dialect("openai-chat").parse({"choices": choices, "usage": usage}, SEVERAL)
        return
    found = dialect("openai-chat").parse({"choices": choices, "usage": usage}, SEVERAL)
    used = [each.usage for each in found]
    assert sum(u.prompt_tokens for u in used) == prompt + (cached if cached > prompt else 0)
    assert sum(u.cached_tokens for u in used) == cached
    assert sum(u.completion_tokens for u in used) == completion + (reasoning if reasoning > completion else 0)
    assert sum(u.reasoning_tokens for u in used) == reasoning
    assert all(u.cached_tokens <= u.prompt_tokens and u.reasoning_tokens <= u.completion_tokens for u in used)


@pytest.mark.parametrize(
    "given_",
    [
        None,
        [],
        "x",
        {"content": None},
        {"content": "x"},
        {"content": [7]},
        {"content": [{"token": "a"}]},
        {"content": [{"token": "a", "logprob": "-1"}]},
        {"content": [{"token": "a", "logprob": 2.5}]},
        {"content": [{"token": "a", "logprob": True}]},
        {"content": [{"token": "a", "logprob": -(10**400)}]},
        {"tokens": ["a"], "token_logprobs": []},
        {"tokens": ["a"], "token_logprobs": [None]},
        {"tokens": [["a"]], "token_logprobs": [-1]},
    ],
)
@BOTH
def test_log_probabilities_that_make_no_sense_cost_no_answer(name, given_) -> None:
    (found,) = dialect(name).parse({"choices": [choice(name, "four", logprobs=given_)]}, SEVERAL)
    assert (found.text, found.logprobs) == ("four", None)


def test_of_alternatives_those_that_make_sense_are_kept() -> None:
    top = [{"token": "a", "logprob": -1}, {"token": None}, 5, {"token": "\ud800", "logprob": -2.0}]
    content = [
        {"token": "a", "logprob": -1, "top_logprobs": top},
        {"token": "b", "logprob": -3, "top_logprobs": 4},
    ]
    said = choice("openai-chat", "ab", logprobs={"content": content})
    (found,) = dialect("openai-chat").parse({"choices": [said]}, SEVERAL)
    assert found.logprobs is not None
    assert found.logprobs.top == ((("a", -1.0), ("\N{REPLACEMENT CHARACTER}", -2.0)), ())
    assert found.logprobs.mean == -2.0


def test_max_completion_tokens_never_asks_for_more_than_is_reserved() -> None:
    for asked, sent in ((40, 40), (900, 64)):
        _, body = dialect("openai-chat").build(ASK, "m", {"max_completion_tokens": asked})
        assert body["max_completion_tokens"] == sent
        assert "max_tokens" not in body


@pytest.mark.anyio
@pytest.mark.parametrize(
    ("usage", "expected"),
    [
        (None, (8, 1, True)),
        ({"prompt_tokens": "5", "completion_tokens": "7"}, (5, 7, False)),
        ({"prompt_tokens": "5.0", "completion_tokens": "-7"}, (8, 1, True)),
        ({"prompt_tokens": -5, "completion_tokens": 7}, (8, 1, True)),
        ({"prompt_tokens": 5, "completion_tokens": 10**12}, (8, 1, True)),
        ({"prompt_tokens": 5, "completion_tokens": 2.5}, (8, 1, True)),
        ({"prompt_tokens": [5], "completion_tokens": {}}, (8, 1, True)),
        ({"prompt_tokens": 5.0, "completion_tokens": 7.0}, (5, 7, False)),
        ({"prompt_tokens": 5, "completion_tokens": 7, "prompt_tokens_details": "x"}, (5, 7, False)),
        ({"prompt_tokens": 5, "total_tokens": 12}, (5, 7, False)),
        ({"prompt_tokens": 5, "total_tokens": 3}, (8, 1, True)),
    ],
)
async def test_usage_over_the_real_client(faults, client, usage, expected) -> None:
    answer = {"choices": [{"message": {"content": "4"}, "finish_reason": "stop"}]}
    faults.says(json.dumps(answer if usage is None else {**answer, "usage": usage}))
    got = await client.send(ASK, request_id="a", key=None)
    assert isinstance(got, Answer)
    used = got.completions[0].usage
    assert (used.prompt_tokens, used.completion_tokens, used.estimated) == expected


@pytest.mark.parametrize(
    ("name", "payload", "expected"),
    [
        (
            "openai-chat",
            {"usage": {"prompt_tokens": 50, "completion_tokens": 30, "prompt_cache_hit_tokens": 32}},
            (50, 30, 32, 0),
        ),
        (
            "openai-chat",
            {
                "usage": {
                    **{"prompt_tokens": 50, "prompt_tokens_details": {"cached_tokens": 32}},
                    **{"completion_tokens": 30, "completion_tokens_details": {"reasoning_tokens": 20}},
                }
            },
            (50, 30, 32, 20),
        ),
        (
            "openai-completions",
            {"usage": {"prompt_tokens": 50, "completion_tokens": 30, "prompt_tokens_details": None}},
            (50, 30, 0, 0),
        ),
        (
            "openai-responses",
            {
                "usage": {
                    **{"input_tokens": 50, "input_tokens_details": {"cached_tokens": 32}},
                    **{"output_tokens": 30, "output_tokens_details": {"reasoning_tokens": 20}},
                }
            },
            (50, 30, 32, 20),
        ),
        (
            "anthropic-messages",
            {
                "usage": {
                    **{"input_tokens": 10, "cache_read_input_tokens": 32, "cache_creation_input_tokens": 8},
                    **{"output_tokens": 30, "output_tokens_details": {"thinking_tokens": 20}},
                }
            },
            (50, 30, 32, 20),
        ),
    ],
)
def test_cached_and_reasoning_tokens_of_each_dialect(name, payload, expected) -> None:
    said = {
        "openai-responses": {
            "status": "completed",
            "output": [{"type": "message", "content": [{"type": "output_text", "text": "4"}]}],
        },
        "anthropic-messages": {"content": [{"type": "text", "text": "4"}], "stop_reason": "end_turn"},
    }.get(name, {"choices": [choice(name, "4")]})
    (found,) = dialect(name).parse({**said, **payload}, ASK)
    used = found.usage
    assert (used.prompt_tokens, used.completion_tokens, used.cached_tokens, used.reasoning_tokens) == expected
    assert not used.estimated


def test_each_of_several_choices_has_its_own_reasoning() -> None:
    choices = [
        {"message": {"content": "4", "reasoning_content": "two and two"}},
        {"message": {"content": "5", "reasoning": "two and three"}},
        {"message": {"content": "<think>two\nand four</think>\n6"}},
    ]
    found = dialect("openai-chat").parse({"choices": choices}, SEVERAL)
    assert [(each.text, each.reasoning, each.reasoning_kind) for each in found] == [
        ("4", "two and two", "full"),
        ("5", "two and three", "full"),
        ("6", "two\nand four", "full"),
    ]


def test_responses_give_log_probabilities_of_their_text_parts() -> None:
    ask = replace(ASK, logprobs=2)
    path, body = dialect("openai-responses").build(ask, "m", {"include": ["reasoning.encrypted_content"]})
    assert path == "/responses"
    assert body["top_logprobs"] == 2
    assert body["include"] == ["reasoning.encrypted_content", "message.output_text.logprobs"]
    part = {
        "type": "output_text", "text": "ab", "annotations": [],
        "logprobs": [
            {"token": token, "bytes": [97], "logprob": value, "top_logprobs": [{"token": "z", "bytes": [122], "logprob": -3.0}]}
            for token, value in (("a", -0.5), ("b", -1.5))
        ],
    }  # fmt: skip
    message = {"id": "m1", "type": "message", "role": "assistant", "status": "completed", "content": [part]}
    payload = {
        "id": "r1", "object": "response", "created_at": 1, "model": "m", "status": "completed", "output": [message],
        "parallel_tool_calls": False, "tool_choice": "auto", "tools": [],
    }  # fmt: skip
    openai.Response.model_validate(payload)
    (found,) = dialect("openai-responses").parse(payload, ask)
    assert found.logprobs is not None
    assert (found.logprobs.tokens, found.logprobs.values) == (("a", "b"), (-0.5, -1.5))
    assert found.logprobs.top == ((("z", -3.0),), (("z", -3.0),))
    (without,) = dialect("openai-responses").parse(payload, ASK)
    assert without.logprobs is None
