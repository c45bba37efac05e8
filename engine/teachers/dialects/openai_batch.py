"""OpenAI's Batch API: chat completions as the lines of a file, at half the price, within 24 hours.

Request and response bodies are those of `openai-chat`. A stored response of this dialect is a whole line of the output
file. Files and batches themselves are in `engine/teachers/batch_api.py`.
"""

from __future__ import annotations

from engine.teachers.dialects import openai_chat
from engine.teachers.dialects.base import BatchSettings, Dialect
from engine.teachers.messages import Completion, Request


def parse(payload: object, request: Request) -> list[Completion]:
    """The completions in a line of an output file, or in a plain chat completion.

    Raises:
        MalformedAnswer: the payload is neither.
    """
    return openai_chat.parse(body_of(payload), request)


def body_of(payload: object) -> object:
    """The body within a line of an output file; any other payload unchanged."""
    if isinstance(payload, dict) and "custom_id" in payload and isinstance(payload.get("response"), dict):
        return payload["response"].get("body")
    return payload


DIALECT = Dialect(
    name="openai-batch",
    api="OpenAI's Batch API: files of chat completions, answered within 24 hours at a discount",
    build=openai_chat.build,
    parse=parse,
    fields=openai_chat.FIELDS,
    transport="batches",
    settings=BatchSettings,
    supports_logprobs=True,
    builtin=True,
    same_samples_as=openai_chat.NAME,
)
