"""What the answers of one wave of requests tell, and what is known of a limit's neighbours. Pure.

Numbers in flight and latencies are compared by their logarithms. The elasticity of the throughput between two numbers in
flight says what more of them bring: 1 twice as much for twice as many, 0 nothing.
"""

from __future__ import annotations

import math

ALIKE = 1.5
"""Requests that wait in one queue have latencies that are alike: they tell as little as fewer by this factor."""
WAVE = 12
"""Requests of a wave at least."""
DONE = 0.8
"""A wave ends when this share of it was answered: it does not wait for the slowest."""
WORTH = 0.12
"""Elasticity of the throughput from which more in flight are worth it, where it is known exactly."""
SURE, HALF, VAIN = 0.3, 0.5, 0.35
"""Where it is known by a standard error of at most `SURE`, `HALF` is enough; below `VAIN`, with its standard error, it is in vain."""
SHIFT = 0.3
"""A change of the logarithm of the latency at the same limit from which on the server counts as another one."""
SPREAD = 0.05
"""Least standard deviation of a logarithm that is believed."""


class Sums:
    """Numbers in flight and latencies of some answers, as logarithms."""

    __slots__ = ("n", "x", "y", "yy")

    def __init__(self) -> None:
        self.n = 0
        self.x = self.y = self.yy = 0.0

    def add(self, x: float, y: float) -> None:
        """One more answer."""
        self.n += 1
        self.x += x
        self.y += y
        self.yy += y * y

    def join(self, other: Sums) -> None:
        """Adds the answers of another."""
        self.n += other.n
        self.x += other.x
        self.y += other.y
        self.yy += other.yy

    @property
    def level(self) -> float:
        """Mean of the logarithm of the number in flight."""
        return self.x / self.n

    @property
    def latency(self) -> float:
        """Mean of the logarithm of the latency."""
        return self.y / self.n

    @property
    def error(self) -> float:
        """Square of the standard error of `latency`."""
        spread = (self.yy - self.y * self.y / self.n) / (self.n - 1) if self.n > 1 else 1.0
        return ALIKE * max(spread, SPREAD * SPREAD) / self.n


class Wave(Sums):
    """Requests sent at one limit, one after another."""

    __slots__ = ("began", "gone", "limit", "number", "sent", "size")

    def __init__(self, limit: int, now: float, number: int, skip: int) -> None:
        super().__init__()
        self.number = number
        self.limit = limit
        self.began = now
        self.size = max(WAVE, limit)
        self.sent, self.gone = -skip, 0  # those that fill it up to the limit are none of it

    @property
    def done(self) -> bool:
        """Whether enough of it was answered."""
        return self.sent >= self.size and self.n + self.gone >= DONE * self.size


class Probe:
    """What is known of one neighbour of the limit, and when it is looked at again."""

    __slots__ = ("_first", "_most_s", "due", "found", "gap", "weight")

    def __init__(self, first: int, most_s: float) -> None:
        self._first, self._most_s = first, most_s
        self.due = -math.inf
        self.gap = first
        self.found = self.weight = 0.0

    def reset(self, now: float = -math.inf) -> None:
        """The limit or the server is another one."""
        self.due, self.gap = now, self._first
        self.found = self.weight = 0.0

    def add(self, elasticity: float, error: float) -> None:
        """The result of one more probe; older ones count less."""
        weight = 1 / (error * error)
        self.weight *= 0.8
        self.found = (self.found * self.weight + elasticity * weight) / (self.weight + weight)
        self.weight += weight

    @property
    def error(self) -> float:
        """Standard error of what was found."""
        return 1 / math.sqrt(self.weight) if self.weight else math.inf

    def wait(self, now: float, wave_s: float, times: int) -> None:
        """It brought nothing: later again."""
        self.due = now + min(self._most_s, self.gap * wave_s)
        self.gap = min(times * self.gap, 4096)

    @property
    def worth(self) -> bool:
        """Whether the larger of the two numbers in flight is worth it."""
        return self.found - self.error > WORTH or (self.error <= SURE and self.found > HALF)

    @property
    def vain(self) -> bool:
        """Whether it is not."""
        return self.found + self.error < VAIN

    @property
    def needless(self) -> bool:
        """Whether the smaller one does as well."""
        return self.vain and self.found < WORTH + self.error / 2


def elasticity(few: Sums, many: Sums) -> tuple[float, float]:
    """Elasticity of the throughput between two numbers in flight, and its standard error."""
    apart = many.level - few.level
    if apart < 0.05:
        return 0.0, math.inf
    return 1 - (many.latency - few.latency) / apart, math.sqrt(few.error + many.error) / apart


def differ(one: Sums, other: Sums) -> bool:
    """Whether two waves at one limit show a server that has changed."""
    change = abs(other.latency - one.latency)
    return change > SHIFT and change > 3 * math.sqrt(one.error + other.error)
