"""Rate limits in response headers: `Retry-After` in its forms, `x-ratelimit-*`, `anthropic-ratelimit-*`.

Headers that name neither what they count nor the period (`x-ratelimit-remaining`, the IETF draft's
`ratelimit-remaining`) state no limit. That nothing remains, and until when, means the same in any unit, so that is used.

Headers are untrusted: unreadable, negative, NaN or infinite values are ignored, and long waits are capped at
`MAX_WAIT_S`. All results are durations; no clock is read here.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

from multidict import istr

MAX_WAIT_S = 3600.0
"""Maximum wait that a header can cause."""
DAY_S = 24 * 3600.0
"""Maximum wait for a limit per day."""

UNNAMED_WAIT_S = 60.0
"""Maximum wait for a number whose unit is unknown."""

_DURATION = re.compile(r"(\d+(?:\.\d+)?)(ms|s|m|h|d)")
_UNIT_S = {"milli": 0.001, "ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
_TIME = r"((?:\d{1,9}(?:\.\d{1,9})? ?(?:milli|ms|s|m|h|d)[a-z]*[ ,]{0,2}(?:and )?){1,4})"
_WAITS = tuple(
    re.compile(words + _TIME, re.IGNORECASE)
    for words in (
        r"(?:try again|retry(?:ing)?(?: again)?|available(?: again)?|resets?) (?:in|after) ",
        r"\b(?:wait|backoff|back off)(?: (?:for|at least|about))? ",
        r"\bevery ",
        r"\b(?:in|after) ",
    )
)
"""How messages say how long to wait, the surest words first."""
_PIECE = re.compile(r"(\d{1,9}(?:\.\d{1,9})?) ?(milli|ms|s|m|h|d)", re.IGNORECASE)

_RATE_NAMES = [  # header and field, one list per naming scheme
    [
        (istr(form.format(what, field)), f"{what}_{field}" + ("_s" if field == "reset" else ""))
        for what in ("requests", "tokens")
        for field in ("limit", "remaining", "reset")
    ]
    for form in ("x-ratelimit-{1}-{0}", "anthropic-ratelimit-{0}-{1}")
]
_RATE_NAMES[1] += [  # Anthropic counts prompt and completion tokens separately
    (
        istr(f"anthropic-ratelimit-{what}-tokens-{field}"),
        f"{what}_{field}" + ("_s" if field == "reset" else ""),
    )
    for what in ("input", "output")
    for field in ("limit", "remaining", "reset")
]
_RATE_NAMES += [  # Mistral counts requests and tokens per minute, without a reset
    [
        (istr(f"x-ratelimit-{field}-{short}-minute"), f"{what}_{field}")
        for what, short in (("requests", "req"), ("tokens", "tokens"))
        for field in ("limit", "remaining")
    ]
]
_UNNAMED = [(istr(f"{form}-remaining"), istr(f"{form}-reset")) for form in ("x-ratelimit", "ratelimit")]


@dataclass(kw_only=True, slots=True)
class RateHeaders:
    """Limits per minute as stated by the server; None if not stated. `input` and `output` are kinds of tokens."""

    requests_limit: float | None = None
    requests_remaining: float | None = None
    requests_reset_s: float | None = None
    tokens_limit: float | None = None
    tokens_remaining: float | None = None
    tokens_reset_s: float | None = None
    input_limit: float | None = None
    input_remaining: float | None = None
    input_reset_s: float | None = None
    output_limit: float | None = None
    output_remaining: float | None = None
    output_reset_s: float | None = None


def retry_after(
    headers: Mapping[str, str], wall: float, text: str = "", most: float = MAX_WAIT_S, *, limit: bool = True
) -> float | None:
    """Seconds to wait, from 0 to `most`, or None if nothing usable is stated.

    Args:
        headers: response headers, looked up without regard to case (a CIMultiDict).
        wall: Unix time in seconds, for dates of a server that does not send its own time (`Date`).
        text: an error message; "Please try again in 1m2.5s" and the like is used if no header helps.
        most: the maximum wait.
        limit: the text is about a limit; in others "after 30 s" is no request to wait.
    """
    milliseconds = number(headers.get("retry-after-ms"))
    if milliseconds is not None:
        return min(milliseconds / 1000, most)
    value = headers.get("retry-after")
    if value is not None:
        seconds = number(value)
        if seconds is None and _is_date(value):
            seconds = _until(value, _server_time(headers, wall))
        if seconds is not None:
            return min(seconds, most)
    for words in _WAITS if limit else _WAITS[:2]:
        if match := words.search(text):
            return min(
                sum(float(amount) * _UNIT_S[unit.lower()] for amount, unit in _PIECE.findall(match[1])), most
            )
    return None


def rate_headers(headers: Mapping[str, str], wall: float) -> RateHeaders | None:
    """The limits in `headers`, or None."""
    if not any("ratelimit" in name.lower() for name in headers):  # most servers state none
        return None
    for names in _RATE_NAMES:
        found: dict[str, float | None] = {}
        for name, field in names:
            value = headers.get(name)
            if value is not None:
                found[field] = _reset(value, headers, wall) if field.endswith("reset_s") else number(value)
        if found:
            return RateHeaders(**found)
    for remaining, reset in _UNNAMED:
        if number(headers.get(remaining)) == 0 and (until := headers.get(reset)) is not None:
            reset_s = _reset(until, headers, wall)
            return RateHeaders(
                requests_remaining=0.0,
                requests_reset_s=None if reset_s is None else min(reset_s, UNNAMED_WAIT_S),
            )
    return None


def until_reset(headers: Mapping[str, str], wall: float, most: float) -> float | None:
    """Seconds until a limit resets by `Retry-After` or an unnamed reset, of headers that a gateway repeats in its body."""
    told = retry_after(headers, wall, most=most)
    if told is not None:
        return told
    value = next((headers[name] for _, name in _UNNAMED if name in headers), None)
    seconds = None if value is None else _reset(value, headers, wall, most)
    return None if seconds is None else min(seconds, most)


def number(value: str | None) -> float | None:
    """A finite, non-negative number, else None."""
    if value is None or len(value) > 400:
        return None
    try:
        result = float(value)
    except ValueError:
        return None
    return result if math.isfinite(result) and result >= 0 else None


def duration(value: str) -> float | None:
    """Seconds of "6m0s", "1s", "20ms" or "1.5"; None for anything else."""
    plain = number(value)
    if plain is not None:
        return plain
    parts = _DURATION.findall(value[:64])
    if not parts or "".join(amount + unit for amount, unit in parts) != value:
        return None
    return sum(float(amount) * _UNIT_S[unit] for amount, unit in parts)


def _reset(value: str, headers: Mapping[str, str], wall: float, most: float = MAX_WAIT_S) -> float | None:
    seconds = duration(value)
    if seconds is None:
        seconds = _until(value, _server_time(headers, wall))
    elif seconds > 1e9:  # a few servers send the Unix time of the reset
        seconds = max(0.0, (seconds if seconds < 1e11 else seconds / 1000) - _server_time(headers, wall))
    return None if seconds is None else min(seconds, most)


def _server_time(headers: Mapping[str, str], wall: float) -> float:
    """The time by the server's clock, to which its dates refer: ours may be wrong by a day."""
    try:
        return parsedate_to_datetime(headers.get("date", "")).timestamp()
    except (ValueError, TypeError, OverflowError, IndexError):
        return wall


def _is_date(value: str) -> bool:
    return any(character.isalpha() for character in value) and ":" in value


def _until(value: str, wall: float) -> float | None:
    """Seconds from `wall` to an HTTP date or an RFC 3339 time."""
    try:
        moment = datetime.fromisoformat(value) if value[:1].isdigit() else parsedate_to_datetime(value)
        if moment.tzinfo is None:
            moment = moment.replace(tzinfo=UTC)
        return max(0.0, moment.timestamp() - wall)
    except (ValueError, TypeError, OverflowError, IndexError):
        return None
