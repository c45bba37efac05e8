"""Counts the correct samples of each teacher, on tasks with gold answers. Plans have no such counter, since several teachers may share a plan.

It counts in windows of ids, for as long as the caller has time. It checks samples without a verdict again, since an
answer may arrive days later (a batch). A sample that is regraded keeps its old verdict until counting restarts.
"""

from __future__ import annotations

import json
import time
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field

from state.sqlite import Connection
from state.views.rows import rows
from state.views.samples import GOLD, id_range

WINDOW = 20_000  # ids counted per statement, and samples rechecked per reading

_OPEN = "(verdict IS NULL AND state <> 'failed')"


@dataclass(frozen=True, kw_only=True, slots=True)
class TeacherCounts:
    """Correct samples by teacher id, for ids up to `upto`; the highest existing id is `high`."""

    spent: Mapping[int, float] = field(default_factory=dict)  # dollars known to be billed, by teacher id
    counted: Mapping[int, int] = field(default_factory=dict)
    graded: Mapping[int, int] = field(default_factory=dict)  # samples with a verdict, by teacher id
    waiting: tuple[int, ...] = ()  # samples without a verdict, least recently checked first
    upto: int = 0
    high: int = 0

    @property
    def whole(self) -> bool:
        """Whether every sample was counted."""
        return self.upto >= self.high

    def correct(self, teacher: int) -> int:
        """Its correct samples counted so far."""
        return self.counted.get(teacher, 0)

    def correct_share(self, teacher: int) -> float | None:
        """Its correct samples among the graded ones counted so far, 0 to 1."""
        graded = self.graded.get(teacher, 0)
        return self.correct(teacher) / graded if graded else None

    def usd_per_correct(self, teacher: int) -> float | None:
        """Dollars known to be billed per correct sample, wrong and failed ones included.

        None before the first, and until all are counted.
        """
        correct = self.correct(teacher)
        return self.spent.get(teacher, 0.0) / correct if correct and self.whole else None


def continue_counting(connection: Connection, before: TeacherCounts, seconds: float) -> TeacherCounts:
    """Continues counting after `before`, for about `seconds`."""
    deadline = time.monotonic() + seconds
    high = (id_range(connection) or (0, 0))[1]
    counted, graded, upto = Counter(before.counted), Counter(before.graded), min(before.upto, high)
    again = before.waiting[:WINDOW]
    found, verdicts, open_still = _count(
        connection, "id IN (SELECT value FROM json_each(?))", (json.dumps(again),), "sample"
    )
    counted.update(found)
    graded.update(verdicts)
    waiting = [*before.waiting[WINDOW:], *open_still]
    while upto < high:
        end = min(upto + WINDOW, high)
        found, verdicts, fresh = _count(connection, "id > ? AND id <= ?", (upto, end), "sample NOT INDEXED")
        counted.update(found)
        graded.update(verdicts)
        waiting += fresh
        upto = end
        if time.monotonic() > deadline:
            break
    spent = {key: micros / 1e6 for key, micros in rows(connection, "SELECT id, spent_micros FROM teacher")}
    return TeacherCounts(
        spent=spent, counted=counted, graded=graded, waiting=tuple(waiting), upto=upto, high=high
    )


def _count(
    connection: Connection, which: str, values: tuple[int | str, ...], table: str
) -> tuple[dict[int, int], dict[int, int], list[int]]:
    """Correct samples and graded ones by teacher, and the ids of those without a verdict."""
    found = rows(
        connection,
        f"SELECT teacher_id, sum(verdict = 1 AND {GOLD}), sum(verdict IS NOT NULL AND {GOLD}), json_group_array(id) FILTER (WHERE {_OPEN})"
        f" FROM {table} WHERE {which} GROUP BY teacher_id",
        values,
    )
    return (
        {row[0]: row[1] or 0 for row in found},
        {row[0]: row[2] for row in found},
        [each for row in found for each in json.loads(row[3])],
    )
