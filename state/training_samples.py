"""Candidates for training data: graded samples with their questions, and the questions themselves."""

from __future__ import annotations

import json
import zlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from state.checksums import Damaged, intact, named
from state.errors import StateDamaged
from state.sqlite import Connection


@dataclass(frozen=True, kw_only=True, slots=True)
class StoredSample:
    """A graded sample of a train plan."""

    sample_id: int
    question_id: int
    question: str
    gold: str
    rationale: str
    extracted: str | None
    correct: bool
    truncated: bool
    hinted: bool = False
    incomplete: bool = False
    """Withheld in part, or ended by a server for a reason of its own."""
    task_id: int = 0
    teacher: str = ""
    flagged: bool = False
    """Whether you flagged this sample; a flag of its question does not count here."""
    damage: tuple[Damaged, ...] = ()
    """What of it is damaged in the database: such a sample is never learned."""


@dataclass(frozen=True, kw_only=True, slots=True)
class StoredQuestion:
    """An active question."""

    question_id: int
    text: str
    gold: str
    rationale: str | None = None
    """The one in the data."""


INCOMPLETE = ("content_filter", "unknown_finish")
"""Flags of samples that may be no whole answer: students never read them."""
_SELECT = (
    "SELECT DISTINCT s.id, s.question_id, q.text, q.gold, s.rationale, s.extracted, s.verdict, s.finish_reason,"
    " s.flags, q.task_id, te.name, s.replicate, s.checksum, s.answer, q.checksum, q.rationale,"
    " EXISTS (SELECT 1 FROM note n WHERE n.sample_id = s.id AND n.flag <> ''), s.recipe FROM "
)
_ORDER = " ORDER BY q.task_id, s.question_id, s.replicate, s.id"  # not by position: a file may be re-sorted


def stored_samples(
    connection: Connection, plan_ids: Sequence[int], teachers: Sequence[str], *, drawn: bool = True
) -> list[StoredSample]:
    """Graded samples of plans, by the given teachers, ordered by question and replicate. `drawn`: as in `samples_of_run`."""
    rows = connection.execute(
        _SELECT + "plan p JOIN sample s ON s.task_id = p.task_id AND s.split = p.split"
        " AND s.recipe = p.recipe AND s.replicate < p.rationales"
        " JOIN question q ON q.id = s.question_id AND q.active = 1"
        " JOIN teacher te ON te.id = s.teacher_id"
        " WHERE p.id IN (SELECT value FROM json_each(?)) AND s.state = 'stored' AND s.verdict IS NOT NULL"
        " AND te.name IN (SELECT value FROM json_each(?))" + _ORDER,
        (json.dumps(list(plan_ids)), json.dumps(list(teachers))),
    )
    return [_sample(row) for row in (_drawn(rows) if drawn else rows)]


def samples_of_run(connection: Connection, run_id: int, *, drawn: bool = True) -> list[StoredSample]:
    """The samples in a run's training set, in the same order; `drawn`: whether plans were ordered by a draw, and not by which came first."""
    rows = connection.execute(
        _SELECT + "run_sample r JOIN sample s ON s.id = r.sample_id"
        " JOIN question q ON q.id = s.question_id JOIN teacher te ON te.id = s.teacher_id WHERE r.run_id = ?"
        + _ORDER,
        (run_id,),
    )
    return [_sample(row) for row in (_drawn(rows) if drawn else rows)]


def _drawn(rows: Iterable[tuple[Any, ...]]) -> list[tuple[Any, ...]]:
    """Samples of one replicate in an order that the question and their plans decide: which came first depends on the machine."""

    def place(row: tuple[Any, ...]) -> tuple[int, int, int, int]:
        return row[9], row[1], row[11], zlib.crc32(f"{row[1]}|{row[17]}".encode())

    return sorted(rows, key=place)


def stored_rationales(connection: Connection, task: str) -> list[tuple[str, bool]]:
    """Up to 2,000 rationales for training questions of a task, whatever the plan, and whether each is correct."""
    rows = connection.execute(
        "SELECT s.rationale, s.verdict FROM sample s JOIN task t ON t.id = s.task_id WHERE t.name = ? AND t.active = 1"
        " AND s.split = 'train' AND s.state = 'stored' AND s.verdict IS NOT NULL AND s.rationale IS NOT NULL LIMIT 2000",
        (task,),
    )
    return [(rationale, verdict == 1) for rationale, verdict in rows]


def packed_logprobs(connection: Connection, sample_ids: Sequence[int]) -> dict[int, list[bytes]]:
    """The packed log-probabilities of samples that have some, one for each of their answers, by turn."""
    found: dict[int, list[bytes]] = {}
    for key, data in connection.execute(
        "SELECT a.sample_id, l.data FROM json_each(?) j JOIN attempt a ON a.sample_id = j.value AND a.outcome = 'ok'"
        " JOIN logprob l ON l.attempt_id = a.id ORDER BY a.sample_id, a.turn, a.id",
        (json.dumps(sorted(set(sample_ids))),),
    ):
        found.setdefault(key, []).append(bytes(data))
    return found


def active_task_ids(connection: Connection) -> dict[str, int]:
    """The ids of the configured tasks, by name."""
    return dict(connection.execute("SELECT name, id FROM task WHERE active = 1").fetchall())


def _sample(row: tuple[Any, ...]) -> StoredSample:
    sample, question, text, gold, rationale, extracted, verdict, finish, flags, task, teacher = row[:11]
    own, answer, of_question, in_data, flagged = row[12:17]
    damage = [] if intact(own, rationale, answer) else [Damaged("sample", sample)]
    damage += [] if intact(of_question, text, gold, in_data) else [Damaged("question", question)]
    return StoredSample(
        sample_id=sample,
        question_id=question,
        question=text,
        gold=gold,
        rationale=rationale or "",
        extracted=extracted,
        correct=verdict == 1,
        truncated=finish == "length" or "truncated" in flags,
        hinted='"hinted"' in flags,
        incomplete=any(f'"{flag}"' in flags for flag in INCOMPLETE),
        task_id=task,
        teacher=teacher,
        flagged=flagged == 1,
        damage=tuple(damage),
    )


def labels_of_run(connection: Connection, run_id: int) -> dict[int, str]:
    """The pseudo-labels of a run, by question; empty if it trains on gold answers."""
    rows = connection.execute("SELECT question_id, answer FROM run_label WHERE run_id = ?", (run_id,))
    return dict(rows.fetchall())


def stored_questions(connection: Connection, task_id: int, split: str) -> list[StoredQuestion]:
    """The active questions of a split, in order.

    Raises:
        StateDamaged: one of them is damaged; the next start reads its task's file again.
    """
    rows = connection.execute(
        "SELECT id, text, gold, rationale, checksum FROM question WHERE task_id = ? AND split = ? AND active = 1 ORDER BY position",
        (task_id, split),
    ).fetchall()
    if damaged := [Damaged("question", row[0]) for row in rows if not intact(row[4], *row[1:4])]:
        raise StateDamaged(
            f"{named(damaged)} in state.db: not the text that was stored. Start the daemon again: it reads the task anew."
        )
    return [
        StoredQuestion(question_id=key, text=text, gold=gold, rationale=rationale)
        for key, text, gold, rationale, _ in rows
    ]
