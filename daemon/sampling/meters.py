"""Counters over the last minute, in whole seconds of a monotonic clock. Pure."""

from __future__ import annotations

import math
from collections import deque

SECONDS = 60


class Meter:
    """Adds up amounts by second; knows the last `SECONDS` whole ones."""

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
        """Amounts of the past seconds, oldest first, without the one that is still going on."""
        self._roll(now)
        return list(self._past)

    def total(self, now: float) -> float:
        """Sum over the last minute; the second that is leaving it counts by what is left of it."""
        self._roll(now)
        leaving = self._past[0] * (now % 1) if len(self._past) == SECONDS else 0.0
        return sum(self._past) + self._current - leaving

    def per_second(self, now: float, window: int = 10) -> float:
        """Mean of the last `window` seconds."""
        recent = self.series(now)[-window:]
        return sum(recent) / len(recent) if recent else 0.0

    def per_minute(self, now: float) -> float:
        """The last minute's amount, extrapolated while the meter is younger than that."""
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

    def add(self, milliseconds: float) -> None:
        """One more."""
        self._values.append(milliseconds)

    def quantile(self, share: float) -> float | None:
        """The nearest-rank quantile in milliseconds, None where there is no value."""
        if not self._values:
            return None
        ordered = sorted(self._values)
        return ordered[min(len(ordered) - 1, max(0, math.ceil(share * len(ordered)) - 1))]
