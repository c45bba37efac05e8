"""Helpers of several dialects: sampling parameters, choices, finish reasons, `<think>`, stop strings, usage.

A server's numbers are not trusted: a usage that is missing, negative, not a number or implausible is replaced by an
estimate marked as such, so that spending caps still hold.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import TypeVar

from engine.teachers.apportion import apportion
from engine.teachers.decode import clean
from engine.teachers.dialects.paths import lower, merge
from engine.teachers.failures import MalformedAnswer
from engine.teachers.messages import Request, Usage
from engine.teachers.tokens import estimate_prompt, estimate_tokens

Read = TypeVar("Read")

MAX_TOKENS = 10_000_000
"""A larger usage of one request is implausible."""

_FINISH = {
    "stop": "stop",
    "eos": "stop",
    "eos_token": "stop",
    "end_turn": "stop",
    "stop_sequence": "stop",
    "length": "length",
    "max_tokens": "length",
    "max_output_tokens": "length",
    "model_length": "length",
    "model_context_window_exceeded": "length",
    "content_filter": "content_filter",
    "safety": "content_filter",
    "recitation": "content_filter",
    "refusal": "refusal",
}


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


def choices_of(payload: object) -> tuple[dict[str, object], list[dict[str, object]]]:
    """The response as a dict, and its choices ordered by index.

    Raises:
        MalformedAnswer: there are none.
    """
    payload = top_of(payload)
    choices = payload.get("choices")
    if not isinstance(choices, list) or not choices:
        raise MalformedAnswer(
            "the response reports an error" if payload.get("error") else "the response has no choices"
        )
    good = [choice for choice in choices if isinstance(choice, dict)]
    if len(good) != len(choices):
        raise MalformedAnswer("a choice is not an object")
    if len(good) > 1:
        good.sort(key=lambda choice: index if isinstance(index := choice.get("index"), int) else 0)
    return payload, good


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


def finish(reason: object) -> str:
    """`stop`, `length`, `content_filter`, `refusal`, or the API's own word; `unknown` if there is none."""
    if not isinstance(reason, str) or not reason:
        return "unknown"
    return _FINISH.get(reason.lower()) or clean(reason[:64])


def split_think(text: str) -> tuple[str, str | None]:
    """Text without a leading `<think>` block, and the block; an unclosed block takes all of the text."""
    head, closed, tail = text.partition("</think>")
    start = head.lstrip()
    if start.startswith("<think>"):
        thought = start.removeprefix("<think>").strip()
        return (tail.lstrip() if closed else ""), thought or None
    if closed and "<think>" not in head:  # the opening tag was in the prompt
        return tail.lstrip(), head.strip() or None
    return text, None


def cut_at(text: str, stops: Iterable[str]) -> tuple[str, bool]:
    """The text before the first of `stops`, for APIs without stop strings, and whether there was one."""
    at = min((found for stop in stops if stop and (found := text.find(stop)) >= 0), default=-1)
    return (text, False) if at < 0 else (text[:at], True)


def plain(value: object) -> str | None:
    """A string that can be stored; None if it is empty or not a string."""
    return clean(value) if isinstance(value, str) and value else None


def usage_of(top: dict[str, object], request: Request, texts: list[str]) -> Usage:
    """The usage of the whole response, or an estimate from the texts."""
    usage = top.get("usage")
    if not isinstance(usage, dict):
        return settled(request, texts)
    prompt, completion = count(usage, "prompt_tokens"), count(usage, "completion_tokens")
    total = count(usage, "total_tokens")
    if prompt is not None and total is not None and total >= prompt + (completion or 0):
        # Completion tokens may be missing, or leave out reasoning tokens, which are in the total and billed (xAI, Gemini).
        completion = total - prompt
    cached = count(usage, "prompt_tokens_details", "cached_tokens")
    return settled(
        request,
        texts,
        prompt=prompt,
        completion=completion,
        cached=count(usage, "prompt_cache_hit_tokens") if cached is None else cached,
        cache_write=count(usage, "prompt_tokens_details", "cache_write_tokens"),
        reasoning=count(usage, "completion_tokens_details", "reasoning_tokens"),
    )


def settled(
    request: Request,
    texts: list[str],
    *,
    prompt: int | None = None,
    completion: int | None = None,
    cached: int | None = None,
    cache_write: int | None = None,
    reasoning: int | None = None,
) -> Usage:
    """The usage if prompt and completion tokens are known, else an estimate from the texts."""
    if prompt is not None and completion is not None:
        return Usage(
            prompt_tokens=prompt,
            completion_tokens=completion,
            cached_tokens=(read := min(cached or 0, prompt)),
            cache_write_tokens=min(cache_write or 0, prompt - read),
            reasoning_tokens=min(reasoning or 0, completion),
        )
    return Usage(
        prompt_tokens=estimate_prompt(request),
        completion_tokens=sum(estimate_tokens(text) for text in texts),
        estimated=True,
    )


def count(usage: dict[str, object], *path: str) -> int | None:
    """A plausible number of tokens at `path`, else None."""
    value: object = usage
    for name in path:
        value = value.get(name) if isinstance(value, dict) else None
    if value is None:
        return None
    if isinstance(value, float) and value.is_integer() and abs(value) < 1e15:
        value = int(value)
    if isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= MAX_TOKENS:
        return value
    return None


def share(usage: Usage, texts: list[str]) -> list[Usage]:
    """Splits `usage` among the choices of one response, so that the parts add up exactly to what is billed.

    The shared prompt is split evenly, completion tokens by the length of `texts`, since APIs report only their sum.
    """
    if len(texts) == 1:
        return [usage]
    even = [1] * len(texts)
    lengths = [estimate_tokens(text) for text in texts]
    prompt = apportion(usage.prompt_tokens, even)
    completion = apportion(usage.completion_tokens, lengths)
    return [
        Usage(
            prompt_tokens=part,
            completion_tokens=tokens,
            cached_tokens=cached,
            cache_write_tokens=written,
            reasoning_tokens=reasoning,
            estimated=usage.estimated,
        )
        for part, tokens, cached, written, reasoning in zip(
            prompt,
            completion,
            apportion(usage.cached_tokens, prompt),
            apportion(usage.cache_write_tokens, prompt),
            apportion(usage.reasoning_tokens, completion),
            strict=True,
        )
    ]
