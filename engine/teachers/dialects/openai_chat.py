"""OpenAI's chat completions, spoken by OpenAI and by nearly every other server.

Reasoning is read from `reasoning_content`, `reasoning`, thinking parts and `<think>` blocks. `max_completion_tokens` in
`extra_body` replaces `max_tokens`, which some models reject.
"""

from __future__ import annotations

from collections.abc import Mapping

from engine.teachers.decode import clean
from engine.teachers.dialects.base import BodyFields, Dialect
from engine.teachers.dialects.logprobs import chat_logprobs
from engine.teachers.dialects.shared import (
    choices_of,
    finish,
    readable,
    sampling,
    share,
    split_think,
    usage_of,
)
from engine.teachers.failures import MalformedAnswer
from engine.teachers.messages import Completion, Request

NAME = "openai-chat"
PATH = "/chat/completions"
FIELDS = BodyFields(token_limit="max_tokens", replacing_limits=("max_completion_tokens",))


def build(request: Request, model: str, extra_body: Mapping[str, object]) -> tuple[str, dict[str, object]]:
    """Path and body of a request."""
    body: dict[str, object] = {
        "model": model,
        "messages": [{"role": message.role, "content": message.content} for message in request.messages],
    }
    if request.logprobs:
        body["logprobs"], body["top_logprobs"] = True, request.logprobs
    sampling(body, request, extra_body)
    return PATH, body


def parse(payload: object, request: Request) -> list[Completion]:
    """One completion for each choice that can be read.

    Raises:
        MalformedAnswer: the payload is not a chat completion.
    """
    top, choices = choices_of(payload)
    read = readable(choices, _choice)
    texts = [text + (reasoning or "") for text, reasoning, _, _ in read]
    usage = usage_of(top, request, texts)
    model, provider_id = top.get("model"), top.get("id")
    return [
        Completion(
            text=text,
            usage=part,
            finish_reason=reason,
            reasoning=reasoning,
            reasoning_kind="full" if reasoning else "hidden" if usage.reasoning_tokens else None,
            model=clean(model) if isinstance(model, str) else "",
            provider_id=clean(provider_id) if isinstance(provider_id, str) else None,
            logprobs=chat_logprobs(choice) if request.logprobs else None,
        )
        for (text, reasoning, reason, choice), part in zip(read, share(usage, texts), strict=True)
    ]


def _choice(choice: dict[str, object]) -> tuple[str, str | None, str, dict[str, object]]:
    """Text, reasoning and finish reason of a choice, and the choice."""
    message = choice.get("message")
    if not isinstance(message, dict):
        raise MalformedAnswer("a choice has no message")
    return (*_message(message, finish(choice.get("finish_reason"))), choice)


def _message(message: dict[str, object], reason: str) -> tuple[str, str | None, str]:
    """Text, reasoning and finish reason of a message."""
    content, refusal = message.get("content"), message.get("refusal")
    reasoning = message.get("reasoning_content") or message.get("reasoning")
    reasoning = reasoning if isinstance(reasoning, str) else None
    if isinstance(content, list):
        content, thought = _parts(content)
        reasoning = reasoning or thought
    if isinstance(refusal, str) and refusal and not content:
        content, reason = refusal, "refusal"
    if content is None and (reasoning or reason in ("length", "content_filter", "refusal")):
        content = ""  # cut off while reasoning, or withheld: a completion all the same
    if not isinstance(content, str):
        raise MalformedAnswer(
            "a message has no text" if content is None else "a message's content is not text"
        )
    text, thought = split_think(clean(content))
    reasoning = reasoning or thought
    return text, clean(reasoning) if reasoning else None, reason


def _parts(parts: list[object]) -> tuple[str, str | None]:
    """Text and thinking of a content that is a list of parts."""
    texts: list[str] = []
    thoughts: list[str] = []
    for part in parts:
        if isinstance(part, dict):
            if isinstance(text := part.get("text"), str):
                texts.append(text)
            thinking = part.get("thinking")
            if isinstance(thinking, list):
                thoughts.extend(
                    t["text"] for t in thinking if isinstance(t, dict) and isinstance(t.get("text"), str)
                )
            elif isinstance(thinking, str):
                thoughts.append(thinking)
    return "".join(texts), "".join(thoughts) or None


DIALECT = Dialect(
    name=NAME,
    api="OpenAI's chat completions, spoken by OpenAI and by most other providers and servers",
    build=build,
    parse=parse,
    fields=FIELDS,
    supports_n=True,
    supports_logprobs=True,
    builtin=True,
)
