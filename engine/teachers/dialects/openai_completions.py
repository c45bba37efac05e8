"""OpenAI's text completions, for base models and servers such as vLLM and llama.cpp, and the paper's davinci.

The prompt is the content of the message; several messages are joined by blank lines. A text that is to be scored follows the prompt, and
comes back with its log-probabilities (`echo`); one further token is written, because not every server writes none.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial

from engine.teachers.decode import clean
from engine.teachers.dialects import openai_chat
from engine.teachers.dialects.base import BodyFields, Dialect
from engine.teachers.dialects.logprobs import choice_logprobs, echoed_logprobs
from engine.teachers.dialects.reasoning import reasoning_of, split_think
from engine.teachers.dialects.shared import (
    Said,
    choices_of,
    completions,
    readable,
    reason_of,
    sampling,
    top_of,
)
from engine.teachers.dialects.streaming import Streaming, TextChoicesAssembly
from engine.teachers.dialects.usage import stated_of
from engine.teachers.failures import MalformedAnswer
from engine.teachers.messages import Completion, Request
from state.logprobs import Logprobs

PATH = "/completions"


def build(request: Request, model: str, extra_body: Mapping[str, object]) -> tuple[str, dict[str, object]]:
    """Path and body of a request."""
    text = "\n\n".join(message.content for message in request.messages)
    prompt = list(request.prompt_ids) or text
    body: dict[str, object] = {"model": model, "prompt": prompt}
    if request.given is not None:
        body |= {"prompt": text + request.given, "echo": True}
    if request.logprobs:
        body["logprobs"] = request.logprobs
    sampling(body, request, extra_body)
    return PATH, body


def parse(payload: object, request: Request) -> list[Completion]:
    """One completion for each choice that can be read.

    Raises:
        MalformedAnswer: the payload is not a completion.
    """
    top = top_of(payload)
    stated = stated_of(top)
    try:
        read = readable(choices_of(top), _said)
        found = completions(top, read, request, stated, partial(_logprobs, request))
        if request.given is not None:
            for each in found:
                if each.logprobs is None:
                    raise MalformedAnswer(
                        "the response has no log-probabilities of its prompt: this server has no echo"
                    )
                each.text, each.finish_reason = request.given, "stop"
    except MalformedAnswer as error:
        raise MalformedAnswer(str(error), stated.usage if stated else None) from None
    return found


def _logprobs(request: Request, choice: dict[str, object]) -> Logprobs | None:
    """The log-probabilities of what was written, or of the text that was given."""
    if request.given is None:
        return choice_logprobs(choice)
    prompt = "\n\n".join(message.content for message in request.messages)
    return echoed_logprobs(choice, prompt, request.given)


def _said(choice: dict[str, object]) -> Said:
    """What a choice says."""
    text = choice.get("text")
    if not isinstance(text, str):
        if isinstance(choice.get("message"), dict):
            return openai_chat.said(choice)  # as chat completions write it
        raise MalformedAnswer("a choice has no text")
    text, thought = split_think(clean(text))
    reasoning, kind = (thought, None) if thought else reasoning_of(choice)
    reasoning = clean(reasoning) if reasoning else None
    return Said(text, reasoning, (kind or "full") if reasoning else kind, reason_of(choice), choice)


DIALECT = Dialect(
    name="openai-completions",
    api="OpenAI's text completions, for base models, spoken by vLLM, SGLang and llama.cpp",
    build=build,
    parse=parse,
    fields=BodyFields(token_limit="max_tokens", replacing_limits=("max_completion_tokens",)),
    streaming=Streaming(assembly=TextChoicesAssembly, ask_usage={"stream_options": {"include_usage": True}}),
    supports_n=True,
    supports_logprobs=True,
    chat=False,
    builtin=True,
    of_students=True,
    scores=True,
)
