"""How many samples were stored when: the newest first, in windows of ids, for as long as the caller has time.

Ids grow as samples are claimed, so the samples of the last minutes are among the highest ids. A sample that was open
when its window was read is looked at again.
"""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from dataclasses import dataclass, field

from state.sqlite import Connection
from state.views.rows import rows
from state.views.samples import GOLD, id_range

WINDOW = 4_000
WAITING = 4_000
"""Open samples that are looked at again, the newest."""


@dataclass(frozen=True, kw_only=True, slots=True)
class SampleHistory:
    """Stored samples by time."""

    bucket_ms: int = 10_000
    """The length of a bucket; bucket number N begins at `N * bucket_ms` UTC."""
    counts: Mapping[tuple[int, int], tuple[int, int]] = field(default_factory=dict)
    """By bucket and teacher id: stored ones, and correct ones among them."""
    low: int = -1
    """The lowest id that was read; -1 before the first reading."""
    high: int = 0
    waiting: tuple[int, ...] = ()
    whole: bool = False
    """Whether everything since the time asked for was read."""

    def series(
        self, start_ms: int, end_ms: int, teacher: int | None = None
    ) -> tuple[list[float], list[float]]:
        """Samples a second, and correct ones a second, of each bucket between two times, oldest first.

        The bucket in progress is left out.
        """
        first, last = start_ms // self.bucket_ms, end_ms // self.bucket_ms
        size = max(0, last - first)
        stored, correct = [0.0] * size, [0.0] * size
        for (bucket, who), (some, good) in self.counts.items():
            if first <= bucket < last and teacher in (None, who):
                stored[bucket - first] += 1000 * some / self.bucket_ms
                correct[bucket - first] += 1000 * good / self.bucket_ms
        return stored, correct


def continue_history(
    connection: Connection, before: SampleHistory, since_ms: int, seconds: float
) -> SampleHistory:
    """Reads on: what is new, then further back to `since_ms`, for about `seconds`."""
    deadline = time.monotonic() + seconds
    lowest, highest = id_range(connection) or (1, 0)
    size = before.bucket_ms
    counts = {key: value for key, value in before.counts.items() if key[0] >= since_ms // size - 1}
    waiting: list[int] = []
    low, high, whole = before.low, before.high, before.whole
    if low < 0:
        low, high = highest + 1, highest

    def add(which: str, values: tuple[int | str, ...]) -> int | None:
        found = rows(
            connection,
            f"SELECT stored_at / {size}, teacher_id, count(*), total(verdict = 1 AND {GOLD}),"
            " json_group_array(id) FILTER (WHERE state = 'open'), min(created_at)"
            f" FROM sample NOT INDEXED WHERE {which} GROUP BY 1, 2",
            values,
        )
        for bucket, teacher, stored, correct, still_open, _ in found:
            waiting.extend(json.loads(still_open))
            if bucket is not None and bucket >= since_ms // size - 1:
                some, good = counts.get((bucket, teacher), (0, 0))
                counts[bucket, teacher] = (some + stored, good + int(correct))
        return min((row[5] for row in found), default=None)

    if before.waiting:
        add("id IN (SELECT value FROM json_each(?))", (json.dumps(before.waiting),))
    while high < highest:
        add("id > ? AND id <= ?", (high, min(high + WINDOW, highest)))
        high = min(high + WINDOW, highest)
    while not whole:
        oldest = add("id >= ? AND id < ?", (max(lowest, low - WINDOW), low))
        low = max(lowest, low - WINDOW)
        whole = low <= lowest or (oldest is not None and oldest < since_ms)
        if time.monotonic() > deadline:
            break
    return SampleHistory(
        bucket_ms=size,
        counts=counts,
        low=low,
        high=high,
        waiting=tuple(sorted(waiting)[-WAITING:]),
        whole=whole,
    )
