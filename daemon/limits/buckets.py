"""A limit per minute as a state machine: a token bucket, and the use of the trailing minute.

The bucket paces; it holds half a second's worth, so that a stalled process catches up without a burst.
The trailing minute is a second bound: a server that counts strictly over any 60 seconds never sees more
than the limit. The configured rate holds until the server refuses; then a lower rate is learned (`cut`), which grows
slowly (`grow`) back to the configured one. If other processes use the same limit, a share of it
is granted (`grant`), which bounds the rate too. Time is passed in, in monotonic seconds;
amounts are requests or tokens.
"""

from __future__ import annotations

import math
from collections import deque

MINUTE_S = 60.0
BIN_S = 0.2
MARGIN_S = 0.15
"""Requests reach the server with varying delays; requests that are older by this much still count."""
BURST_S, BURST_MIN_S = 0.5, 0.02
"""Burst size, in seconds of the rate; a refusal halves it."""
START = 0.4
"""Share of the burst that a new bucket starts with."""
HOLD_S = 5.0
HOLD_MAX_S = 120.0
SHRINK, HALF, STEP_BACK = 0.9, 0.5, 0.95
"""A first refusal lowers the rate to between 0.5 and 0.9 of it; one during growth lowers it by a step."""
KEPT = 1.05
"""Growth of a learned rate up to which it counts as not grown."""
LEAST = 1e-6
"""Rate per second while nothing is granted: a rate is never zero."""
GROWTH = 0.01
GROWTH_MAX = 0.2
"""Growth of a learned rate per second, once its hold is over and while it binds; doubles every 5 s."""


class Bucket:
    """Paces amounts at `rate` per second; None: unlimited, but use is counted."""

    __slots__ = (
        "_bins",
        "_born",
        "_burst_s",
        "_cut_at",
        "_cut_to",
        "_failed_at",
        "_granted",
        "_grown_at",
        "_hold_s",
        "_learned",
        "_level",
        "_since_cut",
        "_stamp",
        "_total",
        "_waited_s",
        "bound_at",
        "ceiling",
        "rate",
    )

    def __init__(self, per_minute: float | None, now: float) -> None:
        self.ceiling = (
            None if per_minute is None else per_minute / MINUTE_S
        )  # configured, or stated by headers
        self._learned: float | None = None  # by refusals
        self._granted: float | None = None  # this process's share of the limit
        self.rate = self.ceiling
        self.bound_at = -math.inf  # when it last delayed a request
        self._burst_s = BURST_S
        self._born = self._stamp = self._cut_at = self._grown_at = now
        self._level = 0.0 if self.rate is None else max(1.0, START * self.capacity)
        self._bins: deque[list[float]] = deque()  # [number of the bin, amount]
        self._total = 0.0
        self._hold_s = HOLD_S
        self._since_cut = 0.0  # accepted since the last cut
        self._waited_s = 0.0  # the pause that followed it
        self._cut_to = 0.0  # the rate that was learned by it
        self._failed_at = 0.0  # the rate at which growth was last refused

    @property
    def capacity(self) -> float:
        """Burst size."""
        return math.inf if self.rate is None else max(1.0, self.rate * self._burst_s)

    @property
    def learned(self) -> bool:
        """Whether the rate was lowered by refusals."""
        return self._learned is not None

    @property
    def kept(self) -> bool:
        """Whether a rate was learned that has hardly grown since."""
        return self._learned is not None and self._learned <= KEPT * self._cut_to

    def configure(self, now: float, per_minute: float | None) -> None:
        """Changes the configured limit; forgets the learned rate, keeps the use."""
        self._refill(now)
        self.ceiling = None if per_minute is None else per_minute / MINUTE_S
        self._learned = None
        self._renew()
        if self.rate is not None:
            self._level = min(self._level, START * self.capacity)
        self._stamp = now

    def grant(self, now: float, rate: float | None) -> None:
        """Grants a rate per second of a limit that other processes use too; None: all of it."""
        if rate is not None:
            rate = max(rate, LEAST)
        if rate != self._granted:
            self._refill(now)
            self._granted = rate
            self._renew()
            self._level = min(self._level, self.capacity)

    def recent(self, now: float, seconds: float = 5.0) -> float:
        """The mean amount per second over the last few seconds."""
        first, total = (now - seconds) // BIN_S, 0.0
        for number, size in reversed(self._bins):
            if number < first:
                break
            total += size
        return total / seconds

    def used(self, now: float) -> float:
        """The amount used in the last minute."""
        self._expire(now)
        return self._total

    def ready_at(self, now: float, amount: float) -> float:
        """When `amount` may be taken: at or before `now`, or later. More than a minute's worth waits for an empty minute."""
        if self.rate is None:
            return now
        self._refill(now)
        missing = min(amount, self.capacity) - self._level
        at = now + missing / self.rate if missing > 1e-9 else now
        self._expire(now)
        minute = self.rate if self._granted is None or self.ceiling is None else self.ceiling  # shares change
        excess = self._total + amount - max(amount, minute * MINUTE_S)
        if excess > 1e-6:
            for number, size in self._bins:
                excess -= size
                if excess <= 1e-6:
                    at = max(at, (number + 1) * BIN_S + MINUTE_S + MARGIN_S)
                    break
        if at > now:
            self.bound_at = now
        return at

    def take(self, now: float, amount: float) -> int:
        """Takes `amount`, even below zero; returns the bin, for `adjust`."""
        if self.rate is not None:
            self._refill(now)
            self._level -= amount
        number = int(now // BIN_S)
        if self._bins and self._bins[-1][0] == number:
            self._bins[-1][1] += amount
        else:
            self._expire(now)
            self._bins.append([number, amount])
        self._total += amount
        self._since_cut += amount
        return number

    def adjust(self, number: int, more: float) -> None:
        """Corrects the amount taken in bin `number` by `more` (negative: given back)."""
        if not more:
            return
        if self.rate is not None:
            self._level = min(self.capacity, self._level - more)
        self._since_cut += more
        for item in reversed(self._bins):
            if item[0] <= number:
                if item[0] == number:
                    item[1] += more
                    self._total += more
                break

    def asked(self) -> None:
        """A request that was refused used nothing, but was asked: it keeps its place in the pace."""
        if self.rate is not None:
            self._level -= 1

    def state_limit(self, now: float, limit: float, remaining: float | None) -> None:
        """Applies the limit in the server's headers, which can only lower the known one."""
        if limit >= 1 and (self.ceiling is None or limit / MINUTE_S < self.ceiling):
            self._refill(now)
            if self.rate is None:
                self._level = 0.0
            self.ceiling = limit / MINUTE_S
            if self._learned is not None and self._learned >= self.ceiling:
                self._learned = None
            self._renew()
        if remaining is not None and self.rate is not None:
            self._refill(now)  # the time before the answer brings nothing on top of what is left
            self._level = min(self._level, remaining, self.capacity)

    def cut(self, now: float, wait_s: float) -> None:
        """Lowers the rate after a refusal that asks to wait `wait_s`.

        The server has just accepted the requests of the trailing minute, so its limit per minute is at least
        that; and it accepts nothing more for `wait_s`.
        """
        used = self.used(now)
        age = max(now - self._born, 1e-3)
        since = now - self._cut_at
        current = self.rate if self.rate is not None else used / min(MINUTE_S, age)
        floor, hold = used / MINUTE_S, HOLD_S
        if not self.learned:
            estimate = used / min(MINUTE_S, age + wait_s)
            new = max(floor, min(SHRINK * current, max(estimate, HALF * current)))
        elif since < self._hold_s:  # not grown since: the amount accepted since then is the best estimate
            estimate = self._since_cut / max(since - self._waited_s, 0.2)
            new = max(min(floor, estimate), min(SHRINK * current, max(estimate, HALF * current)))
        else:
            new = STEP_BACK * current
            if (
                0.9 * self._failed_at < current < 1.1 * self._failed_at
            ):  # the same limit again: probe less often
                hold = min(HOLD_MAX_S, self._hold_s * 2)
            self._failed_at = current
        self._hold_s = hold
        self._burst_s = max(BURST_MIN_S, self._burst_s / 2)
        new = max(new, 1 / MINUTE_S)
        if self.rate is None or new < self.rate:
            self._refill(now)
            self._learned = new
            self._renew()
        self._level = min(self._level, 1.0)
        self._cut_to = self._learned or 0.0
        self._cut_at = self._grown_at = now
        self._since_cut, self._waited_s = 0.0, wait_s

    def forget(self, now: float) -> None:
        """Refusals were for no rate: what they taught is forgotten."""
        if self._learned is not None:
            self._refill(now)
            self._learned = None
            self._burst_s = BURST_S
            self._hold_s = HOLD_S
            self._renew()

    def grow(self, now: float) -> None:
        """Raises a learned rate a little; called when the bucket binds."""
        if self._learned is None:
            return
        if (
            now - self._cut_at < self._hold_s or self._learned != self.rate
        ):  # or the granted share is what binds
            self._grown_at = now
            return
        step = min(now - self._grown_at, 1.0)
        if step > 0:
            self._refill(now)
            free = now - self._cut_at - self._hold_s
            self._learned *= 1 + min(GROWTH_MAX, GROWTH * 2 ** min(free / HOLD_S, 10.0)) * step
            if self.ceiling is not None and self._learned >= self.ceiling:
                self._learned = None
            self._renew()
            self._burst_s = min(BURST_S, self._burst_s + 0.01 * step)
            self._grown_at = now

    def _renew(self) -> None:
        """Sets the rate to the least of the configured or stated, the granted and the learned one."""
        known = [rate for rate in (self.ceiling, self._granted, self._learned) if rate is not None]
        self.rate = min(known, default=None)

    def _refill(self, now: float) -> None:
        if self.rate is not None and now > self._stamp:
            self._level = min(self.capacity, self._level + (now - self._stamp) * self.rate)
        self._stamp = max(self._stamp, now)

    def _expire(self, now: float) -> None:
        bins = self._bins
        while bins and (bins[0][0] + 1) * BIN_S + MINUTE_S + MARGIN_S <= now:
            self._total -= bins.popleft()[1]
        if not bins:
            self._total = 0.0
