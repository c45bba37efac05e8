"""How long the answers of the last minutes took, and what failed last: the newest attempts first, in windows of ids."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from dataclasses import dataclass, field

from state.enums import Outcome
from state.sqlite import Connection
from state.views.rows import first, rows

WINDOW = 2_000
WAITING = 2_000
"""Attempts without an end that are looked at again, the newest."""
MOST = 120
"""Latencies that are kept of a bucket."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Failure:
    """The newest attempt of a teacher that failed."""

    at: int
    status: int | None
    outcome: str
    reason: str


@dataclass(frozen=True, kw_only=True, slots=True)
class AttemptHistory:
    """Latencies by time."""

    bucket_ms: int = 20_000
    latencies: Mapping[tuple[int, int], tuple[int, ...]] = field(default_factory=dict)
    """Milliseconds, by bucket and teacher id; bucket number N begins at `N * bucket_ms` UTC."""
    failures: Mapping[int, Failure] = field(default_factory=dict)
    """By teacher id."""
    low: int = -1
    """The lowest id that was read; -1 before the first reading."""
    high: int = 0
    waiting: tuple[int, ...] = ()
    whole: bool = False
    """Whether everything since the time asked for was read."""

    def quantiles(self, teacher: int, start_ms: int) -> list[tuple[int, float, float]]:
        """The middle of each bucket (UTC milliseconds), its median and its 95th percentile in milliseconds."""
        found = []
        for bucket, who in sorted(self.latencies):
            values = sorted(self.latencies[bucket, who])
            at = bucket * self.bucket_ms + self.bucket_ms // 2
            if who == teacher and at >= start_ms and len(values) >= 3:
                late = values[min(len(values) - 1, round(0.95 * len(values)))]
                found.append((at, float(values[len(values) // 2]), float(late)))
        return found


def continue_attempts(
    connection: Connection, before: AttemptHistory, since_ms: int, seconds: float
) -> AttemptHistory:
    """Reads on: what is new, then further back to `since_ms`, for about `seconds`."""
    deadline = time.monotonic() + seconds
    highest = (first(connection, "SELECT max(id) FROM attempt") or (None,))[0] or 0
    size = before.bucket_ms
    kept = {key: list(value) for key, value in before.latencies.items() if key[0] >= since_ms // size}
    failures, waiting = dict(before.failures), list[int]()
    low, high, whole = before.low, before.high, before.whole
    if low < 0:
        low, high = highest + 1, highest

    def add(which: str, values: tuple[int | str, ...]) -> int:
        oldest = 1 << 62
        for number, teacher, claimed, ended, took, outcome, status, reason in rows(
            connection,
            "SELECT id, teacher_id, claimed_at, ended_at, latency_ms, outcome, status, substr(reason, 1, 300)"
            f" FROM attempt WHERE {which}",
            values,
        ):
            oldest = min(oldest, claimed)
            if ended is None:
                waiting.append(number)
            elif outcome == Outcome.OK:
                if took is not None and ended >= since_ms:
                    bucket = kept.setdefault((ended // size, teacher), [])
                    if len(bucket) < MOST:
                        bucket.append(took)
            elif outcome != Outcome.RELEASED and (teacher not in failures or failures[teacher].at < ended):
                failures[teacher] = Failure(at=ended, status=status, outcome=outcome, reason=reason or "")
        return oldest

    if before.waiting:
        add("id IN (SELECT value FROM json_each(?))", (json.dumps(before.waiting),))
    while high < highest:
        add("id > ? AND id <= ?", (high, min(high + WINDOW, highest)))
        high = min(high + WINDOW, highest)
    while not whole:
        oldest = add("id >= ? AND id < ?", (low - WINDOW, low))
        low = max(1, low - WINDOW)
        whole = low <= 1 or oldest < since_ms
        if time.monotonic() > deadline:
            break
    return AttemptHistory(
        bucket_ms=size,
        latencies={key: tuple(value) for key, value in kept.items()},
        failures=failures,
        low=low,
        high=high,
        waiting=tuple(sorted(waiting)[-WAITING:]),
        whole=whole,
    )
