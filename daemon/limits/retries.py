"""Backoff, retry budget and circuit breaker of a teacher. Pure: time and random numbers are passed in.

Waits are exponential with full jitter (uniform between a floor and the exponential bound), drawn from the given
generator, so that a seeded run is repeatable. A request that waits holds no slot and no task: its owner puts it back into
the queue when its time has come, so there is no loop here that could retry. Rate limits are handled in `key_limits.py`.
"""

from __future__ import annotations

import math
import random

FIRST_S = 1.0
MAX_S = 60.0


def backoff(attempt: int, rng: random.Random, *, first_s: float = FIRST_S, max_s: float = MAX_S) -> float:
    """Seconds before try `attempt + 1`, after `attempt` (from 1) failed: full jitter under 1, 2, 4 … 60 s.

    At least a tenth of the bound, so that no try follows at once.
    """
    bound = min(max_s, first_s * 2.0 ** (max(1, min(attempt, 64)) - 1))
    return rng.uniform(bound / 10, bound)


class RetryBudget:
    """Limits a teacher's retries to a share of its successes and a small rate, so that failures cause no retry storm.

    No retry is dropped: one beyond the budget waits longer.
    """

    __slots__ = ("_capacity", "_level", "_per_second", "_refund", "_stamp")

    def __init__(
        self, now: float, *, capacity: float = 50.0, refund: float = 0.2, per_second: float = 1.0
    ) -> None:
        """Starts full.

        Args:
            now: the time.
            capacity: retries that may be saved up.
            refund: retries earned by each success.
            per_second: retries earned by time.
        """
        self._capacity, self._refund, self._per_second = capacity, refund, per_second
        self._level, self._stamp = capacity, now

    def succeeded(self) -> None:
        """A request was answered."""
        self._level = min(self._capacity, self._level + self._refund)

    def spend(self, now: float) -> float:
        """Takes one retry; returns the seconds it has to wait for the budget, 0 if there was some left."""
        self._level = min(self._capacity, self._level + (now - self._stamp) * self._per_second)
        self._stamp = now
        self._level -= 1
        return max(0.0, -self._level / self._per_second)


class Breaker:
    """Circuit breaker: stops asking a teacher that keeps failing, and probes it with one request at a time.

    Server errors, lost connections and malformed answers count, rate limits do not. Closed: all requests
    may leave. Open: none until `ready_at`; then one probe. Its success closes the breaker, its failure doubles the wait.
    """

    __slots__ = ("_failures", "_probe_at", "_probing", "_threshold", "_wait_s", "open", "since")

    def __init__(self, *, threshold: int = 10) -> None:
        self.open = False
        self.since = -math.inf
        """When it last opened."""
        self._threshold = threshold
        self._failures = 0
        self._wait_s = FIRST_S
        self._probe_at = -math.inf
        self._probing = False

    def ready_at(self, now: float) -> float:
        """When a request may leave: `now`, the time of the next probe, or inf while a probe is in flight."""
        if not self.open:
            return now
        return math.inf if self._probing else max(now, self._probe_at)

    def sent(self) -> None:
        """A request was sent; while open it is the probe."""
        self._probing = self.open

    def succeeded(self) -> None:
        """A request was answered, or refused by a working server."""
        self.open = self._probing = False
        self._failures, self._wait_s = 0, FIRST_S

    def failed(self, now: float) -> bool:
        """A counted failure; returns whether it opened the breaker."""
        self._failures += 1
        if self.open:
            if self._probing:
                self._probing = False
                self._wait_s = min(MAX_S, self._wait_s * 2)
                self._probe_at = now + self._wait_s
            return False
        if self._failures < self._threshold:
            return False
        self.open, self.since = True, now
        self._probe_at = now + self._wait_s
        return True

    def withdrawn(self) -> None:
        """The probe was never sent, or its result says nothing."""
        self._probing = False
