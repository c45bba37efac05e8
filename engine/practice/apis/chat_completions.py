"""OpenAI's chat completions."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from engine.practice.apis import openai
from engine.practice.apis.base import (
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
    stops,
    temperature,
)
from engine.practice.logprobs import chat_form
from engine.practice.prompts import flatten
from engine.practice.tokens import tokens_of

ROLES = ("system", "developer", "user", "assistant", "tool", "function")
PARTS = {"text": "text", "refusal": "refusal"}
DEFAULT_TOKENS = 4096


def read(data: Json) -> Body:
    """A request.

    Raises:
        Refusal: 400, with the reason.
    """
    stream, stream_usage = openai.streaming(data)
    return Body(
        model=model_of(data),
        prompts=(_messages(data.get("messages")),),
        fields=data,
        n=openai.choice_count(data),
        max_tokens=openai.token_limit(data, DEFAULT_TOKENS),
        temperature=temperature(data),
        seed=openai.seed(data),
        stop=stops(data.get("stop"), "stop"),
        logprobs=_logprobs(data),
        stream=stream,
        stream_usage=stream_usage,
    )


def write(body: Body, choices: Sequence[Choice], prompt_tokens: int, number: int) -> Json:
    """The response."""
    shown = [
        {
            "index": index,
            "message": {"role": "assistant", "content": choice.text, "refusal": None},
            "logprobs": None if body.logprobs is None else chat_form(choice.text, body.logprobs),
            "finish_reason": choice.finish_reason,
        }
        for index, choice in enumerate(choices)
    ]
    tokens = sum(choice.tokens for choice in choices)
    return {
        **openai.head(body, f"chatcmpl-{number:012d}", "chat.completion"),
        "choices": shown,
        "usage": openai.usage(prompt_tokens, tokens),
    }


def stream(body: Body, choices: Sequence[Choice], prompt_tokens: int, number: int) -> list[bytes]:
    """The chunks: the role first, a token each, the finish reason, the usage where it is asked for, and `[DONE]`."""
    return openai.stream(
        body,
        openai.head(body, f"chatcmpl-{number:012d}", "chat.completion.chunk"),
        _chunks,
        choices,
        prompt_tokens,
    )


def _chunks(body: Body, head: Json, index: int, choice: Choice) -> list[bytes]:
    def chunk(delta: Json, logprobs: Any = None, reason: str | None = None) -> bytes:
        told = {"index": index, "delta": delta, "logprobs": logprobs, "finish_reason": reason}
        return event({**head, "choices": [told]})

    tokens = tokens_of(choice.text)
    if body.logprobs is None:  # of a long completion's thousands of chunks only the token is written anew
        before = f'data: {json.dumps(head)[:-1]}, "choices": [{{"index": {index}, "delta": {{"content": '
        after = '}, "logprobs": null, "finish_reason": null}]}\n\n'
        pieces = [f"{before}{json.dumps(token)}{after}".encode() for token in tokens]
    else:
        likely = chat_form(choice.text, body.logprobs)["content"]
        pieces = [
            chunk({"content": token}, {"content": [one], "refusal": None})
            for token, one in zip(tokens, likely, strict=True)
        ]
    first = chunk({"role": "assistant", "content": "", "refusal": None})
    return [first, *pieces, chunk({}, reason=choice.finish_reason)]


def _messages(value: object) -> str:
    if not isinstance(value, list) or not value:
        raise Refusal(400, "'messages' must be a list with at least one message.", param="messages")
    texts = []
    for index, message in enumerate(value):
        where = f"messages.[{index}]"
        if not isinstance(message, dict) or message.get("role") not in ROLES:
            raise Refusal(400, f"{where}: expected an object with a role of {', '.join(ROLES)}.", param=where)
        content = message.get("content")
        if content is None and (message.get("tool_calls") or message.get("function_call")):
            continue
        texts.append(content_text(content, where, PARTS))
    return flatten(texts)


def _logprobs(data: Json) -> int | None:
    if flag(data, "logprobs"):
        return number(data, "top_logprobs", 0, 0, MOST_TOP)
    if data.get("top_logprobs") is not None:
        raise Refusal(400, "'top_logprobs' is only allowed when 'logprobs' is true.", param="top_logprobs")
    return None


API = Api(
    name="chat/completions",
    provider=openai.OPENAI,
    read=read,
    write=write,
    stream=stream,
    error_event=openai.error_event,
    prompt_field="messages",
    contents_field="choices",
)
