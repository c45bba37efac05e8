"""Anthropic's messages, spoken by Anthropic and by compatible servers.

The system prompt is a separate field, `max_tokens` is required, and thinking comes in separate blocks: a summary since
Claude 4, the full text from earlier and other models. The API has no `seed` and no `n` (there is always one completion).
Newer models reject `temperature` and `top_p`: list them in the teacher's `omit`. Prompt tokens include tokens read from
and written to the cache; those read from it do not count against the API's limits.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from engine.teachers.dialects.base import BodyFields, Dialect
from engine.teachers.dialects.paths import merge
from engine.teachers.dialects.shared import (
    count,
    cut_at,
    finish,
    objects,
    plain,
    settled,
    split_think,
    top_of,
)
from engine.teachers.failures import MalformedAnswer
from engine.teachers.messages import Completion, ReasoningKind, Request, Usage

PATH = "/messages"


def build(request: Request, model: str, extra_body: Mapping[str, object]) -> tuple[str, dict[str, object]]:
    """Path and body of a request."""
    body: dict[str, object] = {
        "model": model,
        "max_tokens": request.max_tokens,
        "messages": [
            {"role": message.role, "content": message.content}
            for message in request.messages
            if message.role != "system"
        ],
    }
    system = "\n\n".join(message.content for message in request.messages if message.role == "system")
    if system:
        body["system"] = system
    if request.temperature is not None:
        body["temperature"] = request.temperature
    if request.top_p is not None:
        body["top_p"] = request.top_p
    if stops := [
        stop for stop in request.stop if stop.strip()
    ]:  # the API rejects white space alone: see parse
        body["stop_sequences"] = stops
    merge(body, extra_body)
    return PATH, body


def parse(payload: object, request: Request) -> list[Completion]:
    """The one completion.

    Raises:
        MalformedAnswer: the payload is not a message.
    """
    top = top_of(payload)
    if top.get("error") or top.get("type") == "error":
        raise MalformedAnswer("the response reports an error")
    blocks = objects(top.get("content"), "the content")
    reason = finish(top.get("stop_reason"))
    if not blocks and reason == "unknown":
        raise MalformedAnswer("the response has no content")
    model = plain(top.get("model")) or ""
    text, thought = split_think("".join(_texts(blocks, "text")))
    reasoning, kind = _thinking(blocks, model)
    if reasoning is None and thought:
        reasoning, kind = thought, "full"
    usage = _usage(top, request, text + (reasoning or ""))
    text, stopped = cut_at(text, request.stop)
    return [
        Completion(
            text=text,
            usage=usage,
            finish_reason="stop" if stopped else reason,
            reasoning=reasoning,
            reasoning_kind=kind or ("hidden" if usage.reasoning_tokens else None),
            model=model,
            provider_id=plain(top.get("id")),
        )
    ]


def _texts(blocks: list[dict[str, object]], kind: str) -> list[str]:
    return [text for block in blocks if block.get("type") == kind and (text := plain(block.get(kind)))]


def _thinking(blocks: list[dict[str, object]], model: str) -> tuple[str | None, ReasoningKind | None]:
    """Thinking and its kind: hidden if withheld, a summary if it may be incomplete."""
    texts = _texts(blocks, "thinking")
    withheld = any(block.get("type") == "redacted_thinking" for block in blocks)
    if not texts:
        shown = any(block.get("type") == "thinking" for block in blocks)
        return None, "hidden" if withheld or shown else None
    whole = bool(model) and ("claude" not in model or "claude-3" in model) and not withheld
    return "\n\n".join(texts), "full" if whole else "summary"


def _usage(top: dict[str, object], request: Request, text: str) -> Usage:
    usage = top.get("usage")
    usage = usage if isinstance(usage, dict) else {}
    fresh, read = count(usage, "input_tokens"), count(usage, "cache_read_input_tokens") or 0
    written = count(usage, "cache_creation_input_tokens") or 0
    return settled(
        request,
        [text],
        prompt=None if fresh is None else fresh + read + written,
        completion=count(usage, "output_tokens"),
        cached=read,
        cache_write=written,
        reasoning=count(usage, "output_tokens_details", "thinking_tokens"),
    )


DIALECT = Dialect(
    name="anthropic-messages",
    api="Anthropic's messages",
    build=build,
    parse=parse,
    fields=BodyFields(
        token_limit="max_tokens",
        parameters={"temperature": "temperature", "top_p": "top_p", "stop": "stop_sequences"},
    ),
    key_header="x-api-key",
    headers=MappingProxyType({"anthropic-version": "2023-06-01"}),
    limits_count_cached=False,
    builtin=True,
)
