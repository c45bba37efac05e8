"""What is booked: tokens in every form that providers state them, and dollars where they are a bill."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest

from engine.teachers.client import Answer
from engine.teachers.dialects import dialect
from engine.teachers.dialects.usage import cost_of
from engine.teachers.failures import Failure, MalformedAnswer
from engine.teachers.messages import Usage
from tests.engine.teachers.conftest import ASK

BASE = {"prompt_tokens": 40, "completion_tokens": 20, "total_tokens": 60}


def used(usage: Any, **more: Any) -> Usage:
    choice = {"message": {"content": "4"}, "finish_reason": "stop"}
    (completion,) = dialect("openai-chat").parse(
        {"choices": [choice], "usage": usage, **more}, replace(ASK, max_tokens=9000)
    )
    return completion.usage


@pytest.mark.parametrize(
    ("usage", "prompt", "completion", "cached", "written", "reasoning"),
    [
        # cached tokens within the prompt
        ({**BASE, "prompt_tokens_details": {"cached_tokens": 32}}, 40, 20, 32, 0, 0),
        ({**BASE, "cached_tokens": 32}, 40, 20, 32, 0, 0),  # Kimi
        ({**BASE, "prompt_cache_hit_tokens": 32, "prompt_cache_miss_tokens": 8}, 40, 20, 32, 0, 0),  # DeepSeek
        ({**BASE, "prompt_tokens_details": {"cached_tokens": 0}, "cached_tokens": 32}, 40, 20, 32, 0, 0),
        ({**BASE, "cache_read_input_tokens": 30, "cache_creation_input_tokens": 5}, 40, 20, 30, 5, 0),  # LiteLLM
        ({**BASE, "prompt_tokens_details": None, "cached_tokens": "32"}, 40, 20, 32, 0, 0),
        # beside it, as the total or the sizes show
        ({**BASE, "total_tokens": 5060, "prompt_tokens_details": {"cached_tokens": 5000}, "cache_read_input_tokens": 5000, "cache_creation_input_tokens": 0}, 5040, 20, 5000, 0, 0),  # Portkey
        ({**BASE, "total_tokens": 5360, "cache_read_input_tokens": 5000, "cache_creation_input_tokens": 300}, 5340, 20, 5000, 300, 0),
        ({**BASE, "total_tokens": 90, "cache_read_input_tokens": 30}, 70, 20, 30, 0, 0),
        ({**BASE, "cache_read_input_tokens": 5000}, 5040, 20, 5000, 0, 0),
        # reasoning tokens beside the completion
        ({"prompt_tokens": 32, "completion_tokens": 9, "total_tokens": 276, "completion_tokens_details": {"reasoning_tokens": 235}}, 32, 244, 0, 0, 235),  # xAI
        ({"prompt_tokens": 32, "completion_tokens": 9, "completion_tokens_details": {"reasoning_tokens": 235}}, 32, 244, 0, 0, 235),
        ({"prompt_tokens": 32, "completion_tokens": 9, "total_tokens": 41, "completion_tokens_details": {"reasoning_tokens": 235}}, 32, 244, 0, 0, 235),
        ({"prompt_tokens": 32, "completion_tokens": 244, "total_tokens": 276, "completion_tokens_details": {"reasoning_tokens": 235}}, 32, 244, 0, 0, 235),
        ({**BASE, "reasoning_tokens": 15}, 40, 20, 0, 0, 15),
        ({"prompt_tokens": 40, "completion_tokens": 20, "total_tokens": 160}, 40, 120, 0, 0, 0),  # Gemini's thinking, in the total alone
        ({**BASE, "total_tokens": 160, "cached_tokens": 10, "reasoning_tokens": 90}, 50, 110, 10, 0, 90),
        # odd numbers and names
        ({"prompt_tokens": "40", "completion_tokens": "20"}, 40, 20, 0, 0, 0),
        ({"prompt_tokens": 40.0, "completion_tokens": 20}, 40, 20, 0, 0, 0),
        ({"input_tokens": 40, "output_tokens": 20}, 40, 20, 0, 0, 0),
        ({"completion_tokens": 20, "total_tokens": 60}, 40, 20, 0, 0, 0),
        ({"prompt_tokens": 40, "total_tokens": 60}, 40, 20, 0, 0, 0),
        ({**BASE, "total_tokens": 12}, 40, 20, 0, 0, 0),  # a total that cannot be
    ],
)  # fmt: skip
def test_tokens_in_every_form(usage, prompt, completion, cached, written, reasoning) -> None:
    found = used(usage)
    assert found == Usage(
        prompt_tokens=prompt,
        completion_tokens=completion,
        cached_tokens=cached,
        cache_write_tokens=written,
        reasoning_tokens=reasoning,
    )


@pytest.mark.parametrize(
    "usage",
    [
        None,
        {},
        [],
        "x",
        {"total_tokens": 60},
        {"prompt_tokens": 40},
        {"prompt_tokens": -1, "completion_tokens": 2},
    ],
)
def test_without_a_usable_usage_it_is_an_estimate(usage) -> None:
    assert used(usage).estimated


def test_the_usage_of_a_groq_stream() -> None:
    assert used(None, x_groq={"usage": BASE}) == Usage(prompt_tokens=40, completion_tokens=20)


@pytest.mark.parametrize(
    ("usage", "dollars"),
    [
        ({"cost": 0.0012, "is_byok": False, "cost_details": {"upstream_inference_cost": 0.0012}}, 0.0012),  # OpenRouter
        ({"cost": 0, "is_byok": False, "cost_details": {"upstream_inference_cost": 0}}, 0.0),  # a free model of it
        ({"cost": 0.0001, "is_byok": True, "cost_details": {"upstream_inference_cost": 0.002}}, 0.0021),
        ({"cost": 0, "is_byok": True, "cost_details": {"upstream_inference_cost": None}}, None),
        ({"cost": 0.0012}, 0.0012),  # LiteLLM's streams
        ({"cost": "0.0012"}, 0.0012),  # Vercel
        ({"cost": 0}, None),  # an unknown price
        ({"cost": {"input_tokens_cost": 0.001, "output_tokens_cost": 0.002, "request_cost": 0.005, "total_cost": 0.008}}, 0.008),  # Perplexity
        ({"cost_in_usd_ticks": 37756000}, 0.0037756),  # xAI
        ({"cost_in_usd_ticks": 0}, 0.0),
        ({"cost": 3.2, "currency": "CNY"}, None),
        ({"cost": 0.5, "currency": "usd"}, 0.5),
        ({"estimated_cost": 0.001}, None),
        ({"cost": -1}, None), ({"cost": float("nan")}, None), ({"cost": float("inf")}, None), ({"cost": 1e9}, None),
        ({"cost": True}, None), ({"cost": [1]}, None), ({"cost": "x"}, None), ({"cost": 10**400}, None),
        ({}, None), (None, None),
    ],
)  # fmt: skip
def test_dollars_that_are_a_bill(usage, dollars) -> None:
    assert cost_of({"usage": usage}) == (None if dollars is None else pytest.approx(dollars))


@pytest.mark.parametrize("name", ["openai-chat", "openai-responses", "anthropic-messages"])
def test_each_dialect_reads_dollars(name) -> None:
    payload = {
        "choices": [{"message": {"content": "4"}, "finish_reason": "stop"}],
        "status": "completed",
        "output": [{"type": "message", "content": [{"type": "output_text", "text": "4"}]}],
        "content": [{"type": "text", "text": "4"}],
        "usage": {**BASE, "input_tokens": 40, "output_tokens": 20, "cost": 0.25},
    }
    (found,) = dialect(name).parse(payload, ASK)
    assert found.usage.cost_usd == 0.25


def test_a_cost_is_shared_by_the_choices_and_adds_up() -> None:
    choices = [{"message": {"content": "a" * 40 * k}, "finish_reason": "stop"} for k in (1, 2, 3)]
    found = dialect("openai-chat").parse(
        {"choices": choices, "usage": {**BASE, "cost": 0.6}}, replace(ASK, n=3)
    )
    costs = [each.usage.cost_usd or 0 for each in found]
    assert sum(costs) == pytest.approx(0.6) and costs == sorted(costs) and costs[0] > 0


@pytest.mark.anyio
@pytest.mark.parametrize(("header", "cost"), [("0.004", 0.004), ("0.0", None), ("None", None), ("nan", None)])
async def test_a_gateway_s_header_states_dollars(faults, client, header, cost) -> None:
    choices = [{"message": {"content": "a"}, "finish_reason": "stop"}] * 2
    faults.says(json.dumps({"choices": choices, "usage": BASE}), x_litellm_response_cost=header)
    answer = await client.send(replace(ASK, n=2), request_id="a", key=None)
    assert isinstance(answer, Answer)
    costs = [each.usage.cost_usd for each in answer.completions]
    assert costs == ([None, None] if cost is None else [pytest.approx(cost / 2)] * 2)
    stated = {**BASE, "cost": 0.001}
    faults.says(json.dumps({"choices": choices[:1], "usage": stated}), x_litellm_response_cost=header)
    answer = await client.send(ASK, request_id="a", key=None)
    assert isinstance(answer, Answer) and answer.completions[0].usage.cost_usd == 0.001


NO_USE = [
    ({"message": {"content": None}, "finish_reason": "stop"}, "a message has no text"),
    ({"message": {"content": None, "reasoning": None, "tool_calls": []}, "finish_reason": "stop"}, "a message has no text"),
    ({"message": {"content": None, "tool_calls": [{"id": "1"}]}, "finish_reason": "tool_calls"}, "a message has only tool calls"),
    ({"message": {"content": "", "tool_calls": [{"id": "1"}]}, "finish_reason": "tool_calls"}, "a message has only tool calls"),
    ({"message": {"content": 7}, "finish_reason": "stop"}, "a message's content is not text"),
    ({"message": {"content": "Perhaps 4, but"}, "finish_reason": "abort"}, "the server broke the answer off: abort"),
    ({"message": None}, "a choice has no message"),
]  # fmt: skip


@pytest.mark.anyio
@pytest.mark.parametrize(("choice", "reason"), NO_USE)
async def test_an_answer_of_no_use_is_booked_by_its_usage(faults, client, choice, reason) -> None:
    faults.says(json.dumps({"choices": [choice], "usage": {**BASE, "cost": 0.5}}))
    failure = await client.send(ASK, request_id="a", key=None)
    assert isinstance(failure, Failure)
    assert (failure.kind, failure.reason, failure.charged) == ("malformed", reason, "usage")
    assert failure.usage == Usage(prompt_tokens=40, completion_tokens=20, cost_usd=0.5)
    assert failure.raw, "what was received is kept"
    faults.says(json.dumps({"choices": [choice]}))
    failure = await client.send(ASK, request_id="a", key=None)
    assert isinstance(failure, Failure) and (failure.usage, failure.charged) == (None, "unknown")


@pytest.mark.parametrize(
    ("name", "payload"),
    [
        ("openai-responses", {"status": "in_progress", "output": [], "usage": {"input_tokens": 40, "output_tokens": 20}}),
        ("openai-responses", {"status": "completed", "output": [{"type": "function_call"}], "usage": {"input_tokens": 40, "output_tokens": 20}}),
        ("anthropic-messages", {"content": [{"type": "tool_use"}], "stop_reason": "tool_use", "usage": {"input_tokens": 40, "output_tokens": 20}}),
        ("openai-completions", {"choices": [{"text": None}], "usage": BASE}),
    ],
)  # fmt: skip
def test_other_dialects_answers_of_no_use(name, payload) -> None:
    with pytest.raises(MalformedAnswer) as caught:
        dialect(name).parse(payload, ASK)
    assert caught.value.usage == Usage(prompt_tokens=40, completion_tokens=20)


@pytest.mark.parametrize("name", ["openai-chat", "openai-completions"])
def test_an_empty_reply_at_no_cost_is_none_and_one_that_cost_tokens_is_one(name) -> None:
    said: dict[str, Any] = {"message": {"content": ""}, "text": "", "finish_reason": "stop"}
    free = {"prompt_tokens": 40, "completion_tokens": 0, "total_tokens": 40}
    with pytest.raises(MalformedAnswer, match="the reply is empty") as caught:
        dialect(name).parse({"choices": [said], "usage": free}, ASK)
    assert caught.value.usage == Usage(prompt_tokens=40, completion_tokens=0)
    (paid,) = dialect(name).parse({"choices": [said], "usage": BASE}, ASK)
    (withheld,) = dialect(name).parse(
        {"choices": [{**said, "finish_reason": "content_filter"}], "usage": free}, ASK
    )
    assert (paid.text, withheld.finish_reason) == ("", "content_filter")


@pytest.mark.parametrize(
    ("name", "usage", "finish", "expected"),
    [
        ("openai-chat", {"prompt_tokens": 9, "completion_tokens": 64}, "stop", "length"),
        ("openai-chat", {"prompt_tokens": 9, "completion_tokens": 63}, "stop", "stop"),
        ("openai-chat", {"prompt_tokens": 9, "completion_tokens": 64}, None, "length"),
        ("openai-chat", {"prompt_tokens": 9, "completion_tokens": 64}, "content_filter", "content_filter"),
        # reasoning that is counted beside the completion is not counted by its limit either
        ("openai-chat", {"prompt_tokens": 9, "completion_tokens": 9, "total_tokens": 253, "reasoning_tokens": 235}, "stop", "stop"),
        ("anthropic-messages", {"input_tokens": 9, "output_tokens": 64}, "end_turn", "length"),
        ("openai-responses", {"input_tokens": 9, "output_tokens": 64}, "stop", "length"),
    ],
)  # fmt: skip
def test_what_took_all_its_tokens_is_cut_off_whatever_the_server_says(name, usage, finish, expected) -> None:
    payload = {
        "choices": [{"message": {"content": "4"}, "finish_reason": finish}],
        "content": [{"type": "text", "text": "4"}],
        "stop_reason": finish,
        "status": "completed",
        "output": [{"type": "message", "content": [{"type": "output_text", "text": "4"}]}],
        "usage": usage,
    }
    (found,) = dialect(name).parse(payload, ASK)
    assert found.finish_reason == expected


def test_several_choices_are_cut_off_only_where_all_must_be() -> None:
    choices = [{"message": {"content": "4"}, "finish_reason": "stop"}] * 2
    for tokens, finish in ((127, "stop"), (128, "length")):
        usage = {"prompt_tokens": 9, "completion_tokens": tokens}
        found = dialect("openai-chat").parse({"choices": choices, "usage": usage}, replace(ASK, n=2))
        assert [each.finish_reason for each in found] == [finish] * 2
