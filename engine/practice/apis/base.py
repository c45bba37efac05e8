"""What an API of the built-in teacher is, a request in a form that all of them share, and checks of fields.

A server that is pointed at by other people's clients accepts what they send: a field that is not known here is ignored,
as most providers do. A field that is known and wrong is refused.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from engine.practice.rate_limits import Level

MOST_CHOICES = 128
MOST_TOP = 20
MOST_TOKENS = 1_000_000
MOST_STOPS = 4

Json = dict[str, Any]


class Refusal(Exception):
    """A request that is answered with an error; each provider has its own form for it.

    `kind` is the error's type; by default the provider's type for the status.
    """

    def __init__(
        self, status: int, message: str, code: str | None = None, param: str | None = None, kind: str = ""
    ) -> None:
        super().__init__(message)
        self.status = status
        self.message = message
        self.code = code
        self.param = param
        self.kind = kind


@dataclass(frozen=True, kw_only=True, slots=True)
class Body:
    """A valid request; `n` completions of each prompt are requested."""

    model: str
    prompts: tuple[str, ...]
    max_tokens: int
    fields: Mapping[str, Any]
    """The request as it came: some responses repeat parts of it."""
    chat: bool = True
    n: int = 1
    temperature: float = 1.0
    seed: int | None = None
    stop: tuple[str, ...] = ()
    logprobs: int | None = None
    """Number of alternatives for each token; None: no log-probabilities."""
    replicates: tuple[int, ...] = ()
    """Which completions of the prompt a daemon asks for; else they are counted."""
    stream: bool = False
    stream_usage: bool = False
    """Whether a stream ends with the usage, in APIs that leave this to the client."""


@dataclass(frozen=True, slots=True)
class Choice:
    """One completion, after limits and stop strings were applied; `stopped_by` is the stop string that ended it."""

    text: str
    tokens: int
    finish_reason: str
    stopped_by: str = ""


@dataclass(frozen=True, kw_only=True, slots=True)
class Provider:
    """What the APIs of one provider share."""

    error: Callable[[Refusal], bytes]
    """The body of an error."""
    models: Callable[[Sequence[str]], Json]
    """The list of the models with these names."""
    model: Callable[[str], Json]
    """One model."""
    limit_headers: Callable[[Iterable[Level]], dict[str, str]]
    """The headers of the rate limits."""
    request_id_header: str
    quota: Refusal
    """What a request gets when the money is used up."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Api:
    """One API: its path, and the forms of its requests, responses and streams."""

    name: str
    """The path under the base URL, without the slash in front."""
    provider: Provider
    read: Callable[[Json], Body]
    """Checks a request; raises `Refusal` with the reason."""
    write: Callable[[Body, Sequence[Choice], int, int], Json]
    """`write(body, choices, prompt_tokens, number)` is the response; the number makes its id."""
    stream: Callable[[Body, Sequence[Choice], int, int], list[bytes]]
    """The same response as the events of a stream."""
    error_event: Callable[[Refusal], bytes]
    """An error in the middle of a stream."""
    prompt_field: str
    """The field of a request that holds the prompt."""
    contents_field: str
    """The field of a response that holds the completions."""

    @property
    def path(self) -> str:
        """The path under the base URL."""
        return f"/{self.name}"


def parse_object(raw: bytes) -> Json:
    """A request's body as an object.

    Raises:
        Refusal: 400, it is none.
    """
    try:
        data = json.loads(raw)
    except (ValueError, RecursionError):
        raise Refusal(400, "We could not parse the JSON body of your request.") from None
    if not isinstance(data, dict):
        raise Refusal(400, "The body must be a JSON object.")
    return data


def event(data: Mapping[str, Any], name: str = "") -> bytes:
    """A server-sent event."""
    head = f"event: {name}\n" if name else ""
    return f"{head}data: {json.dumps(data)}\n\n".encode()


def in_turn(streams: Iterable[Sequence[bytes]]) -> list[bytes]:
    """The events of several completions, one of each in turn, as servers send those that they make at the same time."""
    lists = list(streams)
    longest = max(map(len, lists), default=0)
    return [events[at] for at in range(longest) for events in lists if at < len(events)]


# Checks of fields


def model_of(data: Json) -> str:
    """The model's name."""
    model = data.get("model")
    if not isinstance(model, str) or not model:
        raise Refusal(400, "you must provide a model parameter", param="model")
    return model


def number(data: Json, name: str, default: int, low: int, high: int) -> int:
    """A whole number between bounds."""
    value = data.get(name)
    if value is None:
        return default
    if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high:
        raise Refusal(
            400, f"'{name}' must be a whole number from {low} to {high}, got {value!r:.80}.", param=name
        )
    return value


def flag(data: Json, name: str) -> bool:
    """True or false; unset is false."""
    value = data.get(name)
    if value not in (None, True, False):
        raise Refusal(400, f"'{name}' must be true or false, got {value!r:.80}.", param=name)
    return bool(value)


def temperature(data: Json, high: int = 2) -> float:
    """The temperature; unset is 1."""
    value = data.get("temperature")
    if value is None:
        return 1.0
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= high:
        raise Refusal(
            400, f"'temperature' must be a number from 0 to {high}, got {value!r:.80}.", param="temperature"
        )
    return float(value)


def stops(value: object, name: str, most: int = MOST_STOPS) -> tuple[str, ...]:
    """Stop strings: one, or a list of them."""
    words = [value] if isinstance(value, str) else [] if value is None else value
    if not isinstance(words, list) or len(words) > most or not all(isinstance(w, str) and w for w in words):
        raise Refusal(400, f"'{name}' must be a string or a list of at most {most} strings.", param=name)
    return tuple(words)


def content_text(value: object, where: str, kinds: Mapping[str, str]) -> str:
    """The text of a message's content: a string, or a list of parts.

    Args:
        value: the content.
        where: its place in the request, for the message of a refusal.
        kinds: the types of parts that can be read, each with its field that holds the text; empty for parts without text.
    """
    if isinstance(value, str):
        return value
    if isinstance(value, list):
        texts: list[str] = []
        for part in value:
            kind = part.get("type") if isinstance(part, dict) else None
            if not isinstance(kind, str) or kind not in kinds:
                break
            text = part.get(kinds[kind])
            texts.append(text if isinstance(text, str) else "")
        else:
            return "".join(texts)
    raise Refusal(400, f"{where}.content: expected a string or a list of text parts.", param=where)
