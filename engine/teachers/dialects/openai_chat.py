"""OpenAI's chat completions, as spoken by OpenAI and by nearly every other server.

Reasoning is read from `reasoning_content`, `reasoning`, thinking parts and `<think>` blocks. An
`extra_body` with `max_completion_tokens` takes the place of `max_tokens`, which some models refuse.
"""

from __future__ import annotations

from collections.abc import Mapping

from engine.teachers.decode import clean
from engine.teachers.dialects.shared import choices_of, finish, sampling, share, split_think, usage_of
from engine.teachers.failures import MalformedAnswer
from engine.teachers.messages import Completion, Request

PATH = "/chat/completions"


def build(request: Request, model: str, extra_body: Mapping[str, object]) -> tuple[str, dict[str, object]]:
    """Path and body of a request."""
    body: dict[str, object] = {
        "model": model,
        "messages": [{"role": message.role, "content": message.content} for message in request.messages],
    }
    sampling(body, request, extra_body)
    return PATH, body


def parse(payload: object, request: Request) -> list[Completion]:
    """One completion for each choice.

    Raises:
        MalformedAnswer: the payload is no chat completion.
    """
    top, choices = choices_of(payload)
    read = []
    for choice in choices:
        message = choice.get("message")
        if not isinstance(message, dict):
            raise MalformedAnswer("a choice has no message")
        text, reasoning, reason = _message(message, finish(choice.get("finish_reason")))
        read.append((text, reasoning, reason))
    usage = usage_of(top, request, [text + (reasoning or "") for text, reasoning, _ in read])
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
        )
        for (text, reasoning, reason), part in zip(read, share(usage, len(read)), strict=True)
    ]


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
        content = ""  # cut off while it reasoned, or withheld: an answer, though not a good one
    if not isinstance(content, str):
        raise MalformedAnswer(
            "a message has no text" if content is None else "a message's content is no text"
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
