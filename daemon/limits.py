"""When a request may go to one key of one teacher: rates, concurrency and pauses, as a pure state machine.

The owner asks `ready_at`, calls `take` before it sends, and reports how each request ended by exactly one
of `succeeded`, `limited`, `failed` and `released`. Time is passed in (monotonic seconds); nothing here
sleeps, sends or knows what is asked.

What a refusal (429) means is decided by what it carries: a `Retry-After`, or headers that show nothing
remaining, speak of a rate; refused while the known number of others is in flight, or told so in words, it is
concurrency; otherwise the cap alone reacts. A rate refusal pauses the key for the time told, once for a burst, and
teaches the rate; it never lowers the cap below what the server admitted. When the told time was kept and the
next request is refused again, the time told is not to be trusted: single requests then look at shorter
intervals, so that no capacity lies idle.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

from daemon.buckets import Bucket
from daemon.concurrency import Cap
from engine.teachers.headers import RateHeaders

Binds = Literal["", "parked", "pause", "concurrency", "requests/min", "tokens/min"]
LimitScope = Literal["requests", "tokens", "concurrency"]

PAUSE_S = 0.1
PAUSE_MAX_S = 30.0
"""A pause that nobody told the length of doubles up to this."""
RESET_S = 1.0
"""A reset in headers is of the whole limit, part of which is free much earlier: waits begin here and double."""
FIRST_S = 0.02
"""Requests sent so soon after the first that follows a pause share its fate."""
PROBE_S = 0.5
PROBE_SHARE = 10
"""While a kept pause proved too short, one request looks after so much of the time told."""


@dataclass(slots=True)
class Reservation:
    """A request that may be sent now: what it took."""

    tokens: int
    sent_at: float
    level: int
    request_bin: int
    token_bin: int


class KeyLimits:
    """The limits of one (teacher, key)."""

    def __init__(
        self,
        now: float,
        *,
        requests_per_minute: int | None = None,
        tokens_per_minute: int | None = None,
        concurrency: int | None = None,
    ) -> None:
        self.requests = Bucket(requests_per_minute, now)
        self.tokens = Bucket(tokens_per_minute, now)
        self.concurrency = Cap(concurrency, now)
        self.parked = ""
        self.limited_count = 0
        self._accepted = False  # a request was answered
        self._pause_until = -math.inf
        self._paused_at = -math.inf
        self._first_at = now  # when the first request after the last pause was sent
        self._strikes = 0  # pauses in a row whose first request was refused again

    @property
    def cap(self) -> int:
        """Requests that may be in flight at once."""
        return self.concurrency.value

    @property
    def in_flight(self) -> int:
        """Requests in flight."""
        return self.concurrency.in_flight

    def configure(
        self,
        now: float,
        *,
        requests_per_minute: int | None,
        tokens_per_minute: int | None,
        concurrency: int | None,
        was: tuple[int | None, int | None, int | None],
    ) -> None:
        """Other limits; one that is as it `was` (in this order) keeps what was learned of it."""
        if requests_per_minute != was[0]:
            self.requests.configure(now, requests_per_minute)
        if tokens_per_minute != was[1]:
            self.tokens.configure(now, tokens_per_minute)
        if concurrency != was[2]:
            self.concurrency.configure(now, concurrency)

    def free(self, now: float) -> int:
        """Requests that could be put in flight now as far as the cap is concerned; 0 while paused or parked."""
        return 0 if self.parked or now < self._pause_until else max(0, self.cap - self.in_flight)

    def pause_left(self, now: float) -> float:
        """Seconds until the pause is over, 0 where there is none."""
        return max(0.0, self._pause_until - now)

    def requests_used(self, now: float) -> int:
        """Requests of the last minute."""
        return round(self.requests.used(now))

    def tokens_used(self, now: float) -> int:
        """Tokens of the last minute, those reserved included."""
        return round(self.tokens.used(now))

    def binds(self, now: float, tokens: int = 0) -> Binds:
        """What keeps the next request waiting, or "" where nothing does."""
        if self.parked:
            return "parked"
        if now < self._pause_until:
            return "pause"
        if self.concurrency.ready_at(now) > now:
            return "concurrency"
        if self.requests.ready_at(now, 1) > now:
            return "requests/min"
        return "tokens/min" if self.tokens.ready_at(now, tokens) > now else ""

    def ready_at(self, now: float, tokens: int) -> float:
        """When a request of about `tokens` tokens may go: at or before `now`, later, or inf until something ends."""
        if self.parked:
            return math.inf
        at = self.concurrency.ready_at(now)
        if at == math.inf:
            return at
        requests, amounts = self.requests.ready_at(now, 1), self.tokens.ready_at(now, tokens)
        if requests > now:
            self.requests.grow(now)
        if amounts > now:
            self.tokens.grow(now)
        return max(at, requests, amounts, self._pause_until)

    def take(self, now: float, tokens: int) -> Reservation:
        """Reserves a request of about `tokens` tokens; to be called when `ready_at` says so."""
        if self._first_at < self._pause_until:
            self._first_at = now
        return Reservation(
            tokens,
            now,
            self.concurrency.sent(),
            self.requests.take(now, 1),
            self.tokens.take(now, tokens),
        )

    def succeeded(
        self,
        reservation: Reservation,
        now: float,
        used_tokens: int | None,
        headers: RateHeaders | None = None,
    ) -> None:
        """It was answered; `used_tokens` settles what was reserved (None: as reserved)."""
        self._accepted = True
        self.concurrency.answered(now, reservation.sent_at, reservation.level)
        if used_tokens is not None:
            self.tokens.adjust(reservation.token_bin, used_tokens - reservation.tokens)
        if reservation.sent_at > self._paused_at:
            self._strikes = 0
        if headers is not None:
            self.observe(now, headers)

    def limited(
        self,
        reservation: Reservation,
        now: float,
        retry_after: float | None,
        headers: RateHeaders | None = None,
        scope: LimitScope | None = None,
    ) -> None:
        """It was refused for a limit (429): what it took is given back.

        Args:
            reservation: what `take` gave.
            now: the time.
            retry_after: seconds the server asked for, if it did.
            headers: what the server says of its limits.
            scope: which limit, where the error says so in words.
        """
        self.limited_count += 1
        self.requests.adjust(reservation.request_bin, -1)
        self.tokens.adjust(reservation.token_bin, -reservation.tokens)
        exhausted = _exhausted(headers, reservation.tokens)
        if headers is not None:
            self.observe(now, headers, pause=False)
        wait = retry_after
        if wait is None and exhausted and headers is not None:
            reset = headers.tokens_reset_s if exhausted == "tokens" else headers.requests_reset_s
            wait = None if reset is None else min(reset, RESET_S * 2 ** min(self._strikes, 10))
        rate = scope != "concurrency" and (
            exhausted is not None
            or (retry_after is not None and not _remaining(headers))
            or scope is not None
        )
        cap = self.concurrency
        if exhausted is None and cap.refused_at_ceiling(
            now, reservation.sent_at, reservation.level, wait or 0.0
        ):
            return
        at_once = scope == "concurrency" or (
            exhausted is None and scope is None and cap.first_find(reservation.level, reservation.sent_at)
        )
        if not rate and scope is None and cap.far_below(reservation.level):
            rate = True
        if at_once or not rate:
            cap.refused(now, reservation.sent_at)
        else:
            cap.left()
        if reservation.sent_at < self._paused_at:  # of a burst that is already paused for
            if wait is not None and self._strikes <= 1:
                self._until(max(self._pause_until, now + wait))
            return
        again = self._strikes > 0 and reservation.sent_at <= self._first_at + FIRST_S
        self._strikes = self._strikes if again else 0
        if rate and not at_once and not again:
            bucket = self.tokens if (exhausted or scope) == "tokens" else self.requests
            if self._accepted or bucket.rate is not None:  # of a key that took nothing yet no rate is known
                bucket.cut(now, wait or 0.0)
        self._pause(now, wait)

    def failed(
        self,
        reservation: Reservation,
        now: float,
        retry_after: float | None = None,
        used_tokens: int | None = 0,
    ) -> None:
        """It ended otherwise than by an answer or a limit: growth waits; a told time is kept.

        `used_tokens`: 0 gives the tokens back; None keeps what was reserved (it may have been billed).
        """
        self.concurrency.left()
        self.concurrency.hold(now)
        if used_tokens is not None:
            self.tokens.adjust(reservation.token_bin, used_tokens - reservation.tokens)
        if retry_after:
            self._pause_until = max(self._pause_until, now + retry_after)

    def released(self, reservation: Reservation) -> None:
        """It was never sent."""
        self.concurrency.left()
        self.requests.adjust(reservation.request_bin, -1)
        self.tokens.adjust(reservation.token_bin, -reservation.tokens)

    def park(self, reason: str) -> None:
        """Nothing goes until `unpark`."""
        self.parked = reason or "parked"

    def unpark(self, now: float) -> None:
        """Opens again, from one request."""
        self.parked = ""
        self._pause_until, self._strikes = now, 0
        self.concurrency.restart_ramp(now)

    def observe(self, now: float, headers: RateHeaders, *, pause: bool = True) -> None:
        """Corrects the buckets by what the server says of its limits."""
        if headers.requests_limit is not None:
            self.requests.state_limit(now, headers.requests_limit, headers.requests_remaining)
        if headers.tokens_limit is not None:
            self.tokens.state_limit(now, headers.tokens_limit, headers.tokens_remaining)
        unknown = (
            headers.requests_limit is None
        )  # a stated limit paces by itself, and its reset is of all of it
        if pause and unknown and headers.requests_remaining == 0 and headers.requests_reset_s:
            self._until(max(self._pause_until, now + headers.requests_reset_s))

    def _pause(self, now: float, wait: float | None) -> None:
        untold = min(PAUSE_MAX_S, PAUSE_S * 2 ** min(self._strikes, 10))
        told = untold if wait is None else wait
        if wait is not None and self._strikes > 0:  # the time told was kept, and it was not enough
            told = max(min(told, max(PROBE_S, told / PROBE_SHARE)), min(PROBE_S, untold))
        self._strikes += 1
        self._paused_at = now
        self._until(now + told)

    def _until(self, at: float) -> None:
        self._pause_until = at
        self.concurrency.restart_ramp(at)


def _exhausted(headers: RateHeaders | None, tokens: int) -> Literal["requests", "tokens"] | None:
    """Which limit the headers show to be used up, for a request of so many tokens."""
    if headers is None:
        return None
    if headers.requests_remaining == 0:
        return "requests"
    if headers.tokens_remaining is not None and headers.tokens_remaining < max(tokens, 1):
        return "tokens"
    return None


def _remaining(headers: RateHeaders | None) -> bool:
    """Whether the headers show that requests remain: then it is not their rate that is exceeded."""
    return headers is not None and (headers.requests_remaining or 0) > 0
