"""OpenAI's text completions, which base models and many servers still speak."""

from __future__ import annotations

import json
from collections.abc import Sequence

from engine.practice.apis import openai
from engine.practice.apis.base import (
    MOST_CHOICES,
    MOST_TOP,
    Api,
    Body,
    Choice,
    Json,
    Refusal,
    event,
    flag,
    model_of,
    number,
    stops,
    temperature,
)
from engine.practice.logprobs import plain_form
from engine.practice.tokens import tokens_of

DEFAULT_TOKENS = 16


def read(data: Json) -> Body:
    """A request.

    Raises:
        Refusal: 400, with the reason.
    """
    if flag(data, "echo"):
        raise Refusal(400, "This server does not repeat the prompt; remove 'echo'.", param="echo")
    stream, stream_usage = openai.streaming(data)
    logprobs = data.get("logprobs")
    return Body(
        model=model_of(data),
        prompts=_prompts(data.get("prompt")),
        fields=data,
        chat=False,
        n=openai.choice_count(data),
        max_tokens=openai.token_limit(data, DEFAULT_TOKENS),
        temperature=temperature(data),
        seed=openai.seed(data),
        stop=stops(data.get("stop"), "stop"),
        logprobs=None if logprobs is None else number(data, "logprobs", 0, 0, MOST_TOP),
        stream=stream,
        stream_usage=stream_usage,
    )


def write(body: Body, choices: Sequence[Choice], prompt_tokens: int, number: int) -> Json:
    """The response; the choices of several prompts follow each other."""
    shown = [
        {
            "index": index,
            "text": choice.text,
            "logprobs": None if body.logprobs is None else plain_form(choice.text, body.logprobs),
            "finish_reason": choice.finish_reason,
        }
        for index, choice in enumerate(choices)
    ]
    tokens = sum(choice.tokens for choice in choices)
    return {**_head(body, number), "choices": shown, "usage": openai.usage(prompt_tokens, tokens)}


def stream(body: Body, choices: Sequence[Choice], prompt_tokens: int, number: int) -> list[bytes]:
    """The chunks: a token each, the finish reason, the usage where it is asked for, and `[DONE]`."""
    return openai.stream(body, _head(body, number), _chunks, choices, prompt_tokens)


def _chunks(body: Body, head: Json, index: int, choice: Choice) -> list[bytes]:
    tokens = tokens_of(choice.text)
    likely = ["null"] * len(tokens)
    if body.logprobs is not None:
        whole = plain_form(choice.text, body.logprobs)
        likely = [
            json.dumps({name: values[at : at + 1] for name, values in whole.items()})
            for at in range(len(tokens))
        ]
    before = f'data: {json.dumps(head)[:-1]}, "choices": [{{"index": {index}, "finish_reason": null, "text": '
    pieces = [
        f'{before}{json.dumps(token)}, "logprobs": {one}}}]}}\n\n'.encode()
        for token, one in zip(tokens, likely, strict=True)
    ]
    last = {"index": index, "text": "", "logprobs": None, "finish_reason": choice.finish_reason}
    return [*pieces, event({**head, "choices": [last]})]


def _head(body: Body, number: int) -> Json:
    return openai.head(body, f"cmpl-{number:012d}", "text_completion")


def _prompts(value: object) -> tuple[str, ...]:
    if isinstance(value, str):
        return (value,)
    texts = [text for text in value if isinstance(text, str)] if isinstance(value, list) else []
    if not isinstance(value, list) or not texts or len(texts) != len(value) or len(texts) > MOST_CHOICES:
        raise Refusal(400, "'prompt' must be a string or a list of strings.", param="prompt")
    return tuple(texts)


API = Api(
    name="completions",
    provider=openai.OPENAI,
    read=read,
    write=write,
    stream=stream,
    error_event=openai.error_event,
    prompt_field="prompt",
    contents_field="choices",
)
