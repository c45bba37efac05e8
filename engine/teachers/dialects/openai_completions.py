"""OpenAI's plain text completions: base models, and servers such as vLLM, llama.cpp and the paper's davinci.

The prompt is the content of the single message; several messages are joined by blank lines.
"""

from __future__ import annotations

from collections.abc import Mapping

from engine.teachers.decode import clean
from engine.teachers.dialects.shared import choices_of, finish, sampling, share, split_think, usage_of
from engine.teachers.failures import MalformedAnswer
from engine.teachers.messages import Completion, Request

PATH = "/completions"


def build(request: Request, model: str, extra_body: Mapping[str, object]) -> tuple[str, dict[str, object]]:
    """Path and body of a request."""
    prompt = "\n\n".join(message.content for message in request.messages)
    body: dict[str, object] = {"model": model, "prompt": prompt}
    sampling(body, request, extra_body)
    return PATH, body


def parse(payload: object, request: Request) -> list[Completion]:
    """One completion for each choice.

    Raises:
        MalformedAnswer: the payload is no completion.
    """
    top, choices = choices_of(payload)
    read = []
    for choice in choices:
        text = choice.get("text")
        if not isinstance(text, str):
            raise MalformedAnswer("a choice has no text")
        text, reasoning = split_think(clean(text))
        read.append((text, reasoning, finish(choice.get("finish_reason"))))
    usage = usage_of(top, request, [text + (reasoning or "") for text, reasoning, _ in read])
    model, provider_id = top.get("model"), top.get("id")
    return [
        Completion(
            text=text,
            usage=part,
            finish_reason=reason,
            reasoning=reasoning,
            reasoning_kind="full" if reasoning else None,
            model=clean(model) if isinstance(model, str) else "",
            provider_id=clean(provider_id) if isinstance(provider_id, str) else None,
        )
        for (text, reasoning, reason), part in zip(read, share(usage, len(read)), strict=True)
    ]
