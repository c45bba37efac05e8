"""OpenAI's responses. Nothing is kept: a response cannot be fetched later or continued by its id."""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from typing import Any

from engine.practice.apis import openai
from engine.practice.apis.base import (
    MOST_TOKENS,
    MOST_TOP,
    Api,
    Body,
    Choice,
    Json,
    Refusal,
    content_text,
    event,
    flag,
    model_of,
    number,
    temperature,
)
from engine.practice.logprobs import chat_form
from engine.practice.prompts import flatten
from engine.practice.tokens import tokens_of

ROLES = ("system", "developer", "user", "assistant")
PARTS = {"input_text": "text", "output_text": "text", "text": "text", "refusal": "refusal"}
LOGPROBS = "message.output_text.logprobs"
REASONS = {"length": "max_output_tokens", "content_filter": "content_filter"}
"""Why a response is incomplete, by finish reason."""


def read(data: Json) -> Body:
    """A request.

    Raises:
        Refusal: 400, with the reason.
    """
    if flag(data, "background"):
        message = "This server does not run responses in the background; remove 'background'."
        raise Refusal(400, message, param="background")
    if (before := data.get("previous_response_id")) is not None:
        message = f"Previous response with id '{before!s:.100}' not found."
        raise Refusal(400, message, "previous_response_not_found", "previous_response_id")
    included = data.get("include")
    likely = isinstance(included, list) and LOGPROBS in included
    return Body(
        model=model_of(data),
        prompts=(_prompt(data),),
        fields=data,
        max_tokens=number(data, "max_output_tokens", MOST_TOKENS, 1, MOST_TOKENS),
        temperature=temperature(data),
        logprobs=number(data, "top_logprobs", 0, 0, MOST_TOP) if likely else None,
        stream=flag(data, "stream"),
    )


def write(body: Body, choices: Sequence[Choice], prompt_tokens: int, number: int) -> Json:
    """The response: one message with one text."""
    (choice,) = choices
    reason = REASONS.get(choice.finish_reason)
    ended = "incomplete" if reason else "completed"
    return {
        **_head(body, number, ended),
        "completed_at": None if reason else int(time.time()),
        "incomplete_details": {"reason": reason} if reason else None,
        "output": [_message(number, ended, [_part(body, choice.text)])],
        "usage": {
            "input_tokens": prompt_tokens,
            "input_tokens_details": {"cached_tokens": 0, "cache_write_tokens": 0},
            "output_tokens": choice.tokens,
            "output_tokens_details": {"reasoning_tokens": 0},
            "total_tokens": prompt_tokens + choice.tokens,
        },
    }


def stream(body: Body, choices: Sequence[Choice], prompt_tokens: int, number: int) -> list[bytes]:
    """The events, from `response.created` to `response.completed` (or `.incomplete`), which holds the whole response."""
    (choice,) = choices
    whole = write(body, choices, prompt_tokens, number)
    message, begun = whole["output"][0], _head(body, number, "in_progress")
    part = message["content"][0]
    place = {"item_id": message["id"], "output_index": 0, "content_index": 0}
    events: list[bytes] = []

    def add(name: str, **fields: Any) -> None:
        kind = f"response.{name}"
        events.append(event({"type": kind, "sequence_number": len(events), **fields}, kind))

    add("created", response=begun)
    add("in_progress", response=begun)
    add("output_item.added", output_index=0, item=_message(number, "in_progress", []))
    add("content_part.added", **place, part={**part, "text": "", "logprobs": []})
    tokens = tokens_of(choice.text)
    likely = [[_without_bytes(one)] for one in part["logprobs"]] or [[]] * len(tokens)
    kind = "response.output_text.delta"
    where = json.dumps(place)[1:-1]
    for token, one in zip(tokens, likely, strict=True):
        events.append(
            f'event: {kind}\ndata: {{"type": "{kind}", "sequence_number": {len(events)}, {where}, '
            f'"delta": {json.dumps(token)}, "logprobs": {json.dumps(one)}}}\n\n'.encode()
        )
    logprobs = [one for each in likely for one in each]
    add("output_text.done", **place, text=choice.text, logprobs=logprobs)
    add("content_part.done", **place, part=part)
    add("output_item.done", output_index=0, item=message)
    add(whole["status"], response=whole)
    return events


def error_event(refusal: Refusal) -> bytes:
    """An error in the middle of a stream."""
    code = refusal.code or refusal.kind or "server_error"
    told = {"type": "error", "code": code, "message": refusal.message, "param": None, "sequence_number": 0}
    return event(told, "error")


def _head(body: Body, number: int, status: str) -> Json:
    """The response without what is only known at its end; it repeats the request's parameters."""
    given = body.fields
    return {
        "id": f"resp_{number:012d}",
        "object": "response",
        "created_at": int(time.time()),
        "status": status,
        "background": False,
        "completed_at": None,
        "error": None,
        "incomplete_details": None,
        "instructions": given.get("instructions"),
        "max_output_tokens": given.get("max_output_tokens"),
        "metadata": given.get("metadata") or {},
        "model": body.model,
        "output": [],
        "parallel_tool_calls": given.get("parallel_tool_calls") is not False,
        "previous_response_id": None,
        "reasoning": given.get("reasoning") or {"effort": None, "summary": None},
        "store": False,
        "temperature": body.temperature,
        "text": given.get("text") or {"format": {"type": "text"}},
        "tool_choice": given.get("tool_choice") or "auto",
        "tools": given.get("tools") or [],
        "top_logprobs": body.logprobs or 0,
        "top_p": given.get("top_p") or 1.0,
        "truncation": given.get("truncation") or "disabled",
        "usage": None,
        "user": given.get("user"),
    }


def _message(number: int, status: str, content: list[Json]) -> Json:
    return {
        "id": f"msg_{number:012d}",
        "type": "message",
        "status": status,
        "role": "assistant",
        "content": content,
    }


def _part(body: Body, text: str) -> Json:
    likely = [] if body.logprobs is None else chat_form(text, body.logprobs)["content"]
    return {"type": "output_text", "text": text, "annotations": [], "logprobs": likely}


def _without_bytes(likely: Json) -> Json:
    """A token's log-probability as an event shows it."""
    top = [{"token": one["token"], "logprob": one["logprob"]} for one in likely["top_logprobs"]]
    return {"token": likely["token"], "logprob": likely["logprob"], "top_logprobs": top}


def _prompt(data: Json) -> str:
    instructions, given = data.get("instructions"), data.get("input")
    texts = [instructions] if isinstance(instructions, str) and instructions else []
    if isinstance(given, str):
        return flatten([*texts, given])
    if not isinstance(given, list) or not given:
        raise Refusal(400, "'input' must be a string or a list with at least one item.", param="input")
    for index, item in enumerate(given):
        where = f"input[{index}]"
        if not isinstance(item, dict):
            raise Refusal(400, f"{where}: expected an object.", param=where)
        if item.get("type", "message") == "message":
            if item.get("role") not in ROLES:
                message = f"{where}: expected a message with a role of {', '.join(ROLES)}."
                raise Refusal(400, message, param=where)
            texts.append(content_text(item.get("content"), where, PARTS))
        elif isinstance(output := item.get("output"), str):  # what a tool returned
            texts.append(output)
    return flatten(texts)


API = Api(
    name="responses",
    provider=openai.OPENAI,
    read=read,
    write=write,
    stream=stream,
    error_event=error_event,
    prompt_field="input",
    contents_field="output",
)
