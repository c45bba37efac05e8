"""The server's rate limits: token buckets of requests and tokens for each API key. Pure; the clock is passed in."""

from __future__ import annotations

import math
from collections import OrderedDict
from dataclasses import dataclass, field
from typing import NamedTuple

from engine.practice.server_options import PracticeOptions

MOST_KEYS = 1000


@dataclass(slots=True)
class Bucket:
    """Refills at `per_minute`; its capacity is `burst_seconds` of that, and at least 1."""

    per_minute: int
    burst_seconds: float
    level: float = field(init=False)
    at: float | None = None

    def __post_init__(self) -> None:
        self.level = self.size

    @property
    def size(self) -> float:
        """The capacity."""
        return max(1.0, self.per_minute * self.burst_seconds / 60)

    def refill(self, now: float) -> None:
        """Brings the level up to date."""
        if self.at is not None:
            self.level = min(self.size, self.level + (now - self.at) * self.per_minute / 60)
        self.at = now

    def wait(self, amount: float) -> float:
        """Seconds until `amount` can be taken; 0 if it can be now. More than the capacity counts as the capacity."""
        missing = min(amount, self.size) - self.level
        return 0.0 if missing <= 1e-9 else missing * 60 / self.per_minute

    def reset(self) -> float:
        """Seconds until the bucket is full."""
        return (self.size - self.level) * 60 / self.per_minute


@dataclass(frozen=True, slots=True)
class Refused:
    """A limit that was reached: its kind (`requests` or `tokens`), its size, and the seconds to wait."""

    kind: str
    per_minute: int
    wait: float


class Level(NamedTuple):
    """What is left of a limit: its kind, its size, what remains, and the seconds until all of it is there again."""

    kind: str
    per_minute: int
    remaining: float
    reset: float


class Limits:
    """The buckets of all keys; the least recently used key is dropped first."""

    def __init__(self, options: PracticeOptions) -> None:
        self._options = options
        self._keys: OrderedDict[str, dict[str, Bucket]] = OrderedDict()

    def take(self, key: str, tokens: int, now: float) -> Refused | None:
        """Takes one request with its tokens, or takes nothing and returns the limit that was reached.

        Args:
            key: the API key.
            tokens: prompt and completion together.
            now: monotonic seconds.
        """
        buckets = self._of(key, now)
        wanted = {"requests": 1, "tokens": tokens}
        for kind, bucket in buckets.items():
            wait = bucket.wait(wanted[kind])
            if wait > 0:
                return Refused(kind, bucket.per_minute, wait)
        for kind, bucket in buckets.items():
            bucket.level -= wanted[kind]
        return None

    def levels(self, key: str, now: float) -> list[Level]:
        """What is left of each limit."""
        return [
            Level(kind, bucket.per_minute, bucket.level, bucket.reset())
            for kind, bucket in self._of(key, now).items()
        ]

    def _of(self, key: str, now: float) -> dict[str, Bucket]:
        if key not in self._keys:
            if len(self._keys) >= MOST_KEYS:
                self._keys.popitem(last=False)
            options = self._options
            limits = {"requests": options.requests_per_minute, "tokens": options.tokens_per_minute}
            self._keys[key] = {
                k: Bucket(n, options.burst_seconds) for k, n in limits.items() if n is not None
            }
        self._keys.move_to_end(key)
        for bucket in self._keys[key].values():
            bucket.refill(now)
        return self._keys[key]


def duration(seconds: float) -> str:
    """In OpenAI's form: `20ms`, `1.5s`, `6m0s`."""
    if seconds < 1:
        return f"{math.ceil(seconds * 1000)}ms"
    if seconds < 60:
        return f"{seconds:.3f}".rstrip("0").rstrip(".") + "s"
    whole = math.ceil(seconds)
    return f"{whole // 60}m{whole % 60}s"
