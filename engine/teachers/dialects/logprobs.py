"""Log-probabilities as OpenAI's APIs send them.

A completion whose log-probabilities are missing or invalid has none; its text, which was paid for, is kept.
"""

from __future__ import annotations

import itertools
import math

from engine.teachers.decode import clean
from state.logprobs import Logprobs

MOST_TOP = 20

Entry = tuple[str, float]


def choice_logprobs(choice: dict[str, object]) -> Logprobs | None:
    """Those of a choice, in either form: some servers send that of the other API."""
    given = choice.get("logprobs")
    if isinstance(given, list):
        return chat_logprobs({"logprobs": {"content": given}})
    if isinstance(given, dict) and given.get("content"):
        return chat_logprobs(choice)
    return plain_logprobs(choice)


def chat_logprobs(choice: dict[str, object]) -> Logprobs | None:
    """Those of a chat completion's choice: `logprobs.content`, one object per token with its `top_logprobs`."""
    given = choice.get("logprobs")
    content = given.get("content") if isinstance(given, dict) else None
    if not isinstance(content, list) or not content:
        return None
    chosen = [_entry(item) for item in content]
    top = [_entries(item.get("top_logprobs") if isinstance(item, dict) else None) for item in content]
    return _whole(chosen, top)


def part_logprobs(parts: list[dict[str, object]]) -> Logprobs | None:
    """Those of a response's text parts in order: `logprobs`, one object per token with its `top_logprobs`."""
    content = [item for part in parts if isinstance(listed := part.get("logprobs"), list) for item in listed]
    return chat_logprobs({"logprobs": {"content": content}})


def plain_logprobs(choice: dict[str, object]) -> Logprobs | None:
    """Those of a text completion's choice: parallel lists `tokens`, `token_logprobs`, `top_logprobs` (token to value)."""
    given = choice.get("logprobs")
    if not isinstance(given, dict):
        return None
    tokens, values, tops = (given.get(name) for name in ("tokens", "token_logprobs", "top_logprobs"))
    if (
        not isinstance(tokens, list)
        or not isinstance(values, list)
        or len(tokens) != len(values)
        or not tokens
    ):
        return None
    chosen = [_entry({"token": token, "logprob": value}) for token, value in zip(tokens, values, strict=True)]
    listed = tops if isinstance(tops, list) and len(tops) == len(tokens) else [None] * len(tokens)
    top = [
        _entries([{"token": token, "logprob": value} for token, value in each.items()])
        if isinstance(each, dict)
        else ()
        for each in listed
    ]
    return _whole(chosen, top)


def echoed_logprobs(choice: dict[str, object], prompt: str, given: str) -> Logprobs | None:
    """Those of a text that was given behind a prompt and sent back with it; None where it cannot be told which they are.

    A token that begins in the prompt and ends in the text is one of the text.
    """
    told = choice.get("logprobs")
    tokens = told.get("tokens") if isinstance(told, dict) else None
    if (
        not isinstance(told, dict)
        or not isinstance(tokens, list)
        or not all(isinstance(each, str) for each in tokens)
    ):
        return None
    joined, offsets = "".join(tokens), list(itertools.accumulate(map(len, tokens), initial=0))[:-1]
    start = joined.find(prompt + given)
    if start < 0:  # tokens that are parts of a character: the server says where they are
        listed = told.get("text_offset")
        if (
            not isinstance(listed, list)
            or len(listed) != len(tokens)
            or not all(isinstance(each, int) for each in listed)
        ):
            return None
        start, offsets = 0, listed
    begin, end = start + len(prompt), start + len(prompt) + len(given)
    kept = [
        at
        for at, (offset, token) in enumerate(zip(offsets, tokens, strict=True))
        if offset < end and (offset >= begin or offset + len(token) > begin)
    ]
    parts = {
        name: [listed[at] for at in kept]
        for name in ("tokens", "token_logprobs", "top_logprobs")
        if isinstance(listed := told.get(name), list) and len(listed) == len(tokens)
    }
    return plain_logprobs({"logprobs": parts})


def _whole(chosen: list[Entry | None], top: list[tuple[Entry, ...]]) -> Logprobs | None:
    good = [entry for entry in chosen if entry is not None]
    if len(good) != len(chosen):
        return None
    return Logprobs(tuple(token for token, _ in good), tuple(value for _, value in good), tuple(top))


def _entries(items: object) -> tuple[Entry, ...]:
    """The valid alternatives, at most as many as can be requested."""
    if not isinstance(items, list):
        return ()
    return tuple(entry for item in items[:MOST_TOP] if (entry := _entry(item)) is not None)


def _entry(item: object) -> Entry | None:
    """A token and its value, which is at most 0 apart from rounding."""
    if not isinstance(item, dict):
        return None
    token, value = _text(item), item.get("logprob")
    if not isinstance(token, str) or isinstance(value, bool) or not isinstance(value, int | float):
        return None
    try:
        number = float(value)
    except OverflowError:
        return None
    return (clean(token), number) if math.isfinite(number) and number <= 0.01 else None


def _text(item: dict[str, object]) -> object:
    """The token's text. llama.cpp leaves out the bytes that are no whole character: then it is read from the bytes."""
    token, raw = item.get("token"), item.get("bytes")
    if not isinstance(token, str) or not isinstance(raw, list) or token.startswith("bytes:"):
        return token
    try:
        found = bytes(raw).decode("utf-8", "replace")
    except (TypeError, ValueError):
        return token
    return found if "\ufffd" in found else token
