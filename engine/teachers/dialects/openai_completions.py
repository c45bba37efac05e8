"""OpenAI's text completions, for base models and servers such as vLLM and llama.cpp, and the paper's davinci.

The prompt is the content of the message; several messages are joined by blank lines.
"""

from __future__ import annotations

from collections.abc import Mapping

from engine.teachers.decode import clean
from engine.teachers.dialects.base import BodyFields, Dialect
from engine.teachers.dialects.logprobs import plain_logprobs
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

PATH = "/completions"


def build(request: Request, model: str, extra_body: Mapping[str, object]) -> tuple[str, dict[str, object]]:
    """Path and body of a request."""
    prompt = "\n\n".join(message.content for message in request.messages)
    body: dict[str, object] = {"model": model, "prompt": prompt}
    if request.logprobs:
        body["logprobs"] = request.logprobs
    sampling(body, request, extra_body)
    return PATH, body


def parse(payload: object, request: Request) -> list[Completion]:
    """One completion for each choice that can be read.

    Raises:
        MalformedAnswer: the payload is not a completion.
    """
    top, choices = choices_of(payload)
    read = readable(choices, _choice)
    texts = [text + (reasoning or "") for text, reasoning, _ in read]
    usage = usage_of(top, request, texts)
    model, provider_id = top.get("model"), top.get("id")
    return [
        Completion(
            text=text,
            usage=part,
            finish_reason=finish(choice.get("finish_reason")),
            reasoning=reasoning,
            reasoning_kind="full" if reasoning else None,
            model=clean(model) if isinstance(model, str) else "",
            provider_id=clean(provider_id) if isinstance(provider_id, str) else None,
            logprobs=plain_logprobs(choice) if request.logprobs else None,
        )
        for (text, reasoning, choice), part in zip(read, share(usage, texts), strict=True)
    ]


def _choice(choice: dict[str, object]) -> tuple[str, str | None, dict[str, object]]:
    """Text and reasoning of a choice, and the choice."""
    text = choice.get("text")
    if not isinstance(text, str):
        raise MalformedAnswer("a choice has no text")
    return (*split_think(clean(text)), choice)


DIALECT = Dialect(
    name="openai-completions",
    api="OpenAI's text completions, for base models, spoken by vLLM, SGLang and llama.cpp",
    build=build,
    parse=parse,
    fields=BodyFields(token_limit="max_tokens", replacing_limits=("max_completion_tokens",)),
    supports_n=True,
    supports_logprobs=True,
    builtin=True,
)
