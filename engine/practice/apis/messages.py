"""Anthropic's messages, with its own errors, models and rate limit headers."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from engine.practice.apis.base import (
    MOST_CHOICES,
    MOST_TOKENS,
    Api,
    Body,
    Choice,
    Json,
    Provider,
    Refusal,
    content_text,
    event,
    flag,
    number,
    stops,
    temperature,
)
from engine.practice.prompts import flatten
from engine.practice.rate_limits import Level
from engine.practice.tokens import tokens_of

ROLES = ("user", "assistant")
PARTS = {"text": "text", "thinking": "", "redacted_thinking": "", "tool_use": "", "tool_result": ""}
"""Blocks of a content that can be read; only `text` holds text that counts."""
REASONS = {"stop": "end_turn", "length": "max_tokens", "content_filter": "refusal"}
KINDS = {
    400: "invalid_request_error",
    401: "authentication_error",
    402: "billing_error",
    403: "permission_error",
    404: "not_found_error",
    405: "invalid_request_error",
    409: "conflict_error",
    413: "request_too_large",
    422: "invalid_request_error",
    429: "rate_limit_error",
    504: "timeout_error",
    529: "overloaded_error",
}
CREATED = "1970-01-01T00:00:00Z"


def read(data: Json) -> Body:
    """A request.

    Raises:
        Refusal: 400, with the reason.
    """
    for name in ("model", "max_tokens", "messages"):
        if data.get(name) is None:
            raise Refusal(400, f"{name}: Field required", param=name)
    if not isinstance(data["model"], str) or not data["model"]:
        raise Refusal(400, "model: Input should be a valid string", param="model")
    words = stops(data.get("stop_sequences"), "stop_sequences", MOST_CHOICES)
    if any(not word.strip() for word in words):
        message = "stop_sequences: each stop sequence must contain non-whitespace"
        raise Refusal(400, message, param="stop_sequences")
    return Body(
        model=data["model"],
        prompts=(_prompt(data),),
        fields=data,
        max_tokens=number(data, "max_tokens", 1, 1, MOST_TOKENS),
        temperature=temperature(data, 1),
        stop=words,
        stream=flag(data, "stream"),
    )


def write(body: Body, choices: Sequence[Choice], prompt_tokens: int, number: int) -> Json:
    """The response: one block of text."""
    (choice,) = choices
    return {
        **_head(body, prompt_tokens, number, choice.tokens),
        "content": [{"type": "text", "text": choice.text, "citations": None}],
        **_end(choice),
    }


def stream(body: Body, choices: Sequence[Choice], prompt_tokens: int, number: int) -> list[bytes]:
    """The events, from `message_start`, which states the prompt's tokens, to `message_stop`."""
    (choice,) = choices
    begun = {**_head(body, prompt_tokens, number, 1), "content": []}
    before = 'event: content_block_delta\ndata: {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": '
    return [
        _event("message_start", message=begun | {"stop_reason": None, "stop_sequence": None}),
        _event("content_block_start", index=0, content_block={"type": "text", "text": "", "citations": None}),
        _event("ping"),
        *(f"{before}{json.dumps(token)}}}}}\n\n".encode() for token in tokens_of(choice.text)),
        _event("content_block_stop", index=0),
        _event("message_delta", delta=_end(choice), usage={"output_tokens": choice.tokens}),
        _event("message_stop"),
    ]


def error(refusal: Refusal) -> bytes:
    """The body of an error. It has no codes: one that a client may look for begins the message."""
    return json.dumps({"type": "error", **_error(refusal)}).encode()


def error_event(refusal: Refusal) -> bytes:
    """An error in the middle of a stream."""
    return _event("error", **_error(refusal))


def _error(refusal: Refusal) -> Json:
    message = f"{refusal.code}: {refusal.message}" if refusal.code else refusal.message
    kind = refusal.kind or KINDS.get(refusal.status, "api_error")
    return {"error": {"type": kind, "message": message}, "request_id": None}


def _event(kind: str, **fields: Any) -> bytes:
    return event({"type": kind, **fields}, kind)


def _head(body: Body, prompt_tokens: int, number: int, tokens: int) -> Json:
    return {
        "id": f"msg_{number:012d}",
        "type": "message",
        "role": "assistant",
        "model": body.model,
        "usage": {
            "input_tokens": prompt_tokens,
            "cache_creation_input_tokens": 0,
            "cache_read_input_tokens": 0,
            "output_tokens": tokens,
            "service_tier": "standard",
        },
    }


def _end(choice: Choice) -> Json:
    reason = "stop_sequence" if choice.stopped_by else REASONS.get(choice.finish_reason, choice.finish_reason)
    return {"stop_reason": reason, "stop_sequence": choice.stopped_by or None}


def _prompt(data: Json) -> str:
    system, messages = data.get("system"), data["messages"]
    texts = [] if system is None else [content_text(system, "system", PARTS)]
    if not isinstance(messages, list) or not messages:
        raise Refusal(400, "messages: at least one message is required", param="messages")
    for index, message in enumerate(messages):
        where = f"messages.{index}"
        if not isinstance(message, dict) or message.get("role") not in ROLES:
            raise Refusal(400, f"{where}.role: Input should be 'user' or 'assistant'", param=where)
        texts.append(content_text(message.get("content"), where, PARTS))
    return flatten(texts)


def _model(name: str) -> Json:
    return {
        "type": "model",
        "id": name,
        "display_name": name,
        "created_at": CREATED,
        "lifecycle": "active",
    }


def _models(names: Sequence[str]) -> Json:
    ends = {"first_id": names[0], "last_id": names[-1]}
    return {"data": [_model(name) for name in names], "has_more": False, **ends}


def _limit_headers(levels: Iterable[Level]) -> dict[str, str]:
    shown = {}
    for level in levels:
        full = datetime.now(UTC) + timedelta(seconds=math.ceil(level.reset))
        shown[f"anthropic-ratelimit-{level.kind}-limit"] = str(level.per_minute)
        shown[f"anthropic-ratelimit-{level.kind}-remaining"] = str(max(0, math.floor(level.remaining)))
        shown[f"anthropic-ratelimit-{level.kind}-reset"] = full.strftime("%Y-%m-%dT%H:%M:%SZ")
    return shown


ANTHROPIC = Provider(
    error=error,
    models=_models,
    model=_model,
    limit_headers=_limit_headers,
    request_id_header="request-id",
    quota=Refusal(
        400,
        "Your credit balance is too low to access the Anthropic API. Please go to Plans & Billing to upgrade or purchase credits.",
    ),
)

API = Api(
    name="messages",
    provider=ANTHROPIC,
    read=read,
    write=write,
    stream=stream,
    error_event=error_event,
    prompt_field="messages",
    contents_field="content",
)
