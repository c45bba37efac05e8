from __future__ import annotations

import pytest

from engine.errors import ConfigError
from engine.teachers.dialects import dialect
from engine.teachers.dialects.reasoning import split_think
from engine.teachers.failures import MalformedAnswer
from engine.teachers.messages import Message, Request
from engine.teachers.tokens import Correction, estimate_tokens

ASK = Request(
    messages=(Message("system", "Be brief."), Message("user", "2 + 2?")), n=2, stop=("END",), seed=3
)


def chat(*choices, **top):
    return dialect("openai-chat").parse({"choices": list(choices), **top}, ASK)


def test_an_unknown_dialect_names_those_there_are() -> None:
    with pytest.raises(ConfigError, match="openai-chat, anthropic-messages, openai-completions"):
        dialect("openai-batches")


def test_chat_bodies() -> None:
    path, body = dialect("openai-chat").build(ASK, "m", {"reasoning_effort": "low"})
    assert path == "/chat/completions"
    assert body == {
        "model": "m",
        "messages": [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "2 + 2?"}],
        "max_tokens": 256,
        "stop": ["END"],
        "seed": 3,
        "n": 2,
        "reasoning_effort": "low",
    }
    _, body = dialect("openai-chat").build(ASK, "m", {"max_completion_tokens": 900})
    assert "max_tokens" not in body


def test_completion_bodies_join_messages() -> None:
    path, body = dialect("openai-completions").build(ASK, "m", {})
    assert path == "/completions"
    assert body["prompt"] == "Be brief.\n\n2 + 2?"
    assert "messages" not in body


def test_plain_completions() -> None:
    payload = {"id": "c", "choices": [{"text": " 4", "finish_reason": "length"}]}
    (completion,) = dialect("openai-completions").parse(payload, ASK)
    assert (completion.text, completion.finish_reason) == (" 4", "length")
    with pytest.raises(MalformedAnswer):
        dialect("openai-completions").parse({"choices": [{"text": None}]}, ASK)


def test_choices_come_in_the_order_of_their_index_and_share_the_bill() -> None:
    one = {"index": 1, "message": {"content": "b"}, "finish_reason": "stop"}
    nought = {"index": 0, "message": {"content": "a"}, "finish_reason": "stop"}
    usage = {"prompt_tokens": 11, "completion_tokens": 7, "prompt_tokens_details": {"cached_tokens": 4}}
    first, second = chat(one, nought, usage=usage)
    assert (first.text, second.text) == ("a", "b")
    assert first.usage.prompt_tokens + second.usage.prompt_tokens == 11
    assert first.usage.completion_tokens + second.usage.completion_tokens == 7
    assert (first.usage.cached_tokens, second.usage.cached_tokens) == (3, 1)


@pytest.mark.parametrize("field", ["reasoning", "reasoning_content"])
def test_reasoning_is_read_apart(field) -> None:
    (completion,) = chat({"message": {"content": "4", field: "2 and 2"}, "finish_reason": "stop"})
    assert (completion.text, completion.reasoning, completion.reasoning_kind) == ("4", "2 and 2", "full")


def test_thinking_parts() -> None:
    parts = [
        {"type": "thinking", "thinking": [{"type": "text", "text": "hm"}]},
        {"type": "text", "text": "4"},
    ]
    (completion,) = chat({"message": {"content": parts}})
    assert (completion.text, completion.reasoning) == ("4", "hm")


@pytest.mark.parametrize(
    ("text", "rest", "thought"),
    [
        ("<think>a</think>\n\n4", "4", "a"),
        ("\n<think>\na\n</think>4", "4", "a"),
        ("a\n</think>\n4", "4", "a"),
        ("<think>never closed", "", "never closed"),
        ("<think></think>4", "4", None),
        ("plain <think>late</think> text", "plain <think>late</think> text", None),
    ],
)
def test_think_blocks_are_split_off(text, rest, thought) -> None:
    assert split_think(text) == (rest, thought)


@pytest.mark.parametrize(
    ("given", "reason"),
    [
        ("eos", "stop"),
        ("max_tokens", "length"),
        ("SAFETY", "content_filter"),
        (None, "unknown"),
        ("tool_calls", "tool_calls"),
    ],
)
def test_finish_reasons_are_normalised(given, reason) -> None:
    (completion,) = chat({"message": {"content": "x"}, "finish_reason": given})
    assert completion.finish_reason == reason


def test_refusals_and_withheld_answers_are_answers() -> None:
    (refused,) = chat({"message": {"content": None, "refusal": "No."}, "finish_reason": "stop"})
    assert (refused.text, refused.finish_reason) == ("No.", "refusal")
    (withheld,) = chat({"message": {"content": None}, "finish_reason": "content_filter"})
    assert (withheld.text, withheld.finish_reason) == ("", "content_filter")


def test_completion_tokens_from_the_total() -> None:
    (completion,) = chat({"message": {"content": "x"}}, usage={"prompt_tokens": 5, "total_tokens": 9})
    assert (completion.usage.completion_tokens, completion.usage.estimated) == (4, False)


def test_reasoning_that_is_billed_and_not_among_the_completion_tokens_counts() -> None:
    usage = {  # as xAI and Gemini tell it
        "prompt_tokens": 32,
        "completion_tokens": 9,
        "total_tokens": 135,
        "completion_tokens_details": {"reasoning_tokens": 94},
    }
    (completion,) = chat({"message": {"content": "x"}}, usage=usage)
    assert (completion.usage.prompt_tokens, completion.usage.completion_tokens) == (32, 103)
    assert completion.usage.reasoning_tokens == 94
    (whole,) = chat({"message": {"content": "x"}}, usage={**usage, "completion_tokens": 103})
    assert whole.usage == completion.usage, "as OpenAI tells the same"


def test_estimates_are_near_and_learn() -> None:
    assert estimate_tokens("") == 0
    assert estimate_tokens("a" * 400) == 100
    assert estimate_tokens("\ud800") == 1
    correction = Correction()
    for _ in range(50):
        correction.observe(100, 150)
    assert correction.apply(200) == pytest.approx(300, abs=6)
    correction.observe(1, 10**9)
    assert correction.ratio <= 4


FULL = Request(
    messages=(Message("system", "Be brief."), Message("user", "2 + 2?"), Message("assistant", "It is")),
    temperature=0.7,
    max_tokens=64,
    stop=("END", "\n"),
    seed=3,
)


def test_response_bodies() -> None:
    path, body = dialect("openai-responses").build(FULL, "m", {"reasoning": {"effort": "low"}})
    assert path == "/responses"
    assert body == {
        "model": "m",
        "input": [
            {"role": "system", "content": "Be brief."},
            {"role": "user", "content": "2 + 2?"},
            {"role": "assistant", "content": "It is"},
        ],
        "max_output_tokens": 64,
        "store": False,
        "temperature": 0.7,
        "reasoning": {"effort": "low"},
    }


def test_message_bodies() -> None:
    path, body = dialect("anthropic-messages").build(FULL, "m", {"metadata": {"user_id": "u"}})
    assert path == "/messages"
    assert body == {
        "model": "m",
        "max_tokens": 64,
        "messages": [{"role": "user", "content": "2 + 2?"}, {"role": "assistant", "content": "It is"}],
        "system": "Be brief.",
        "temperature": 0.7,
        "stop_sequences": ["END"],  # white space alone is refused there
        "metadata": {"user_id": "u"},
    }


def test_stop_strings_that_an_api_does_not_take_end_the_text_here() -> None:
    part = {"type": "output_text", "text": "4 END 5\n6"}
    payload = {"status": "incomplete", "output": [{"type": "message", "content": [part]}]}
    (completion,) = dialect("openai-responses").parse(payload, FULL)
    assert (completion.text, completion.finish_reason) == ("4 ", "stop")
    payload = {"content": [{"type": "text", "text": "4\n5"}], "stop_reason": "max_tokens"}
    (completion,) = dialect("anthropic-messages").parse(payload, FULL)
    assert (completion.text, completion.finish_reason) == ("4", "stop")
    assert completion.usage.completion_tokens == 1  # all of it was billed


@pytest.mark.parametrize(
    ("name", "payload", "usage"),
    [
        (
            "openai-chat",
            {"choices": [{"message": {"content": "4"}}]},
            {
                "prompt_tokens": 5, "prompt_tokens_details": {"cached_tokens": 60},
                "completion_tokens": 7, "completion_tokens_details": {"reasoning_tokens": 60},
            },
        ),
        (
            "openai-responses",
            {"output": [{"type": "message", "content": [{"type": "output_text", "text": "4"}]}]},
            {
                "input_tokens": 5, "input_tokens_details": {"cached_tokens": 60},
                "output_tokens": 7, "output_tokens_details": {"reasoning_tokens": 60},
            },
        ),
        (
            "anthropic-messages",
            {"content": [{"type": "text", "text": "4"}]},
            {
                "input_tokens": 5, "cache_read_input_tokens": -60,
                "output_tokens": 7, "output_tokens_details": {"thinking_tokens": 60},
            },
        ),
    ],
)  # fmt: skip
def test_details_of_a_usage_that_exceed_their_whole_are_beside_it(name, payload, usage) -> None:
    (completion,) = dialect(name).parse({**payload, "usage": usage}, ASK)
    used = completion.usage
    cached = 0 if name == "anthropic-messages" else 60
    assert (used.prompt_tokens, used.completion_tokens, used.estimated) == (5 + cached, 67, False)
    assert (used.cached_tokens, used.reasoning_tokens) == (cached, 60)
