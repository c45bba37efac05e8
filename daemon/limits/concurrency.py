"""How many requests may be in flight at one key: a cap that is searched for, and searched again. Pure.

Three parts. A *ramp* opens in tens of milliseconds, so that a server that refuses everything gets
a few requests and not all. The *cap* doubles with every round of answers until the first refusal;
a refusal sets it to what was admitted at that moment, which is the server's limit where that is a number
of requests at once. Then one request above the known *ceiling* is tried, after a hold that doubles each
time it is refused. Refusals of one burst count once; a second burst before anything sent since was answered
cuts by 0.7.
"""

from __future__ import annotations

import math

START = 16
"""Initial cap if none is configured."""
UNSET_MAX = 1024
"""Maximum if none is configured."""
DOUBLING_S = 0.03
"""Time in which the number sent doubles while the ramp opens."""
SETTLE_S = 0.1
"""Refusals of requests sent within this time after a cut belong to its burst."""
HOLD_S = 1.0
HOLD_MAX_S = 60.0
SHRINK = 0.7
ADMITTED = 4
"""Other requests in flight from which on the server is known to accept requests."""


class Cap:
    """The cap on requests in flight; pure, the time is passed in."""

    __slots__ = (
        "_answered",
        "_best",
        "_burst_at",
        "_done_since",
        "_excuse_again",
        "_excused_at",
        "_granted",
        "_hold_s",
        "_hold_until",
        "_most",
        "_ramp_at",
        "_ramp_base",
        "_ramp_sent",
        "_saved",
        "bound_at",
        "ceiling",
        "configured",
        "in_flight",
        "maximum",
        "value",
    )

    def __init__(self, configured: int | None, now: float) -> None:
        self._most = 2**31  # connections that this machine allows
        self._granted: int | None = None  # this process's share
        self.configured = configured
        self.maximum = configured or UNSET_MAX
        self.value = self.maximum if configured else START
        self.ceiling: int | None = None
        self.in_flight = 0
        self._burst_at = -math.inf
        self._answered = True  # a request sent since the last cut was answered
        self._best = 0  # most in flight when a request was sent that was answered
        self.bound_at = -math.inf  # when the cap last delayed a request
        self._done_since = 0  # answers since the cut began
        self._hold_s = HOLD_S
        self._hold_until = now
        self._excused_at = -math.inf  # when a refusal at the ceiling was last expected
        self._excuse_again = -math.inf
        self._saved: tuple[int, int | None] = (self.value, None)  # value and ceiling before the burst
        self._ramp_at = now
        self._ramp_base = START
        self._ramp_sent = 0

    def configure(self, now: float, configured: int | None) -> None:
        """Changes the configured maximum; requests above a lower one end, a higher one is ramped up as at the start."""
        self.configured = configured
        self._renew()
        if configured:
            if self.maximum > self.value:
                self.ceiling = None
                self.restart_ramp(now, max(START, self.in_flight))
            self.value = self.maximum

    def bound(self, most: int) -> None:
        """Bounds the cap by the connections that this machine allows."""
        self._most = most
        self._renew()

    def grant(self, now: float, most: int | None) -> None:
        """Grants a share of the configured maximum, other processes use the rest; None: all of it. Learned values stay."""
        if most == self._granted:
            return
        self._granted = most
        self._renew()
        known = self.ceiling if self.ceiling is not None else self.maximum if self.configured else START
        if (value := min(self.maximum, max(self.value, known))) > self.value:
            self.restart_ramp(now, max(1, self.in_flight))
            self.value = value

    def _renew(self) -> None:
        self.maximum = min(self.configured or UNSET_MAX, self._most)
        if self._granted is not None:
            self.maximum = min(self.maximum, self._granted)
        self.value = min(self.value, self.maximum)

    def ready_at(self, now: float) -> float:
        """When one more may be in flight: `now`, a time while the ramp opens, or inf until an answer comes."""
        if self.in_flight >= self.value:
            self.bound_at = now
            return math.inf
        if self._ramp_sent < self._ramp_base:
            return max(now, self._ramp_at)
        at = self._ramp_at + DOUBLING_S * math.log2((self._ramp_sent + 1) / self._ramp_base)
        return max(now, at)

    def restart_ramp(self, at: float, base: int = 1) -> None:
        """Ramps up again from `base` at the time `at`."""
        self._ramp_at, self._ramp_base, self._ramp_sent = at, base, 0

    def sent(self) -> int:
        """Counts a request as sent; returns the number in flight."""
        self.in_flight += 1
        self._ramp_sent += 1
        return self.in_flight

    def answered(self, now: float, sent_at: float, level: int) -> None:
        """A request was accepted and answered; it was sent as the `level`-th in flight."""
        saturated = self.bound_at >= sent_at  # the cap was in the way while this one was in flight
        self.in_flight -= 1
        self._done_since += 1
        self._best = max(self._best, level)
        if sent_at > self._burst_at:
            self._answered = True
        if self.ceiling is None:
            if saturated:
                self.value = min(self.maximum, self.value + 1)
        elif level > self.ceiling and sent_at > self._burst_at:  # the try above the ceiling was admitted
            self.ceiling = level
            self._hold_until = now
            self.value = min(self.maximum, level + max(1, level // 10))
        elif saturated and now >= self._hold_until:
            self.value = min(self.maximum, self.ceiling + 1)

    def left(self) -> None:
        """A request ended without information about limits."""
        self.in_flight -= 1
        self._done_since += 1

    def hold(self, now: float) -> None:
        """Stops growth for a while: the server has other problems."""
        self._hold_until = max(self._hold_until, now + 5 * HOLD_S)

    def refused_at_ceiling(self, now: float, sent_at: float, level: int, wait_s: float) -> bool:
        """Whether the refusal of the `level`-th request is the expected end of a probe above the ceiling; if so, it is applied.

        This is accepted once per hold (and not before `wait_s` is over): a server that refuses more often at the ceiling
        does not limit the number at once.
        """
        if self.ceiling is None or level < self.ceiling or sent_at <= self._burst_at + SETTLE_S:
            return False
        if sent_at > self._excused_at:
            if now < self._excuse_again:
                return False
            self._hold_s = min(HOLD_MAX_S, self._hold_s * 2)
            self._excused_at = now
            self._excuse_again = self._hold_until = now + max(self._hold_s, wait_s)
        self.in_flight -= 1
        self.ceiling = max(1, min(self.ceiling, level - 1))
        self.value = min(self.value, self.ceiling)
        return True

    def far_below(self, level: int) -> bool:
        """Whether the server once admitted so much more that concurrency cannot be the reason of the refusal."""
        return self.ceiling is not None and level < SHRINK * self.ceiling

    def first_find(self, level: int, sent_at: float) -> bool:
        """Whether a refusal of the `level`-th request is, or belongs to, the first sign of a concurrency limit."""
        if self.ceiling is None:
            return level > self._best and self.in_flight > ADMITTED
        return self._saved[1] is None and sent_at <= self._burst_at + SETTLE_S

    def refused(self, now: float, sent_at: float) -> None:
        """A request was refused for concurrency, or for no other known reason."""
        self.in_flight -= 1
        burst = sent_at <= self._burst_at + SETTLE_S
        again = not burst and not self._answered
        if not burst:
            self._burst_at, self._answered, self._done_since = now, False, 0
            self._saved = (self.value, self.ceiling)
        admitted = self.in_flight + self._done_since
        if admitted < 1:  # the whole burst was refused: no information about concurrency
            value, self.ceiling = self._saved
            self.value = min(value, self.maximum)  # which may have been lowered since
            return
        value = min(self.value, admitted)
        if again:
            value = min(value, max(1, int(self.value * SHRINK)))
        self.value = self.ceiling = value
        self._hold_until = now + self._hold_s
