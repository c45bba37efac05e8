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
from engine.teachers.dialects.finish import finish
from engine.teachers.dialects.paths import merge
from engine.teachers.dialects.reasoning import split_think
from engine.teachers.dialects.shared import (
    REPORTED,
    Said,
    count,
    objects,
    only_completion,
    plain,
    top_of,
    unbroken,
)
from engine.teachers.dialects.streaming import Assembly, Event, Piecewise, Streaming
from engine.teachers.dialects.usage import Stated, cost_of, known
from engine.teachers.failures import MalformedAnswer
from engine.teachers.messages import Completion, ReasoningKind, Request

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
    stated = _stated(top)
    try:
        said = _said(top)
    except MalformedAnswer as error:
        raise MalformedAnswer(str(error), stated.usage if stated else None) from None
    return [only_completion(top, said, request, stated)]


def _said(top: dict[str, object]) -> Said:
    """What the message says."""
    if top.get("error") or top.get("type") == "error":
        raise MalformedAnswer(REPORTED)
    blocks = objects(top.get("content"), "the content")
    reason = unbroken(finish(top.get("stop_reason")))
    if not blocks and reason == "unknown":
        raise MalformedAnswer("the response has no content")
    text, thought = split_think("".join(_texts(blocks, "text")))
    reasoning, kind = _thinking(blocks, plain(top.get("model")) or "")
    if reasoning is None and thought:
        reasoning, kind = thought, "full"
    if not text and not reasoning and any(block.get("type") == "tool_use" for block in blocks):
        raise MalformedAnswer("a message has only tool calls")
    return Said(text, reasoning, kind, reason, top)


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


def _stated(top: dict[str, object]) -> Stated | None:
    usage = top.get("usage")
    if not isinstance(usage, dict):
        return None
    fresh, read = count(usage, "input_tokens"), count(usage, "cache_read_input_tokens") or 0
    written = count(usage, "cache_creation_input_tokens") or 0
    completion = count(usage, "output_tokens")
    if fresh is None or completion is None:
        return None
    thought = count(usage, "output_tokens_details", "thinking_tokens") or 0
    return Stated(known(fresh + read + written, completion, read, written, thought, cost_of(top)), completion)


class MessageAssembly(Assembly):
    """The events of one message: blocks that begin and grow, and a stop reason at the end."""

    def __init__(self) -> None:
        super().__init__()
        self._top: Event = {}
        self._blocks: dict[int, Piecewise] = {}
        self._usage: Event = {}

    def add(self, event: Event) -> None:
        """Takes the data of one event."""
        kind = event.get("type")
        delta = event.get("delta")
        if kind == "content_block_delta" and isinstance(delta, dict):
            pieces = {name: value for name, value in delta.items() if name not in ("type", "citation")}
            self._block(event).add(pieces)
        elif kind == "content_block_start":
            block = event.get("content_block")
            self._block(event).add(block if isinstance(block, dict) else {})
        elif kind in ("message_start", "message"):
            message = event.get("message", event)
            if isinstance(message, dict):
                self._top = {name: value for name, value in message.items() if name != "usage"}
                self._count(message.get("usage"))
        elif kind == "message_delta":
            self._top.update(delta if isinstance(delta, dict) else {})
            self._count(event.get("usage"))
        elif kind == "message_stop":
            self.ended = True
        if error := event.get("error"):
            self.error = error

    def _block(self, event: Event) -> Piecewise:
        index = event.get("index")
        return self._blocks.setdefault(index if isinstance(index, int) else 0, Piecewise())

    def _count(self, usage: object) -> None:
        """Later numbers replace earlier ones, which are of the start; an unset one replaces none."""
        if isinstance(usage, dict):
            self._usage.update(
                (name, value) for name, value in usage.items() if value or name not in self._usage
            )

    @property
    def whole(self) -> bool:
        """Whether the message has a stop reason."""
        return bool(self._top.get("stop_reason"))

    def payload(self) -> Event:
        """The message so far."""
        found: Event = {**self._top}
        if self._blocks:
            found["content"] = [block.joined() for _, block in sorted(self._blocks.items())]
        if self._usage:
            found["usage"] = self._usage
        if self.error and not self.whole:
            found["error"] = self.error
        return found


DIALECT = Dialect(
    name="anthropic-messages",
    api="Anthropic's messages",
    build=build,
    parse=parse,
    fields=BodyFields(
        token_limit="max_tokens",
        parameters={"temperature": "temperature", "top_p": "top_p", "stop": "stop_sequences"},
    ),
    streaming=Streaming(assembly=MessageAssembly),
    key_header="x-api-key",
    headers=MappingProxyType({"anthropic-version": "2023-06-01"}),
    limits_count_cached=False,
    builtin=True,
)
