"""OpenAI's chat completions, spoken by OpenAI and by nearly every other server.

Reasoning is read from `reasoning_content`, `reasoning` and other fields, thinking parts, `<think>` blocks and channels.
`max_completion_tokens` in `extra_body` or in the teacher's `max_tokens_field` replaces `max_tokens`, which some models reject.
"""

from __future__ import annotations

from collections.abc import Mapping

from engine.teachers.decode import clean
from engine.teachers.dialects.base import BodyFields, Dialect
from engine.teachers.dialects.logprobs import choice_logprobs
from engine.teachers.dialects.reasoning import parts_of, reasoning_of, split_think
from engine.teachers.dialects.shared import (
    Said,
    choices_of,
    completions,
    readable,
    reason_of,
    sampling,
    top_of,
)
from engine.teachers.dialects.streaming import ChoicesAssembly, Streaming
from engine.teachers.dialects.usage import stated_of
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
    top = top_of(payload)
    stated = stated_of(top)
    try:
        read = readable(choices_of(top), said)
    except MalformedAnswer as error:
        raise MalformedAnswer(str(error), stated.usage if stated else None) from None
    return completions(top, read, request, stated, choice_logprobs)


def said(choice: dict[str, object]) -> Said:
    """What a choice says.

    Raises:
        MalformedAnswer: it holds no completion.
    """
    message = choice.get("message")
    if not isinstance(message, dict):
        if not isinstance(choice.get("text"), str):
            raise MalformedAnswer("a choice has no message")
        message = {"content": choice["text"]}  # as text completions write it
    reason = reason_of(choice)
    content, refusal = message.get("content"), message.get("refusal")
    reasoning, kind = reasoning_of(message)
    if isinstance(content, list):
        content, thought, thought_kind = parts_of(content)
        if reasoning is None and thought:
            reasoning, kind = thought, thought_kind
    if isinstance(refusal, str) and refusal and not content:
        content, reason = refusal, "refusal"
    if not content and not reasoning and (message.get("tool_calls") or message.get("function_call")):
        raise MalformedAnswer("a message has only tool calls")
    if content is None and (reasoning or reason in ("length", "content_filter", "refusal")):
        content = ""  # cut off while reasoning, or withheld: a completion all the same
    if not isinstance(content, str):
        raise MalformedAnswer(
            "a message has no text" if content is None else "a message's content is not text"
        )
    text, thought = split_think(clean(content))
    if reasoning is None and thought:
        reasoning, kind = thought, "full"
    return Said(text, clean(reasoning) if reasoning else None, kind, reason, choice)


DIALECT = Dialect(
    name=NAME,
    api="OpenAI's chat completions, spoken by OpenAI and by most other providers and servers",
    build=build,
    parse=parse,
    fields=FIELDS,
    streaming=Streaming(assembly=ChoicesAssembly, ask_usage={"stream_options": {"include_usage": True}}),
    supports_n=True,
    supports_logprobs=True,
    builtin=True,
    of_students=True,
)
