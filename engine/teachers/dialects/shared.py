"""Helpers of several dialects: sampling parameters, choices, stop strings, and what a choice becomes."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import TypeVar

from engine.teachers.decode import clean
from engine.teachers.dialects.finish import broken_off, finish
from engine.teachers.dialects.paths import lower, merge
from engine.teachers.dialects.usage import Stated, count, settled, share
from engine.teachers.failures import MalformedAnswer
from engine.teachers.messages import FINISH_REASONS, Completion, ReasoningKind, Request
from state.logprobs import Logprobs

__all__ = [
    "REPORTED",
    "Said",
    "choices_of",
    "completions",
    "count",
    "cut_at",
    "heed",
    "objects",
    "plain",
    "readable",
    "reason_of",
    "sampling",
    "settled",
    "share",
    "top_of",
    "unbroken",
]

Read = TypeVar("Read")

REPORTED = "the response reports an error"
_UNSAID = ("stop", "unknown")
_WHOLE = frozenset({"stop", "length", "content_filter", "refusal"})


def sampling(body: dict[str, object], request: Request, extra_body: Mapping[str, object]) -> None:
    """Adds the sampling parameters that are set, then `extra_body`, which wins except for the token limit."""
    if "max_completion_tokens" not in extra_body:
        body["max_tokens"] = request.max_tokens
    if request.temperature is not None:
        body["temperature"] = request.temperature
    if request.top_p is not None:
        body["top_p"] = request.top_p
    if request.stop:
        body["stop"] = list(request.stop)
    if request.seed is not None:
        body["seed"] = request.seed
    if request.n != 1:
        body["n"] = request.n
    merge(body, extra_body)
    lower(body, "max_completion_tokens", request.max_tokens)  # a second turn reserves less than the first


def top_of(payload: object) -> dict[str, object]:
    """The response as a dict.

    Raises:
        MalformedAnswer: it is not an object.
    """
    if not isinstance(payload, dict):
        kind = "null" if payload is None else type(payload).__name__
        raise MalformedAnswer(f"the response is {kind}, not an object")
    return payload


def objects(value: object, what: str) -> list[dict[str, object]]:
    """A list of objects, such as the blocks of a message; null is an empty list.

    Raises:
        MalformedAnswer: it is not; `what` names it in the message.
    """
    if value is None:
        return []
    if not isinstance(value, list) or not all(isinstance(item, dict) for item in value):
        raise MalformedAnswer(f"{what} is not a list of objects")
    return value


def choices_of(payload: dict[str, object]) -> list[dict[str, object]]:
    """The choices of a response, ordered by index.

    Raises:
        MalformedAnswer: there are none.
    """
    choices = payload.get("choices")
    if not isinstance(choices, list) or not choices:
        raise MalformedAnswer(REPORTED if payload.get("error") else "the response has no choices")
    good = [choice for choice in choices if isinstance(choice, dict)]
    if len(good) != len(choices):
        raise MalformedAnswer("a choice is not an object")
    if payload.get("error") and not all(finish(each.get("finish_reason")) in _WHOLE for each in good):
        raise MalformedAnswer(REPORTED)  # an error after a part of the answer
    if len(good) > 1:
        good.sort(key=lambda choice: index if isinstance(index := choice.get("index"), int) else 0)
    return good


def readable(choices: list[dict[str, object]], read: Callable[[dict[str, object]], Read]) -> list[Read]:
    """Each choice as parsed by `read`; if there are several, those that cannot be read are left out.

    Raises:
        MalformedAnswer: none can be read.
    """
    found: list[Read] = []
    last: MalformedAnswer | None = None
    for choice in choices:
        try:
            found.append(read(choice))
        except MalformedAnswer as error:
            last = error
    if last is not None and not found:
        raise last
    return found


def cut_at(text: str, stops: Iterable[str]) -> tuple[str, bool]:
    """The text before the first of `stops`, for APIs without stop strings, and whether there was one."""
    at = min((found for stop in stops if stop and (found := text.find(stop)) >= 0), default=-1)
    return (text, False) if at < 0 else (text[:at], True)


def plain(value: object) -> str | None:
    """A string that can be stored; None if it is empty or not a string."""
    return clean(value) if isinstance(value, str) and value else None


@dataclass(slots=True)
class Said:
    """A choice as it was read."""

    text: str
    reasoning: str | None
    kind: ReasoningKind | None
    finish: str
    choice: dict[str, object]


def reason_of(choice: dict[str, object]) -> str:
    """The finish reason of a choice that is an answer.

    Raises:
        MalformedAnswer: the choice reports an error, or the server broke it off.
    """
    if choice.get("error"):
        raise MalformedAnswer(REPORTED)
    given = choice.get("finish_reason")
    if given == "stop":
        return "stop"
    return unbroken(finish(given))


def unbroken(reason: str) -> str:
    """A finish reason, unless it says that the server broke the answer off.

    Raises:
        MalformedAnswer: it does.
    """
    if reason not in FINISH_REASONS and broken_off(reason):
        word = reason if reason.isascii() and reason.isprintable() else "an error"
        raise MalformedAnswer(f"the server broke the answer off: {word}")
    return reason


def completions(
    top: dict[str, object],
    read: list[Said],
    request: Request,
    stated: Stated | None,
    logprobs: Callable[[dict[str, object]], Logprobs | None],
) -> list[Completion]:
    """The completions of a response with choices, which share its usage.

    Raises:
        MalformedAnswer: nothing was said, at no cost.
    """
    texts = [each.text + (each.reasoning or "") for each in read]
    usage = settled(request, texts) if stated is None else stated.usage
    if stated is not None:
        heed(stated, request, read, texts)
    model, provider_id = top.get("model"), top.get("id")
    return [
        Completion(
            text=each.text,
            usage=part,
            finish_reason=each.finish,
            reasoning=each.reasoning,
            reasoning_kind=each.kind or ("hidden" if usage.reasoning_tokens else None),
            model=clean(model) if isinstance(model, str) else "",
            provider_id=clean(provider_id) if isinstance(provider_id, str) else None,
            logprobs=logprobs(each.choice) if request.logprobs else None,
        )
        for each, part in zip(read, share(usage, texts), strict=True)
    ]


def only_completion(
    top: dict[str, object],
    said: Said,
    request: Request,
    stated: Stated | None,
    logprobs: Callable[[dict[str, object]], Logprobs | None] = lambda _: None,
) -> Completion:
    """The completion of a response that has one, cut at the first stop string.

    Raises:
        MalformedAnswer: nothing was said, at no cost.
    """
    (found,) = completions(top, [said], request, stated, logprobs)
    found.text, stopped = cut_at(found.text, request.stop)
    if stopped:
        found.finish_reason = "stop"
    return found


def heed(stated: Stated, request: Request, read: list[Said], texts: list[str]) -> None:
    """Checks choices against the usage that a response states.

    An empty reply that cost no completion token is none: asked again, most models answer. Choices that took all the
    tokens they were allowed are cut off, whatever the server says.

    Raises:
        MalformedAnswer: every reply is empty, at no cost.
    """
    limited = stated.limited
    if limited == 0 and not any(texts) and all(each.finish in _UNSAID for each in read):
        raise MalformedAnswer("the reply is empty", stated.usage)
    if limited >= request.max_tokens * max(request.n, len(read)):
        for each in read:
            if each.finish in _UNSAID:
                each.finish = "length"
