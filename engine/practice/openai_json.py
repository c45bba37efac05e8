"""OpenAI's JSON: parses and checks requests, writes completions and errors."""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from engine.practice.logprobs import chat_form, plain_form
from engine.practice.prompts import flatten

MOST_CHOICES = 128
MOST_TOP = 20
MOST_TOKENS = 1_000_000
ROLES = ("system", "developer", "user", "assistant", "tool", "function")


class Refusal(Exception):
    """A request that is answered with an error: its status, and the error in OpenAI's form."""

    def __init__(self, status: int, message: str, code: str | None = None, param: str | None = None) -> None:
        super().__init__(message)
        self.status = status
        self.body = error_body(message, KINDS.get(status, "server_error"), code, param)


KINDS = {
    400: "invalid_request_error",
    401: "invalid_request_error",
    402: "insufficient_quota",
    403: "invalid_request_error",
    404: "invalid_request_error",
    408: "timeout",
    409: "conflict",
    413: "invalid_request_error",
    422: "invalid_request_error",
    429: "requests",
    529: "overloaded_error",
}


def error_body(message: str, kind: str, code: str | None = None, param: str | None = None) -> bytes:
    """An error in OpenAI's form."""
    error = {"message": message, "type": kind, "param": param, "code": code}
    return json.dumps({"error": error}).encode()


@dataclass(frozen=True, kw_only=True, slots=True)
class Body:
    """A valid request; `n` completions of each prompt are requested."""

    model: str
    prompts: tuple[str, ...]
    chat: bool
    n: int
    max_tokens: int
    temperature: float
    seed: int | None
    stop: tuple[str, ...]
    logprobs: int | None
    """Number of alternatives for each token; None: no log-probabilities."""


@dataclass(frozen=True, slots=True)
class Choice:
    """One completion, after limits and stop strings were applied."""

    text: str
    tokens: int
    finish_reason: str


def read_body(raw: bytes, *, chat: bool) -> Body:
    """Parses a request's body.

    Raises:
        Refusal: 400, with the reason.
    """
    try:
        data = json.loads(raw)
    except (ValueError, RecursionError):
        raise Refusal(400, "We could not parse the JSON body of your request.") from None
    if not isinstance(data, dict):
        raise Refusal(400, "The body must be a JSON object.")
    model = data.get("model")
    if not isinstance(model, str) or not model:
        raise Refusal(400, "you must provide a model parameter", param="model")
    if data.get("stream"):
        raise Refusal(400, "This server does not stream; remove 'stream'.", param="stream")
    limit = "max_completion_tokens" if data.get("max_completion_tokens") is not None else "max_tokens"
    return Body(
        model=model,
        prompts=(_messages(data.get("messages")),) if chat else _prompts(data.get("prompt")),
        chat=chat,
        n=_number(data, "n", 1, 1, MOST_CHOICES),
        max_tokens=_number(data, limit, 4096 if chat else 16, 1, MOST_TOKENS),
        temperature=_temperature(data.get("temperature")),
        seed=_number(data, "seed", 0, -(2**63), 2**63) if data.get("seed") is not None else None,
        stop=_stop(data.get("stop")),
        logprobs=_logprobs(data, chat=chat),
    )


def write_answer(body: Body, choices: Sequence[Choice], prompt_tokens: int, number: int) -> dict[str, Any]:
    """The response as JSON. `number` gives its id; the choices of several prompts follow each other."""
    shown: list[dict[str, Any]] = []
    for index, choice in enumerate(choices):
        content: dict[str, Any] = {"text": choice.text}
        if body.chat:
            content = {"message": {"role": "assistant", "content": choice.text, "refusal": None}}
        logprobs = None
        if body.logprobs is not None:
            logprobs = (chat_form if body.chat else plain_form)(choice.text, body.logprobs)
        shown.append({"index": index, **content, "logprobs": logprobs, "finish_reason": choice.finish_reason})
    completion_tokens = sum(choice.tokens for choice in choices)
    return {
        "id": f"{'chatcmpl' if body.chat else 'cmpl'}-{number:012d}",
        "object": "chat.completion" if body.chat else "text_completion",
        "created": int(time.time()),
        "model": body.model,
        "choices": shown,
        "usage": {
            "prompt_tokens": prompt_tokens,
            "completion_tokens": completion_tokens,
            "total_tokens": prompt_tokens + completion_tokens,
        },
    }


def _messages(value: object) -> str:
    if not isinstance(value, list) or not value:
        raise Refusal(400, "'messages' must be a list with at least one message.", param="messages")
    texts = []
    for index, message in enumerate(value):
        where = f"messages.[{index}]"
        if not isinstance(message, dict) or message.get("role") not in ROLES:
            raise Refusal(400, f"{where}: expected an object with a role of {', '.join(ROLES)}.", param=where)
        texts.append(_content(message.get("content"), where))
    return flatten(texts)


def _content(value: object, where: str) -> str:
    if isinstance(value, str):
        return value
    if isinstance(value, list):
        parts = [part.get("text") for part in value if isinstance(part, dict) and part.get("type") == "text"]
        if len(parts) == len(value):
            return "".join(part for part in parts if isinstance(part, str))
    raise Refusal(400, f"{where}.content: expected a string or a list of text parts.", param=where)


def _prompts(value: object) -> tuple[str, ...]:
    if isinstance(value, str):
        return (value,)
    texts = [text for text in value if isinstance(text, str)] if isinstance(value, list) else []
    if not isinstance(value, list) or not texts or len(texts) != len(value) or len(texts) > MOST_CHOICES:
        raise Refusal(400, "'prompt' must be a string or a list of strings.", param="prompt")
    return tuple(texts)


def _number(data: dict[str, Any], name: str, default: int, low: int, high: int) -> int:
    value = data.get(name)
    if value is None:
        return default
    if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high:
        raise Refusal(
            400, f"'{name}' must be a whole number from {low} to {high}, got {value!r:.80}.", param=name
        )
    return value


def _logprobs(data: dict[str, Any], *, chat: bool) -> int | None:
    if not chat:
        return _number(data, "logprobs", 0, 0, MOST_TOP) if data.get("logprobs") is not None else None
    wanted = data.get("logprobs")
    if wanted not in (None, True, False):
        raise Refusal(400, f"'logprobs' must be true or false, got {wanted!r:.80}.", param="logprobs")
    if not wanted:
        if data.get("top_logprobs") is not None:
            raise Refusal(
                400, "'top_logprobs' is only allowed when 'logprobs' is true.", param="top_logprobs"
            )
        return None
    return _number(data, "top_logprobs", 0, 0, MOST_TOP)


def _temperature(value: object) -> float:
    if value is None:
        return 1.0
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= 2:
        raise Refusal(
            400, f"'temperature' must be a number from 0 to 2, got {value!r:.80}.", param="temperature"
        )
    return float(value)


def _stop(value: object) -> tuple[str, ...]:
    words = [value] if isinstance(value, str) else [] if value is None else value
    if not isinstance(words, list) or len(words) > 4 or not all(isinstance(w, str) and w for w in words):
        raise Refusal(400, "'stop' must be a string or a list of at most 4 strings.", param="stop")
    return tuple(words)
