"""Regrading: reads stored samples, and replaces their verdicts and all counters in one transaction.

Raw bodies, texts and usage are not touched. `grade` keeps the verdict of each grader; the latest one is in `sample`
and counts.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from state.bulk import insert, rows_json
from state.checksums import Damaged, intact
from state.database import now_ms
from state.outcomes import Verdict
from state.resampling import refresh_needs
from state.sqlite import Connection

PAGE = 2000


@dataclass(frozen=True, kw_only=True, slots=True)
class Graded:
    """A stored sample with its verdict, the grader and the reason."""

    id: int
    task: str
    answer_format: str
    question: str
    gold: str
    answer: str
    correct: bool
    extracted: str | None
    grader: str
    reason: str


def stored_tasks(connection: Connection) -> list[str]:
    """The names of all tasks, former ones included, sorted."""
    return sorted(name for (name,) in connection.execute("SELECT name FROM task"))


def graded_samples(
    connection: Connection, task: str | None = None, damaged: list[Damaged] | None = None
) -> Iterator[list[Graded]]:
    """Stored samples that have a verdict, of one task or of all, by id and page by page.

    `damaged` gets the damaged rows, whose samples are left out: they keep their verdict.
    """
    after = 0
    while page := connection.execute(
        "SELECT s.id, t.name, t.answer_format, q.text, q.gold, s.answer, s.verdict, s.extracted,"
        " coalesce(g.grader, ''), coalesce(g.reason, ''), s.checksum, s.rationale, q.checksum, q.rationale, q.id FROM sample s JOIN question q ON q.id = s.question_id"
        " JOIN task t ON t.id = s.task_id LEFT JOIN grade g ON g.id = (SELECT l.id FROM grade l WHERE l.sample_id = s.id"
        " ORDER BY l.graded_at DESC, l.id DESC LIMIT 1) WHERE s.state = 'stored' AND s.verdict IS NOT NULL"
        " AND s.id > ?1 AND (?2 IS NULL OR t.name = ?2) ORDER BY s.id LIMIT ?3",
        (after, task, PAGE),
    ).fetchall():
        after = page[-1][0]
        found = {row[0]: _damage(row) for row in page}
        if damaged is not None:
            damaged += [each for rows in found.values() for each in rows]
        yield [
            Graded(
                id=row[0],
                task=row[1],
                answer_format=row[2],
                question=row[3],
                gold=row[4],
                answer=row[5] or "",
                correct=row[6] == 1,
                extracted=row[7],
                grader=row[8],
                reason=row[9],
            )
            for row in page
            if not found[row[0]]
        ]


def _damage(row: tuple[Any, ...]) -> list[Damaged]:
    found = [] if intact(row[10], row[11], row[5]) else [Damaged("sample", row[0])]
    return found + ([] if intact(row[12], row[3], row[4], row[13]) else [Damaged("question", row[14])])


def regrade(connection: Connection, verdicts: Sequence[tuple[int, Verdict]]) -> None:
    """Replaces verdicts, and updates the counters of every plan that includes the samples.

    One transaction. Samples that have lost their verdict are left alone.
    """
    now = now_ms()
    connection.execute("BEGIN IMMEDIATE")
    try:
        insert(
            connection,
            "INSERT INTO grade (sample_id, grader, correct, extracted, reason, flags, graded_at)",
            [
                (sample, item.grader, int(item.correct), item.extracted, item.reason, _flags(item), now)
                for sample, item in verdicts
            ],
            "ON CONFLICT (sample_id, grader) DO UPDATE SET correct = excluded.correct, extracted = excluded.extracted,"
            " reason = excluded.reason, flags = excluded.flags, graded_at = excluded.graded_at",
        )
        _move(connection, verdicts)
        connection.execute("COMMIT")
    except BaseException:
        connection.execute("ROLLBACK")
        raise


def _flags(verdict: Verdict) -> str:
    return rows_json([verdict.flags])[1:-1]


def _move(connection: Connection, verdicts: Sequence[tuple[int, Verdict]]) -> None:
    given = rows_json([(sample, int(item.correct), item.extracted) for sample, item in verdicts])
    flips = connection.execute(
        "SELECT s.task_id, s.split, s.recipe, s.replicate, j.value ->> 1, s.question_id FROM json_each(?) j"
        " JOIN sample s ON s.id = j.value ->> 0 JOIN question q ON q.id = s.question_id AND q.active = 1"
        " WHERE s.verdict IS NOT NULL AND s.verdict <> j.value ->> 1",
        (given,),
    ).fetchall()  # counters know active questions alone
    connection.execute(
        "UPDATE sample SET verdict = j.value ->> 1, extracted = j.value ->> 2 FROM json_each(?) j"
        " WHERE sample.id = j.value ->> 0 AND sample.verdict IS NOT NULL",
        (given,),
    )
    change: dict[tuple[int, str, str, int], int] = defaultdict(int)
    questions: dict[tuple[int, str, str], set[int]] = defaultdict(set)
    for task, split, recipe, replicate, correct, question in flips:
        change[task, split, recipe, replicate] += 1 if correct else -1
        questions[task, split, recipe].add(question)
    for key, more in change.items():
        connection.execute(
            "UPDATE plan SET accepted = accepted + ?, rejected = rejected - ?"
            " WHERE task_id = ? AND split = ? AND recipe = ? AND rationales > ?",
            (more, more, *key),
        )
    connection.execute(
        "UPDATE plan SET cursor = 0, skipped = 0 WHERE skipped > 0 AND task_id IN (SELECT value FROM json_each(?))",
        (json.dumps(sorted({task for task, *_ in change})),),
    )  # what was not needed may be now: claims go over it again, past the samples there are
    for (task, split, recipe), asked in questions.items():
        refresh_needs(connection, task, split, recipe, asked)
