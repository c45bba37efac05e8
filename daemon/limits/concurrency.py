"""How many requests may be in flight at one key: a cap that is searched for, and searched again. Pure.

Three parts. A *ramp* opens in tens of milliseconds, so that a server that refuses everything gets
a few requests and not all. Without a configured number, the *knee* (`knee.py`) is what latencies allow: it doubles with every
round of answers as long as the server scales. And a refusal sets the cap to what was admitted at that moment, which
is the server's limit where that is a number of requests at once. Then one request above the known *ceiling* is tried,
after a hold that doubles each time it is refused. Refusals of one burst count once; a second burst before anything sent
since was answered cuts by 0.7.
"""

from __future__ import annotations

import math

from daemon.limits.knee import Knee

RAMP = 16
"""Requests that leave at once while the ramp opens from the start."""
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
        "_allowed",
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
        "knee",
        "maximum",
    )

    def __init__(self, configured: int | None, now: float) -> None:
        self._most = 2**31  # connections that this machine allows
        self._granted: int | None = None  # this process's share
        self.configured = configured
        self.maximum = configured or UNSET_MAX
        self._allowed = self.maximum  # by refusals
        self.knee = None if configured else Knee(now, self.maximum)
        """What latencies allow, if no number is configured."""
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
        self._saved: tuple[int, int | None] = (
            self._allowed,
            None,
        )  # what was allowed, and the ceiling, before the burst
        self._ramp_at = now
        self._ramp_base = RAMP
        self._ramp_sent = 0

    @property
    def value(self) -> int:
        """Requests that may be in flight."""
        knee = self.knee
        return self._allowed if knee is None or knee.value > self._allowed else knee.value

    @property
    def slowed(self) -> bool:
        """Whether latencies bound it: more in flight would only wait in the server's queue."""
        knee = self.knee
        return knee is not None and knee.found and knee.value <= self._allowed

    def configure(self, now: float, configured: int | None) -> None:
        """Changes the configured maximum; requests above a lower one end, a higher one is ramped up as at the start."""
        self.configured = configured
        self._renew()
        if configured:
            self.knee = None
            if self.maximum > self._allowed:
                self.ceiling = None
                self.restart_ramp(now, max(RAMP, self.in_flight))
            self._allowed = self.maximum
        else:
            self.knee = Knee(now, self.maximum)
            if self.ceiling is None:
                self._allowed = self.maximum

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
        known = self.ceiling if self.ceiling is not None else self.maximum
        if (allowed := min(self.maximum, max(self._allowed, known))) > self._allowed:
            self.restart_ramp(now, max(1, self.in_flight))
            self._allowed = allowed

    def _renew(self) -> None:
        self.maximum = min(self.configured or UNSET_MAX, self._most)
        if self._granted is not None:
            self.maximum = min(self.maximum, self._granted)
        self._allowed = min(self._allowed, self.maximum)
        if self.knee is not None:
            self.knee.bound(self.maximum)

    def ready_at(self, now: float) -> float:
        """When one more may be in flight: `now`, a time while the ramp opens, or inf until an answer comes."""
        if self.in_flight >= self.value:
            self.waits(now)
            return math.inf
        if self._ramp_sent < self._ramp_base:
            return max(now, self._ramp_at)
        at = self._ramp_at + DOUBLING_S * math.log2((self._ramp_sent + 1) / self._ramp_base)
        return max(now, at)

    def waits(self, now: float) -> None:
        """A request waits for the cap, or for answers that it lets be stored."""
        self.bound_at = now
        if self.knee is not None and self.knee.value <= self._allowed:
            self.knee.bound_at = now

    def restart_ramp(self, at: float, base: int = 1) -> None:
        """Ramps up again from `base` at the time `at`."""
        self._ramp_at, self._ramp_base, self._ramp_sent = at, base, 0

    def sent(self) -> tuple[int, int]:
        """Counts a request as sent; returns the number in flight, and that of its wave."""
        self.in_flight += 1
        self._ramp_sent += 1
        return self.in_flight, 0 if self.knee is None else self.knee.sent()

    def answered(
        self,
        now: float,
        sent_at: float,
        level: int,
        wave: int = 0,
        seconds: float = 0.0,
        tokens: int | None = None,
    ) -> None:
        """A request was accepted and answered.

        Args:
            now: the time.
            sent_at: when it was sent.
            level: as how manieth in flight.
            wave: the number that `sent` returned.
            seconds: how long the answer took.
            tokens: its completion tokens, if it says how many.
        """
        if self.knee is not None:
            self.knee.answered(now, sent_at, level, wave, seconds, tokens)
        saturated = self.bound_at >= sent_at  # the cap was in the way while this one was in flight
        self.in_flight -= 1
        self._done_since += 1
        self._best = max(self._best, level)
        if sent_at > self._burst_at:
            self._answered = True
        if self.ceiling is None:
            if saturated:
                self._allowed = min(self.maximum, self._allowed + 1)
        elif level > self.ceiling and sent_at > self._burst_at:  # the try above the ceiling was admitted
            self.ceiling = level
            self._hold_until = now
            self._allowed = min(self.maximum, level + max(1, level // 10))
        elif saturated and now >= self._hold_until:
            self._allowed = min(self.maximum, self.ceiling + 1)

    def left(self, wave: int = 0) -> None:
        """A request ended without information about limits."""
        self.in_flight -= 1
        self._done_since += 1
        if self.knee is not None:
            self.knee.left(wave)

    @property
    def taught(self) -> tuple[int, int | None]:
        """What refusals taught: the cap, and the ceiling."""
        return self._allowed, self.ceiling

    def teach(self, taught: tuple[int, int | None]) -> None:
        """Restores it: refusals since were for another reason."""
        self._allowed, self.ceiling = min(taught[0], self.maximum), taught[1]
        self._saved = self._allowed, self.ceiling

    def forget(self, now: float) -> None:
        """Refusals were for no number in flight: what they taught is forgotten."""
        self._allowed, self.ceiling = self.maximum, None
        self._saved = self._allowed, None
        self._hold_s, self._hold_until = HOLD_S, now
        self.restart_ramp(now, max(RAMP, self.in_flight))

    def hold(self, now: float) -> None:
        """Stops growth for a while: the server has other problems."""
        self._hold_until = max(self._hold_until, now + 5 * HOLD_S)

    def refused_at_ceiling(
        self, now: float, sent_at: float, level: int, wait_s: float, wave: int = 0
    ) -> bool:
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
        self.left(wave)
        self.ceiling = max(1, min(self.ceiling, level - 1))
        self._allowed = min(self._allowed, self.ceiling)
        return True

    def admits(self, level: int, sent_at: float) -> bool:
        """Whether this number in flight was admitted before: then nothing explains the refusal of one of them."""
        return self.ceiling is not None and level <= self.ceiling and sent_at > self._burst_at + SETTLE_S

    def far_below(self, level: int) -> bool:
        """Whether the server once admitted so much more that concurrency cannot be the reason of the refusal."""
        return self.ceiling is not None and level < SHRINK * self.ceiling

    def first_find(self, level: int, sent_at: float) -> bool:
        """Whether a refusal of the `level`-th request is, or belongs to, the first sign of a concurrency limit."""
        if self.ceiling is None:
            return level > self._best and self.in_flight > ADMITTED
        return self._saved[1] is None and sent_at <= self._burst_at + SETTLE_S

    def refused(self, now: float, sent_at: float, wave: int = 0) -> None:
        """A request was refused for concurrency, or for no other known reason."""
        self.in_flight -= 1
        if self.knee is not None:
            self.knee.left(wave)
        burst = sent_at <= self._burst_at + SETTLE_S
        again = not burst and not self._answered
        if not burst:
            self._burst_at, self._answered, self._done_since = now, False, 0
            self._saved = (self._allowed, self.ceiling)
        admitted = self.in_flight + self._done_since
        if admitted < 1:  # the whole burst was refused: no information about concurrency
            allowed, self.ceiling = self._saved
            self._allowed = min(allowed, self.maximum)  # which may have been lowered since
            return
        allowed = min(self._allowed, admitted)
        if again:
            allowed = min(allowed, max(1, int(self._allowed * SHRINK)))
        self._allowed = self.ceiling = allowed
        self._hold_until = now + self._hold_s
