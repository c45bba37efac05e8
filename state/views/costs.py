"""What one accepted sample came to: of plans by their counters, of teachers by counting.

No counter says how many correct samples a teacher wrote (plans may share their work among several), so they are counted:
in windows of ids, as long as the caller has time. What is settled is counted once; the newest ids, whose verdicts may
still come, are counted at each reading. A sample that is graded anew later counts by its old verdict until the
counting begins anew.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from state.sqlite import Connection
from state.views.glance import PlanStatus
from state.views.rows import rows
from state.views.samples import id_range

WINDOW = 20_000  # ids counted in one statement
YOUNG = 2_000  # the newest ids may still change


@dataclass(frozen=True, kw_only=True, slots=True)
class Tally:
    """Correct samples by teacher id, of all ids up to `upto`, the highest there is being `high`."""

    spent: Mapping[int, float] = field(default_factory=dict)  # dollars by teacher id, settled
    settled: Mapping[int, int] = field(default_factory=dict)
    young: Mapping[int, int] = field(default_factory=dict)
    upto: int = 0
    high: int = 0

    @property
    def whole(self) -> bool:
        """Whether every sample was counted."""
        return self.upto >= self.high - YOUNG

    def correct(self, teacher: int) -> int:
        """Its correct samples, as far as they are counted."""
        return self.settled.get(teacher, 0) + self.young.get(teacher, 0)

    def usd_per_correct(self, teacher: int) -> float | None:
        """Dollars for one of them, wrong and failed ones paid for; None before there is one, or all are counted."""
        correct = self.correct(teacher)
        return self.spent.get(teacher, 0.0) / correct if correct and self.whole else None


def tally(connection: Connection, before: Tally, seconds: float) -> Tally:
    """Goes on counting where `before` ended, for about so many seconds."""
    high = (id_range(connection) or (0, 0))[1]
    settled, upto = Counter(before.settled), min(before.upto, high)
    deadline = time.monotonic() + seconds
    while upto < high - YOUNG:
        end = min(upto + WINDOW, high - YOUNG)
        settled.update(_correct(connection, upto, end))
        upto = end
        if time.monotonic() > deadline:
            break
    spent = {key: micros / 1e6 for key, micros in rows(connection, "SELECT id, spent_micros FROM teacher")}
    done = upto >= high - YOUNG
    young = _correct(connection, upto, high) if done else {}
    return Tally(spent=spent, settled=settled, young=young, upto=upto, high=high)


def _correct(connection: Connection, after: int, upto: int) -> dict[int, int]:
    return dict(
        rows(
            connection,
            "SELECT teacher_id, count(*) FROM sample NOT INDEXED WHERE id > ? AND id <= ? AND verdict = 1"
            " GROUP BY teacher_id",
            (after, upto),
        )
    )


def usd_per_correct(plans: Iterable[PlanStatus]) -> float | None:
    """Dollars an accepted sample of these plans; None where there is none yet."""
    plans = list(plans)
    accepted = sum(plan.accepted for plan in plans)
    return sum(plan.usd for plan in plans) / accepted if accepted else None
