"""OpenAI's responses, for reasoning models: reasoning comes as text, as a summary, or hidden.

Nothing is stored on the server (`store` is false unless `extra_body` sets it). The API has no `seed`, no `n` (there is
always one completion) and no stop strings: the text is cut at the first of them here. To get summaries, set
`extra_body.reasoning = { summary = "auto" }`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from engine.teachers.dialects.base import BodyFields, Dialect
from engine.teachers.dialects.logprobs import part_logprobs
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

PATH = "/responses"
LOGPROBS = "message.output_text.logprobs"
"""The item of `include` that asks for log-probabilities."""

_CODE = re.compile(r"[a-z_]{1,64}")
_UNFINISHED = ("queued", "in_progress", "cancelled")


def build(request: Request, model: str, extra_body: Mapping[str, object]) -> tuple[str, dict[str, object]]:
    """Path and body of a request."""
    body: dict[str, object] = {
        "model": model,
        "input": [{"role": message.role, "content": message.content} for message in request.messages],
        "max_output_tokens": request.max_tokens,
        "store": False,
    }
    if request.temperature is not None:
        body["temperature"] = request.temperature
    if request.top_p is not None:
        body["top_p"] = request.top_p
    merge(body, extra_body)
    if request.logprobs:
        included = body.get("include")
        body["include"] = [*(included if isinstance(included, list) else ()), LOGPROBS]
        body["top_logprobs"] = request.logprobs
    return PATH, body


def parse(payload: object, request: Request) -> list[Completion]:
    """The one completion.

    Raises:
        MalformedAnswer: the payload is not a response, reports an error, or is not finished.
    """
    top = top_of(payload)
    reason = _reason(top)
    items = objects(top.get("output"), "the output")
    text, refusal = _said(items)
    if refusal and not text:
        text, reason = refusal, "refusal"
    if text is None:
        if not items and reason not in ("length", "content_filter"):
            raise MalformedAnswer("the response has no output")
        text = ""  # cut off while reasoning, or withheld: a completion all the same
    reasoning, kind = _reasoning(items)
    text, thought = split_think(text)
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
            model=plain(top.get("model")) or "",
            provider_id=plain(top.get("id")),
            logprobs=part_logprobs(_parts(items)) if request.logprobs else None,
        )
    ]


def _reason(top: dict[str, object]) -> str:
    """The finish reason by status, error and incomplete details."""
    status, error = top.get("status"), top.get("error")
    if error or status == "failed":
        code = error.get("code") if isinstance(error, dict) else None
        code = code if isinstance(code, str) and _CODE.fullmatch(code) else ""
        if code == "invalid_prompt" or "policy" in code:
            return "content_filter"  # retrying would be rejected again
        raise MalformedAnswer("the response reports an error" + (f": {code}" if code else ""))
    if status in _UNFINISHED:
        raise MalformedAnswer(f"the response is not finished: {status}")
    if status == "incomplete":
        details = top.get("incomplete_details")
        return finish(details.get("reason") if isinstance(details, dict) else None)
    return finish("stop" if status == "completed" else status)


def _parts(items: list[dict[str, object]]) -> list[dict[str, object]]:
    """The parts of the messages' contents, without commentary if a final answer is marked."""
    messages = [item for item in items if item.get("type") == "message"]
    final = [item for item in messages if item.get("phase") == "final_answer"]
    return [
        part
        for message in final or messages
        for part in objects(message.get("content"), "a message's content")
    ]


def _said(items: list[dict[str, object]]) -> tuple[str | None, str | None]:
    """Text and refusal of the messages."""
    texts: list[str] = []
    refusals: list[str] = []
    for part in _parts(items):
        if part.get("type") == "output_text" and isinstance(part.get("text"), str):
            texts.append(plain(part["text"]) or "")
        elif part.get("type") == "refusal":
            refusals.append(plain(part.get("refusal")) or "")
    return "".join(texts) if texts else None, "".join(refusals) or None


def _reasoning(items: list[dict[str, object]]) -> tuple[str | None, ReasoningKind | None]:
    """Reasoning and its kind; hidden if the item has no text."""
    found = [item for item in items if item.get("type") == "reasoning"]
    kinds: tuple[tuple[str, ReasoningKind], ...] = (("content", "full"), ("summary", "summary"))
    for field, kind in kinds:
        parts = [part for item in found for part in objects(item.get(field), "reasoning")]
        texts = [text for part in parts if (text := plain(part.get("text")))]
        if texts:
            return "\n\n".join(texts), kind
    return None, "hidden" if found else None


def _usage(top: dict[str, object], request: Request, text: str) -> Usage:
    usage = top.get("usage")
    usage = usage if isinstance(usage, dict) else {}
    return settled(
        request,
        [text],
        prompt=count(usage, "input_tokens"),
        completion=count(usage, "output_tokens"),
        cached=count(usage, "input_tokens_details", "cached_tokens"),
        cache_write=count(usage, "input_tokens_details", "cache_write_tokens"),
        reasoning=count(usage, "output_tokens_details", "reasoning_tokens"),
    )


DIALECT = Dialect(
    name="openai-responses",
    api="OpenAI's responses, for reasoning models",
    build=build,
    parse=parse,
    fields=BodyFields(
        token_limit="max_output_tokens", parameters={"temperature": "temperature", "top_p": "top_p"}
    ),
    supports_logprobs=True,
    builtin=True,
)
