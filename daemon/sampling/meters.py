"""Counters over the last minute, by whole seconds of a monotonic clock. Pure."""

from __future__ import annotations

import math
from bisect import bisect_left
from collections import Counter, deque

from state.heartbeat import LATENCY_EDGES_S

SECONDS = 60


class Meter:
    """Adds up amounts by second, and keeps the last `SECONDS` whole seconds."""

    def __init__(self, now: float) -> None:
        self._second = int(now)
        self._started = now
        self._current = 0.0
        self._past: deque[float] = deque(maxlen=SECONDS)

    def add(self, now: float, amount: float = 1.0) -> None:
        """Counts `amount` now."""
        self._roll(now)
        self._current += amount

    def series(self, now: float) -> list[float]:
        """Amounts of the past seconds, oldest first, without the current one."""
        self._roll(now)
        return list(self._past)

    def total(self, now: float) -> float:
        """Sum over the last minute; the oldest second counts by the part of it that is left."""
        self._roll(now)
        leaving = self._past[0] * (now % 1) if len(self._past) == SECONDS else 0.0
        return sum(self._past) + self._current - leaving

    def per_second(self, now: float, window: int = 10) -> float:
        """Mean of the last `window` seconds."""
        recent = self.series(now)[-window:]
        return sum(recent) / len(recent) if recent else 0.0

    def per_minute(self, now: float) -> float:
        """The last minute's amount, extrapolated while the meter is younger than a minute."""
        age = min(SECONDS, max(1.0, now - self._started))
        return self.total(now) * SECONDS / age

    def _roll(self, now: float) -> None:
        gap = int(now) - self._second
        if gap > 0:
            self._past.append(self._current)
            self._past.extend([0.0] * min(gap - 1, SECONDS))
            self._current = 0.0
            self._second = int(now)


class Latencies:
    """Quantiles of the last few hundred durations."""

    def __init__(self, size: int = 500) -> None:
        self._values: deque[float] = deque(maxlen=size)
        self.counts = [0] * (len(LATENCY_EDGES_S) + 1)
        """All that were added, by class."""
        self.sum_s = 0.0

    def add(self, milliseconds: float) -> None:
        """One more."""
        self._values.append(milliseconds)
        self.counts[bisect_left(LATENCY_EDGES_S, milliseconds / 1000)] += 1
        self.sum_s += milliseconds / 1000

    def quantile(self, share: float) -> float | None:
        """The nearest-rank quantile in milliseconds, None where there is no value."""
        if not self._values:
            return None
        ordered = sorted(self._values)
        return ordered[min(len(ordered) - 1, max(0, math.ceil(share * len(ordered)) - 1))]


class TeacherMeters:
    """What a teacher did in the last minute."""

    def __init__(self, now: float) -> None:
        self.requests = Meter(now)
        self.tokens = Meter(now)
        self.answers = Meter(now)
        self.limited = Meter(now)
        self.retries = Meter(now)
        self.latencies = Latencies()
        self.errors: Counter[str] = Counter()
        self.caps: deque[int] = deque(maxlen=60)
