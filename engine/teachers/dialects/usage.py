"""The usage that a response states: tokens in every form that providers use, and dollars.

A server's numbers are not trusted: a usage that is missing, negative, not a number or implausible is replaced by an
estimate marked as such, so that spending caps still hold.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

from engine.teachers.apportion import apportion
from engine.teachers.messages import Request, Usage
from engine.teachers.tokens import estimate_prompt, estimate_tokens

MAX_TOKENS = 10_000_000
"""A larger usage of one request is implausible."""
MAX_USD = 10_000.0
"""A larger cost of one request is implausible."""
TICKS = 1e10
"""xAI states a cost in ticks: this many are a dollar."""

_CACHED = (
    ("prompt_tokens_details", "cached_tokens"),
    ("input_tokens_details", "cached_tokens"),
    ("prompt_cache_hit_tokens",),
    ("cached_tokens",),
    ("cache_read_input_tokens",),
    ("cache_read_tokens",),
)
_WRITTEN = (
    ("prompt_tokens_details", "cache_write_tokens"),
    ("prompt_tokens_details", "cache_creation_tokens"),
    ("input_tokens_details", "cache_write_tokens"),
    ("cache_creation_input_tokens",),
    ("cache_write_tokens",),
)
_REASONING = (
    ("completion_tokens_details", "reasoning_tokens"),
    ("output_tokens_details", "reasoning_tokens"),
    ("reasoning_tokens",),
)
_PLAIN = frozenset({"prompt_tokens", "completion_tokens", "total_tokens"})


@dataclass(frozen=True, slots=True)
class Stated:
    """A usable usage of a response, and the tokens that its token limit counts."""

    usage: Usage
    limited: int


def stated_of(top: Mapping[str, object]) -> Stated | None:
    """The usage of a response with choices; None if it states none that is usable."""
    usage = top.get("usage")
    if not isinstance(usage, dict):
        groq = top.get("x_groq")  # Groq's streams
        usage = groq.get("usage") if isinstance(groq, dict) else None
        if not isinstance(usage, dict):
            return None
    prompt, completion = count(usage, "prompt_tokens"), count(usage, "completion_tokens")
    total = count(usage, "total_tokens")
    if prompt is not None and completion is not None and usage.keys() <= _PLAIN:
        if total is None or total == prompt + completion:
            return Stated(Usage(prompt_tokens=prompt, completion_tokens=completion), completion)
    prompt = count(usage, "input_tokens") if prompt is None else prompt
    completion = count(usage, "output_tokens") if completion is None else completion
    if prompt is None and completion is not None and total is not None and total >= completion:
        prompt = total - completion
    if prompt is None:
        return None
    if completion is None:
        if total is None or total < prompt:
            return None
        completion = total - prompt
    limited = completion
    cached, written, reasoning = (_most(usage, places) for places in (_CACHED, _WRITTEN, _REASONING))
    prompt, completion = _whole(prompt, completion, total, (cached, written), reasoning)
    return Stated(_usage(prompt, completion, cached, written, reasoning, cost_of(top)), limited)


def _whole(
    prompt: int, completion: int, total: int | None, cache: tuple[int, int], reasoning: int
) -> tuple[int, int]:
    """Prompt and completion tokens with what the server counts beside them: the cache (Portkey), reasoning (xAI, Gemini).

    Both are billed. The total shows what is missing; without one, a part cannot be more than its whole.
    """
    apart = sum(cache)
    gap = 0 if total is None else max(0, total - prompt - completion)
    if apart and gap and gap != reasoning:
        for part in (apart, *cache):
            if part and gap in (part, part + reasoning):
                prompt, gap, apart = prompt + part, gap - part, 0
                break
    if apart > prompt:
        prompt += apart
        gap = max(0, gap - apart)
    return prompt, max(completion + gap, completion + reasoning if reasoning > completion + gap else 0)


def settled(
    request: Request,
    texts: list[str],
    *,
    prompt: int | None = None,
    completion: int | None = None,
    cached: int | None = None,
    cache_write: int | None = None,
    reasoning: int | None = None,
    cost_usd: float | None = None,
) -> Usage:
    """The usage if prompt and completion tokens are known, else an estimate from the texts."""
    if prompt is not None and completion is not None:
        return known(prompt, completion, cached or 0, cache_write or 0, reasoning or 0, cost_usd)
    return Usage(
        prompt_tokens=estimate_prompt(request),
        completion_tokens=sum(estimate_tokens(text) for text in texts),
        estimated=True,
    )


def known(
    prompt: int, completion: int, cached: int, written: int, reasoning: int, cost_usd: float | None
) -> Usage:
    """A stated usage; parts that exceed their whole are taken to be beside it."""
    prompt, completion = _whole(prompt, completion, None, (cached, written), reasoning)
    return _usage(prompt, completion, cached, written, reasoning, cost_usd)


def _usage(
    prompt: int, completion: int, cached: int, written: int, reasoning: int, cost_usd: float | None
) -> Usage:
    return Usage(
        prompt_tokens=prompt,
        completion_tokens=completion,
        cached_tokens=(read := min(cached, prompt)),
        cache_write_tokens=min(written, prompt - read),
        reasoning_tokens=min(reasoning, completion),
        cost_usd=cost_usd,
    )


def count(usage: Mapping[str, object], *path: str) -> int | None:
    """A plausible number of tokens at `path`, else None; a string of digits is a number too."""
    value: object = usage
    for name in path:
        value = value.get(name) if isinstance(value, Mapping) else None
    if value is None:
        return None
    if isinstance(value, str) and value.isascii() and value.isdigit() and len(value) < 12:
        value = int(value)
    elif isinstance(value, float) and value.is_integer() and abs(value) < 1e15:
        value = int(value)
    if isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= MAX_TOKENS:
        return value
    return None


def _most(usage: Mapping[str, object], places: tuple[tuple[str, ...], ...]) -> int:
    """The largest number at any of the places: a server that knows both names may fill only one."""
    return max(count(usage, *place) or 0 for place in places)


def cost_of(top: Mapping[str, object]) -> float | None:
    """The dollars that a response says it cost; None if it says nothing of the kind.

    OpenRouter's credits are dollars; with your own key at the upstream provider, that one bills the rest. LiteLLM
    and Vercel state `usage.cost` in dollars too, Perplexity a table with the total, xAI ticks. A cost of 0 counts only
    beside its explanation: elsewhere it may stand for an unknown price. An estimate (DeepInfra's) is no bill, nor are
    amounts of another currency.
    """
    usage = top.get("usage")
    if not isinstance(usage, Mapping):
        return None
    ticks = dollars(usage.get("cost_in_usd_ticks"), most=MAX_USD * TICKS)
    if ticks is not None:
        return ticks / TICKS
    stated = usage.get("cost")
    if isinstance(stated, Mapping):
        return _positive(dollars(stated.get("total_cost"))) if _in_dollars(stated, usage, top) else None
    if stated is None:
        stated = next((usage[name] for name in ("cost_usd", "total_cost_usd") if name in usage), None)
    cost = dollars(stated)
    if cost is None or not _in_dollars(usage, top):
        return None
    details = usage.get("cost_details")
    if usage.get("is_byok") is True:
        upstream = dollars(details.get("upstream_inference_cost")) if isinstance(details, Mapping) else None
        return None if upstream is None else cost + upstream
    explained = isinstance(details, Mapping) or usage.get("is_byok") is False
    return cost if explained else _positive(cost)


def _in_dollars(*tables: Mapping[str, object]) -> bool:
    """Whether no table names another currency."""
    named = (table.get(name) for table in tables for name in ("currency", "cost_currency"))
    return all(value is None or str(value).upper() in ("USD", "CREDITS") for value in named)


def dollars(value: object, most: float = MAX_USD) -> float | None:
    """A plausible amount: finite, not negative, not absurd."""
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return None
    try:
        amount = float(value)
    except (ValueError, OverflowError):
        return None
    return amount if math.isfinite(amount) and 0 <= amount <= most else None


def _positive(amount: float | None) -> float | None:
    return amount or None


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
            cost_usd=cost,
        )
        for part, tokens, cached, written, reasoning, cost in zip(
            prompt,
            completion,
            apportion(usage.cached_tokens, prompt),
            apportion(usage.cache_write_tokens, prompt),
            apportion(usage.reasoning_tokens, completion),
            _costs(usage.cost_usd, prompt, completion),
            strict=True,
        )
    ]


def _costs(cost: float | None, prompt: list[int], completion: list[int]) -> list[float | None]:
    """A cost, split by all tokens of each choice."""
    if cost is None:
        return [None] * len(prompt)
    weights = [first + second for first, second in zip(prompt, completion, strict=True)]
    whole = sum(weights)
    return [cost * weight / whole if whole else cost / len(weights) for weight in weights]
