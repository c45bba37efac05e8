"""The rates of one key: requests, and tokens in the three ways in which providers count them. Pure.

Both kinds of tokens together (OpenAI), prompt tokens and completion tokens apart (Anthropic). A request takes from
all four at once and is settled in all of them. Unlimited ones are counted too, so that a rate can be learned from a
refusal.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from daemon.limits.buckets import Bucket
from engine.teachers.failures import LimitScope
from engine.teachers.headers import RateHeaders

Rate = Literal["requests", "tokens", "input", "output"]
RATES: tuple[Rate, ...] = ("requests", "tokens", "input", "output")
RateBinds = Literal["", "requests/min", "tokens/min", "input tokens/min", "output tokens/min"]


@dataclass(frozen=True, slots=True)
class Amounts:
    """The amounts a request took, and the bins of the four buckets."""

    tokens: int
    output: int
    bins: tuple[int, int, int, int]


@dataclass(slots=True)
class Reservation:
    """A request that may be sent now, with the amounts it took from the limits."""

    amounts: Amounts
    sent_at: float
    """When it was reserved: the order of requests."""
    left_at: float
    """When it was sent; later if its attempt had to be stored first."""
    number: int
    """How many had been sent, with it."""
    level: int
    """How many were in flight, with it."""
    wave: int
    """The wave of the knee that it belongs to; 0: none."""
    received: bool = False


class Rates:
    """The four buckets of a key; limits are per minute, None if not known."""

    def __init__(
        self,
        now: float,
        *,
        requests: int | None = None,
        tokens: int | None = None,
        input: int | None = None,
        output: int | None = None,
    ) -> None:
        self.requests = Bucket(requests, now)
        self.tokens = Bucket(tokens, now)
        self.input = Bucket(input, now)
        self.output = Bucket(output, now)

    def bucket(self, name: Rate) -> Bucket:
        """The bucket of that name."""
        found: Bucket = getattr(self, name)
        return found

    def blamed(self, exhausted: Rate | None, scope: LimitScope | None) -> Bucket:
        """The limit that refused a request, by its headers and its words; requests if neither says."""
        said = scope if scope != "concurrency" else None
        named = exhausted if said in (None, "tokens") else said  # "tokens" may mean one kind of them
        return self.bucket(named or said or "requests")

    def binds(self, now: float, tokens: int, output: int) -> RateBinds:
        """Which of them delays a request."""
        if self.requests.ready_at(now, 1) > now:
            return "requests/min"
        if self.tokens.ready_at(now, tokens) > now:
            return "tokens/min"
        if self.input.ready_at(now, tokens - output) > now:
            return "input tokens/min"
        return "output tokens/min" if self.output.ready_at(now, output) > now else ""

    def ready_at(self, now: float, tokens: int, output: int) -> float:
        """When a request of `tokens` tokens may leave, `output` of them completion tokens; `now` or later."""
        at = now
        for bucket, amount in (
            (self.requests, 1),
            (self.tokens, tokens),
            (self.input, tokens - output),
            (self.output, output),
        ):
            if bucket.rate is not None and (free := bucket.ready_at(now, amount)) > now:
                bucket.grow(now)
                at = max(at, free)
        return at

    def take(self, now: float, tokens: int, output: int) -> Amounts:
        """Takes a request of `tokens` tokens, `output` of them completion tokens."""
        return Amounts(
            tokens,
            output,
            (
                self.requests.take(now, 1),
                self.tokens.take(now, tokens),
                self.input.take(now, tokens - output),
                self.output.take(now, output),
            ),
        )

    def settle(self, taken: Amounts, tokens: int, output: int) -> None:
        """Replaces the reserved tokens by those that count."""
        _, both, prompt, completion = taken.bins
        self.tokens.adjust(both, tokens - taken.tokens)
        self.input.adjust(prompt, tokens - output - taken.tokens + taken.output)
        self.output.adjust(completion, output - taken.output)

    def give_back(self, taken: Amounts) -> None:
        """Gives back everything that a request took."""
        self.requests.adjust(taken.bins[0], -1)
        self.settle(taken, 0, 0)

    def observe(self, now: float, headers: RateHeaders) -> None:
        """Applies the limits that the server states."""
        if headers.requests_limit is not None:
            self.requests.state_limit(now, headers.requests_limit, headers.requests_remaining)
        if headers.tokens_limit is not None:
            self.tokens.state_limit(now, headers.tokens_limit, headers.tokens_remaining)
        if headers.input_limit is not None:
            self.input.state_limit(now, headers.input_limit, headers.input_remaining)
        if headers.output_limit is not None:
            self.output.state_limit(now, headers.output_limit, headers.output_remaining)

    def grant(self, now: float, granted: Mapping[str, float]) -> None:
        """Sets this process's share of each limit, per second, by name; absent: all of it."""
        for name in RATES:
            self.bucket(name).grant(now, granted.get(name))


def exhausted_by(headers: RateHeaders | None, want: Amounts) -> Rate | None:
    """Which limit the headers show as used up for such a request."""
    if headers is None:
        return None
    if headers.requests_remaining == 0:
        return "requests"
    parts: tuple[tuple[Rate, float | None, int], ...] = (
        ("input", headers.input_remaining, want.tokens - want.output),
        ("output", headers.output_remaining, want.output),
        ("tokens", headers.tokens_remaining, want.tokens),
    )
    return next((name for name, left, most in parts if left is not None and left < max(most, 1)), None)


def requests_remain(headers: RateHeaders | None) -> bool:
    """Whether the headers show that requests remain: then the request rate is not exceeded."""
    return headers is not None and (headers.requests_remaining or 0) > 0
