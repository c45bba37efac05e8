"""What OpenAI's APIs share: errors, models, headers, the fields of requests for completions."""

from __future__ import annotations

import json
import math
import time
from collections.abc import Callable, Iterable, Sequence

from engine.practice.apis.base import (
    MOST_CHOICES,
    MOST_TOKENS,
    Body,
    Choice,
    Json,
    Provider,
    Refusal,
    event,
    flag,
    in_turn,
    number,
)
from engine.practice.rate_limits import Level, duration

KINDS = {
    400: "invalid_request_error",
    401: "invalid_request_error",
    402: "insufficient_quota",
    403: "invalid_request_error",
    404: "invalid_request_error",
    405: "invalid_request_error",
    408: "timeout",
    409: "conflict",
    413: "invalid_request_error",
    422: "invalid_request_error",
    429: "requests",
    529: "overloaded_error",
}
DONE = b"data: [DONE]\n\n"


def error(refusal: Refusal) -> bytes:
    """The body of an error."""
    kind = refusal.kind or KINDS.get(refusal.status, "server_error")
    shown = {"message": refusal.message, "type": kind, "param": refusal.param, "code": refusal.code}
    return json.dumps({"error": shown}).encode()


def error_event(refusal: Refusal) -> bytes:
    """An error in the middle of a stream of completions."""
    return b"data: " + error(refusal) + b"\n\n"


def usage(prompt_tokens: int, completion_tokens: int) -> Json:
    """The usage of a completion."""
    return {
        "prompt_tokens": prompt_tokens,
        "completion_tokens": completion_tokens,
        "total_tokens": prompt_tokens + completion_tokens,
    }


def head(body: Body, number: str, kind: str) -> Json:
    """What a response and all chunks of a stream begin with."""
    return {"id": number, "object": kind, "created": int(time.time()), "model": body.model}


def stream(
    body: Body,
    shared: Json,
    chunks: Callable[[Body, Json, int, Choice], list[bytes]],
    choices: Sequence[Choice],
    prompt_tokens: int,
) -> list[bytes]:
    """The chunks of all choices in turn, the usage for a client that asks for it, and the end; each begins with `shared`."""
    if body.stream_usage:
        shared["usage"] = None
    events = in_turn(chunks(body, shared, index, choice) for index, choice in enumerate(choices))
    if body.stream_usage:
        used = usage(prompt_tokens, sum(choice.tokens for choice in choices))
        events.append(event({**shared, "choices": [], "usage": used}))
    return [*events, DONE]


def token_limit(data: Json, default: int) -> int:
    """The token limit under its new or its old name."""
    name = "max_completion_tokens" if data.get("max_completion_tokens") is not None else "max_tokens"
    return number(data, name, default, 1, MOST_TOKENS)


def choice_count(data: Json) -> int:
    """How many completions of each prompt are requested."""
    return number(data, "n", 1, 1, MOST_CHOICES)


def seed(data: Json) -> int | None:
    """The seed, if there is one."""
    return number(data, "seed", 0, -(2**63), 2**63) if data.get("seed") is not None else None


def streaming(data: Json) -> tuple[bool, bool]:
    """Whether a stream is requested, and whether it ends with its usage."""
    streams, options = flag(data, "stream"), data.get("stream_options")
    if options is None:
        return streams, False
    if not streams:
        message = "The 'stream_options' parameter is only allowed when 'stream' is enabled."
        raise Refusal(400, message, param="stream_options")
    if not isinstance(options, dict):
        raise Refusal(400, "'stream_options' must be an object.", param="stream_options")
    return streams, flag(options, "include_usage")


def _model(name: str) -> Json:
    return {"id": name, "object": "model", "created": 0, "owned_by": "coterie"}


def _models(names: Sequence[str]) -> Json:
    return {"object": "list", "data": [_model(name) for name in names]}


def _limit_headers(levels: Iterable[Level]) -> dict[str, str]:
    shown = {}
    for level in levels:
        shown[f"x-ratelimit-limit-{level.kind}"] = str(level.per_minute)
        shown[f"x-ratelimit-remaining-{level.kind}"] = str(max(0, math.floor(level.remaining)))
        shown[f"x-ratelimit-reset-{level.kind}"] = duration(level.reset)
    return shown


OPENAI = Provider(
    error=error,
    models=_models,
    model=_model,
    limit_headers=_limit_headers,
    request_id_header="x-request-id",
    quota=Refusal(
        429,
        "You exceeded your current quota, please check your plan and billing details.",
        "insufficient_quota",
        kind="insufficient_quota",
    ),
)
