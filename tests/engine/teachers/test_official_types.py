"""The official client libraries' types as an oracle: what we send fits them, what they make we read."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from pkgutil import resolve_name

import pytest
from pydantic import TypeAdapter

from engine.teachers.decode import decode_json
from engine.teachers.dialects import dialect
from engine.teachers.messages import Completion, Message, Request, Usage
from state.logprobs import Logprobs
from tests.lazily import Lazy

anthropic_types, openai_types = Lazy("anthropic.types"), Lazy("openai.types")
chat, responses = Lazy("openai.types.chat"), Lazy("openai.types.responses")

FULL = Request(
    messages=(Message("system", "Be brief."), Message("user", "2 + 2?"), Message("assistant", "The answer:")),
    temperature=0.7,
    top_p=0.9,
    max_tokens=64,
    stop=("END", "\n"),
    seed=3,
)
SEVERAL = replace(FULL, n=4, logprobs=5)
ASK = Request(messages=(Message("user", "2 + 2?"),), max_tokens=64)
PARAMS = {
    "openai-chat": "openai.types.chat.completion_create_params:CompletionCreateParamsNonStreaming",
    "openai-completions": "openai.types.completion_create_params:CompletionCreateParamsNonStreaming",
    "openai-responses": "openai.types.responses.response_create_params:ResponseCreateParamsNonStreaming",
    "anthropic-messages": "anthropic.types.message_create_params:MessageCreateParamsNonStreaming",
}
EXTRA = {
    "openai-chat": {"reasoning_effort": "low", "response_format": {"type": "text"}},
    "openai-completions": {"suffix": "!"},
    "openai-responses": {"reasoning": {"effort": "low", "summary": "auto"}, "metadata": {"run": "a"}},
    "anthropic-messages": {
        "thinking": {"type": "enabled", "budget_tokens": 1024},
        "metadata": {"user_id": "u"},
    },
}
# The library speaks API version 2026-10-21, which takes none; earlier models and other servers do
OMITTED = {"anthropic-messages": ("temperature", "top_p")}


def read(value: object) -> object:
    """A validated value with its lazy iterables read, which is what checks their items."""
    if isinstance(value, dict):
        return {name: read(each) for name, each in value.items()}
    if isinstance(value, Iterable) and not isinstance(value, str | bytes):
        return [read(each) for each in value]
    return value


def parse(name: str, answer: object, request: Request = ASK) -> Completion:
    raw = answer.model_dump_json().encode()  # type: ignore[attr-defined]
    (completion,) = dialect(name).parse(decode_json(raw), request)
    return completion


@pytest.mark.parametrize("name", PARAMS)
@pytest.mark.parametrize("request_", [FULL, ASK], ids=["full", "plain"])
def test_requests_fit_the_official_parameters(name, request_) -> None:
    fits(name, request_)


@pytest.mark.parametrize("name", ["openai-chat", "openai-completions"])
def test_requests_for_several_choices_and_log_probabilities_fit_too(name) -> None:
    assert fits(name, SEVERAL)["n"] == 4


def fits(name, request_) -> dict[str, object]:
    _, body = dialect(name).build(request_, "m", EXTRA[name])
    for field in OMITTED.get(name, ()):
        body.pop(field, None)
    fitted = read(TypeAdapter(resolve_name(PARAMS[name])).validate_python(body, strict=True))
    assert fitted == body  # a field that the API does not know would be missing
    return body


USAGE = {
    "input_tokens": 20,
    "input_tokens_details": {"cached_tokens": 8, "cache_write_tokens": 0},
    "output_tokens": 30,
    "output_tokens_details": {"reasoning_tokens": 25},
    "total_tokens": 50,
}
THOUGHT = {"type": "reasoning", "id": "rs_1", "summary": []}


def message(*content: dict[str, object], **more: object) -> dict[str, object]:
    return {
        "type": "message", "id": "msg_1", "role": "assistant", "status": "completed", "content": list(content), **more,
    }  # fmt: skip


def said(text: str) -> dict[str, object]:
    return {"type": "output_text", "text": text, "annotations": []}


def response(*output: dict[str, object], **more: object) -> responses.Response:
    return responses.Response.model_validate(
        {
            "id": "resp_1", "object": "response", "created_at": 1.0, "model": "gpt-m-2026", "status": "completed",
            "output": list(output), "parallel_tool_calls": True, "tool_choice": "auto", "tools": [], "usage": USAGE,
            **more,
        },
        strict=True,
    )  # fmt: skip


def test_a_response() -> None:
    answer = response({**THOUGHT}, message(said("It is "), said("4.")))
    assert parse("openai-responses", answer) == Completion(
        text=answer.output_text,
        usage=Usage(prompt_tokens=20, completion_tokens=30, cached_tokens=8, reasoning_tokens=25),
        finish_reason="stop",
        reasoning=None,
        reasoning_kind="hidden",
        model="gpt-m-2026",
        provider_id="resp_1",
    )
    assert answer.output_text == "It is 4."


@pytest.mark.parametrize(
    ("item", "reasoning", "kind"),
    [
        ({"summary": [{"type": "summary_text", "text": t} for t in ("a", "b")]}, "a\n\nb", "summary"),
        ({"content": [{"type": "reasoning_text", "text": "2 and 2"}]}, "2 and 2", "full"),
        ({"encrypted_content": "gAAA"}, None, "hidden"),
    ],
)
def test_reasoning_of_responses_has_its_kind(item, reasoning, kind) -> None:
    completion = parse("openai-responses", response({**THOUGHT, **item}, message(said("4"))))
    assert (completion.text, completion.reasoning, completion.reasoning_kind) == ("4", reasoning, kind)


@pytest.mark.parametrize(
    ("why", "reason"), [("max_output_tokens", "length"), ("content_filter", "content_filter")]
)
def test_an_incomplete_response_says_why(why, reason) -> None:
    cut = {"status": "incomplete", "incomplete_details": {"reason": why}}
    begun = parse("openai-responses", response(message(said("It is")), **cut))
    assert (begun.text, begun.finish_reason) == ("It is", reason)
    thinking = parse("openai-responses", response({**THOUGHT}, **cut))
    assert (thinking.text, thinking.finish_reason) == ("", reason)


def test_refusals_in_responses() -> None:
    refused = parse("openai-responses", response(message({"type": "refusal", "refusal": "No."})))
    assert (refused.text, refused.finish_reason) == ("No.", "refusal")
    error = {"code": "invalid_prompt", "message": "flagged"}
    flagged = parse("openai-responses", response(status="failed", error=error))
    assert (flagged.text, flagged.finish_reason) == ("", "content_filter")


def test_the_final_answer_is_told_from_commentary() -> None:
    answer = response(
        message(said("Let me see."), phase="commentary"), message(said("4"), phase="final_answer")
    )
    assert parse("openai-responses", answer).text == "4"


def anthropic(*content: dict[str, object], **more: object) -> anthropic_types.Message:
    return anthropic_types.Message.model_validate(
        {
            "id": "msg_1", "type": "message", "role": "assistant", "model": "claude-m-5", "content": list(content),
            "stop_reason": "end_turn", "stop_sequence": None,
            "usage": {
                "input_tokens": 5, "cache_creation_input_tokens": 7, "cache_read_input_tokens": 8, "output_tokens": 30,
                "output_tokens_details": {"thinking_tokens": 25},
            },
            **more,
        },
        strict=True,
    )  # fmt: skip


TEXT = {"type": "text", "text": "4"}
THINKING = {"type": "thinking", "thinking": "2 and 2", "signature": "c2ln"}
REDACTED = {"type": "redacted_thinking", "data": "ZW5j"}


def test_a_message() -> None:
    answer = anthropic(THINKING, {"type": "text", "text": "It is "}, TEXT)
    assert parse("anthropic-messages", answer) == Completion(
        text="It is 4",
        usage=Usage(
            prompt_tokens=20,
            completion_tokens=30,
            cached_tokens=8,
            cache_write_tokens=7,
            reasoning_tokens=25,
        ),
        finish_reason="stop",
        reasoning="2 and 2",
        reasoning_kind="summary",
        model="claude-m-5",
        provider_id="msg_1",
    )


@pytest.mark.parametrize(
    ("model", "blocks", "reasoning", "kind"),
    [
        ("claude-3-7-sonnet", [THINKING], "2 and 2", "full"),
        ("other-model", [THINKING], "2 and 2", "full"),
        ("other-model", [THINKING, REDACTED], "2 and 2", "summary"),
        ("claude-m-5", [REDACTED], None, "hidden"),
        ("claude-m-5", [{**THINKING, "thinking": ""}], None, "hidden"),
    ],
)
def test_thinking_has_its_kind(model, blocks, reasoning, kind) -> None:
    completion = parse("anthropic-messages", anthropic(*blocks, TEXT, model=model))
    assert (completion.text, completion.reasoning, completion.reasoning_kind) == ("4", reasoning, kind)


@pytest.mark.parametrize(
    ("given", "reason"),
    [
        ("end_turn", "stop"),
        ("stop_sequence", "stop"),
        ("max_tokens", "length"),
        ("model_context_window_exceeded", "length"),
        ("refusal", "refusal"),
        ("pause_turn", "pause_turn"),
    ],
)
def test_stop_reasons_of_messages(given, reason) -> None:
    assert parse("anthropic-messages", anthropic(TEXT, stop_reason=given)).finish_reason == reason
    assert parse("anthropic-messages", anthropic(stop_reason=given)).text == ""


def test_chat_and_plain_completions() -> None:
    usage = {
        "prompt_tokens": 20, "completion_tokens": 30, "total_tokens": 50,
        "prompt_tokens_details": {"cached_tokens": 8}, "completion_tokens_details": {"reasoning_tokens": 25},
    }  # fmt: skip
    whole = chat.ChatCompletion.model_validate(
        {
            "id": "c", "object": "chat.completion", "created": 1, "model": "m", "usage": usage,
            "choices": [{"index": 0, "finish_reason": "stop", "message": {"role": "assistant", "content": "4"}}],
        },
        strict=True,
    )  # fmt: skip
    completion = parse("openai-chat", whole)
    assert (completion.text, completion.reasoning_kind) == ("4", "hidden")
    assert completion.usage == Usage(
        prompt_tokens=20, completion_tokens=30, cached_tokens=8, reasoning_tokens=25
    )
    plain = openai_types.Completion.model_validate(
        {
            "id": "c", "object": "text_completion", "created": 1, "model": "m", "usage": usage,
            "choices": [{"index": 0, "finish_reason": "length", "text": " 4", "logprobs": None}],
        },
        strict=True,
    )  # fmt: skip
    assert parse("openai-completions", plain).finish_reason == "length"


def logprob(token: str, value: float, **more: object) -> dict[str, object]:
    return {"token": token, "logprob": value, "bytes": list(token.encode()), **more}


def test_several_choices_with_log_probabilities() -> None:
    choices = [
        {
            "index": index, "finish_reason": "stop", "message": {"role": "assistant", "content": text},
            "logprobs": {"content": [logprob(text, -0.5, top_logprobs=[logprob(text, -0.5), logprob("?", -1.5)])]},
        }
        for index, text in ((2, "c"), (0, "a"), (1, "b"))
    ]  # fmt: skip
    answer = chat.ChatCompletion.model_validate(
        {
            "id": "c", "object": "chat.completion", "created": 1, "model": "m", "choices": choices,
            "usage": {"prompt_tokens": 10, "completion_tokens": 7, "total_tokens": 17},
        },
        strict=True,
    )  # fmt: skip
    found = dialect("openai-chat").parse(decode_json(answer.model_dump_json().encode()), SEVERAL)
    assert [each.text for each in found] == ["a", "b", "c"]
    assert sum(each.usage.prompt_tokens for each in found) == 10
    assert sum(each.usage.completion_tokens for each in found) == 7
    for each, token in zip(found, "abc", strict=True):
        assert each.logprobs == Logprobs((token,), (-0.5,), (((token, -0.5), ("?", -1.5)),))
    unasked = dialect("openai-chat").parse(decode_json(answer.model_dump_json().encode()), FULL)
    assert [each.logprobs for each in unasked] == [None] * 3


def test_log_probabilities_of_plain_completions() -> None:
    answer = openai_types.Completion.model_validate(
        {
            "id": "c", "object": "text_completion", "created": 1, "model": "m",
            "choices": [
                {
                    "index": 0, "text": " 4.", "finish_reason": "stop",
                    "logprobs": {
                        "tokens": [" 4", "."], "token_logprobs": [-0.25, -0.0], "text_offset": [0, 2],
                        "top_logprobs": [{" 4": -0.25, " 5": -2.0}, {".": -0.0}],
                    },
                }
            ],
        },
        strict=True,
    )  # fmt: skip
    (found,) = dialect("openai-completions").parse(decode_json(answer.model_dump_json().encode()), SEVERAL)
    assert found.logprobs == Logprobs(
        (" 4", "."), (-0.25, 0.0), (((" 4", -0.25), (" 5", -2.0)), ((".", 0.0),))
    )
