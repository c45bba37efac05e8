"""How many correct rationales each train question of a task has; counted in windows, for as long as the caller has time."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field

from state.sqlite import Connection
from state.views.rows import rows

WINDOW = 2_000


@dataclass(frozen=True, kw_only=True, slots=True)
class QuestionCounts:
    """Correct samples by question of one task, as far as they are counted."""

    task: int
    correct: Mapping[int, int] = field(default_factory=dict)
    """By question id; asked questions without a correct rationale have 0."""
    upto: tuple[int, int] = (0, 0)
    """The highest id counted, of wrong and of correct samples."""
    whole: bool = False

    def histogram(self) -> list[int]:
        """How many questions have 0, 1, 2 and so on correct rationales."""
        found = Counter(self.correct.values())
        return [found[number] for number in range(max(found, default=-1) + 1)]

    @property
    def unsolved(self) -> int:
        """Questions that were answered, never correctly."""
        return sum(number == 0 for number in self.correct.values())


def count_notes(connection: Connection) -> dict[int, int]:
    """How many notes of yours each task has, by its id."""
    found = rows(
        connection,
        "SELECT q.task_id, count(*) FROM note n JOIN question q ON q.id = n.question_id GROUP BY 1",
    )
    return dict(found)


def count_questions(connection: Connection, before: QuestionCounts, seconds: float) -> QuestionCounts:
    """Counts on, for about `seconds`; what was stored since is counted by the next call.

    A sample that is stored later than one with a higher id is missed until counting begins again.
    """
    deadline = time.monotonic() + seconds
    counted, upto, whole = dict(before.correct), list(before.upto), False
    while not whole:
        sizes = []
        for verdict in (0, 1):
            found = rows(
                connection,
                "SELECT id, question_id FROM sample INDEXED BY sample_by_task WHERE task_id = ? AND split = 'train'"
                " AND verdict = ? AND id > ? ORDER BY id LIMIT ?",
                (before.task, verdict, upto[verdict], WINDOW),
            )
            sizes.append(len(found))
            for number, question in found:
                counted[question] = counted.get(question, 0) + verdict
                upto[verdict] = number
        whole = max(sizes) < WINDOW
        if time.monotonic() > deadline:
            break
    return QuestionCounts(task=before.task, correct=counted, upto=(upto[0], upto[1]), whole=whole)
