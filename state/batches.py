"""Batches of requests: written before anything is sent, recovered after a crash, ended with their rows.

Invariants: an attempt belongs to a batch before the batch's file is uploaded. A batch is stored as `creating` before
the provider is asked to create it, so one that is still `new` was never billed. An attempt of a `creating` or `live`
batch stays open: its result can still be fetched.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from state.budget import Spending
from state.bulk import insert, storable
from state.database import now_ms, transaction
from state.enums import BatchState, Outcome
from state.sqlite import Connection

OUT = (BatchState.CREATING, BatchState.LIVE)
"""States in which the provider has, or may have, the batch."""
_OUT = ", ".join(f"'{state.value}'" for state in OUT)

IN_A_BATCH = (
    "EXISTS (SELECT 1 FROM batch_attempt ba JOIN batch b ON b.id = ba.batch_id"
    f" WHERE ba.attempt_id = a.id AND b.state IN ({_OUT}))"
)
"""Whether a provider has, or may have, the batch of an attempt `a`."""


@dataclass(frozen=True, kw_only=True, slots=True)
class NewBatch:
    """A batch of `attempts`, in the order of its file."""

    teacher_id: int
    boot_id: int
    key: str
    mark: str
    bytes: int
    attempts: Sequence[int]


@dataclass(frozen=True, kw_only=True, slots=True)
class BatchChange:
    """New values of some columns of a batch."""

    batch_id: int
    values: dict[str, Any]


@dataclass(frozen=True, kw_only=True, slots=True)
class BatchEnd:
    """The end of a batch: its open attempts were never executed, and their reservation is released."""

    batch_id: int
    state: BatchState
    reason: str


@dataclass(frozen=True, kw_only=True, slots=True)
class StoredBatch:
    """A batch that the provider has or may have."""

    id: int
    key: str
    mark: str
    state: BatchState
    provider_id: str | None
    input_file_id: str | None
    status: str
    requests: int
    completed: int
    failed: int
    created_at: int
    sent_at: int | None


@dataclass(frozen=True, kw_only=True, slots=True)
class BatchFiles:
    """The ids of an ended batch's files at the provider: of its requests, its answers and its errors."""

    batch_id: int
    teacher: str
    key: str
    ids: tuple[str, ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class StoredRow:
    """An open attempt of a batch, with its sample."""

    attempt_id: int
    request_id: str
    reserved_micros: int
    sample_id: int
    plan_id: int
    question: str
    gold: str
    replicate: int
    attempts: int
    unknowns: int


@dataclass(frozen=True, kw_only=True, slots=True)
class PlanOfBatch:
    """A plan as its row has it, and its money."""

    id: int
    task_id: int
    task: str
    answer_format: str
    settings: dict[str, Any]
    fingerprint: str
    teachers: tuple[str, ...]
    wanted: int
    spending: Spending


def add_batches(connection: Connection, batches: Sequence[NewBatch]) -> list[int]:
    """Writes batches with their attempts; returns their ids."""
    ids: list[int] = []
    for batch in batches:
        row = connection.execute(
            "INSERT INTO batch (teacher_id, boot_id, key, mark, state, status, reason, requests, bytes, completed,"
            " failed, created_at) VALUES (?, ?, ?, ?, ?, '', '', ?, ?, 0, 0, ?) RETURNING id",
            storable((batch.teacher_id, batch.boot_id, batch.key, batch.mark, BatchState.NEW.value))
            + [len(batch.attempts), batch.bytes, now_ms()],
        ).fetchone()
        ids.append(row[0])
        insert(
            connection,
            "INSERT INTO batch_attempt (attempt_id, batch_id)",
            [(attempt, row[0]) for attempt in batch.attempts],
        )
    return ids


def change_batches(connection: Connection, changes: Sequence[BatchChange]) -> list[None]:
    """Sets columns of batches."""
    for change in changes:
        columns = ", ".join(f"{name} = ?" for name in change.values)
        values = storable((*change.values.values(), change.batch_id))
        connection.execute(f"UPDATE batch SET {columns} WHERE id = ?", values)
    return [None] * len(changes)


def end_batches(connection: Connection, ends: Sequence[BatchEnd]) -> list[None]:
    """Ends batches and releases their open attempts at no cost."""
    for end in ends:
        of_batch = "a.id IN (SELECT attempt_id FROM batch_attempt WHERE batch_id = ?)"
        _release(connection, of_batch, (end.batch_id,), end.reason)
        connection.execute(
            "UPDATE batch SET state = ?, reason = ?, ended_at = ? WHERE id = ?",
            storable((end.state.value, end.reason, now_ms(), end.batch_id)),
        )
    return [None] * len(ends)


def batches_out(connection: Connection, teacher_id: int) -> list[StoredBatch]:
    """A teacher's batches that the provider has or may have, oldest first."""
    rows = connection.execute(
        "SELECT id, key, mark, state, provider_id, input_file_id, status, requests, completed, failed, created_at,"
        f" sent_at FROM batch WHERE teacher_id = ? AND state IN ({_OUT}) ORDER BY id",
        (teacher_id,),
    ).fetchall()
    return [
        StoredBatch(
            id=row[0],
            key=row[1],
            mark=row[2],
            state=BatchState(row[3]),
            provider_id=row[4],
            input_file_id=row[5],
            status=row[6],
            requests=row[7],
            completed=row[8],
            failed=row[9],
            created_at=row[10],
            sent_at=row[11],
        )
        for row in rows
    ]


def files_left(connection: Connection) -> list[BatchFiles]:
    """The files of ended batches that the provider may still have, oldest first. All their rows are stored."""
    rows = connection.execute(
        "SELECT b.id, t.name, b.key, b.input_file_id, b.output_file_id, b.error_file_id FROM batch b"
        " JOIN teacher t ON t.id = b.teacher_id WHERE b.ended_at IS NOT NULL"
        " AND coalesce(b.input_file_id, b.output_file_id, b.error_file_id) IS NOT NULL ORDER BY b.id"
    ).fetchall()
    return [
        BatchFiles(batch_id=row[0], teacher=row[1], key=row[2], ids=tuple(each for each in row[3:] if each))
        for row in rows
    ]


def forget_files(path: Path, batch_id: int) -> None:
    """The provider has the files of an ended batch no more."""
    with transaction(path) as connection:
        connection.execute(
            "UPDATE batch SET input_file_id = NULL, output_file_id = NULL, error_file_id = NULL"
            " WHERE id = ? AND ended_at IS NOT NULL",
            (batch_id,),
        )


def stranded(connection: Connection, served: Sequence[int]) -> list[tuple[str, int]]:
    """Teachers not in `served` that have batches at the provider, with the number of batches."""
    return connection.execute(
        f"SELECT t.name, count(*) FROM batch b JOIN teacher t ON t.id = b.teacher_id WHERE b.state IN ({_OUT})"
        " AND b.teacher_id NOT IN (SELECT value FROM json_each(?)) GROUP BY t.id ORDER BY t.id",
        (json.dumps(list(served)),),
    ).fetchall()


def plan_of_batch(connection: Connection, plan_id: int) -> PlanOfBatch:
    """A plan whose samples are in a batch; it may no longer be in the configuration.

    The fingerprint is that of its open samples that a plan at work asks for, if its teachers changed.
    """
    row = connection.execute(
        "SELECT p.task_id, t.name, t.answer_format, p.settings, coalesce((SELECT s.recipe FROM sample s"
        "  JOIN plan o ON o.recipe = s.recipe AND o.task_id = s.task_id AND o.split = s.split AND o.active = 1"
        "  WHERE s.plan_id = p.id AND s.state = 'open' LIMIT 1), p.recipe), p.teachers, p.wanted,"
        " p.spent_micros, p.reserved_micros, p.unknown_micros FROM plan p JOIN task t ON t.id = p.task_id WHERE p.id = ?",
        (plan_id,),
    ).fetchone()
    return PlanOfBatch(
        id=plan_id,
        task_id=row[0],
        task=row[1],
        answer_format=row[2],
        settings=json.loads(row[3]),
        fingerprint=row[4],
        teachers=tuple(json.loads(row[5])),
        wanted=row[6],
        spending=Spending(*row[7:10]),
    )


def open_rows(connection: Connection, batch_id: int) -> list[StoredRow]:
    """The attempts of a batch that have no result yet."""
    rows = connection.execute(
        "SELECT a.id, a.request_id, a.reserved_micros, s.id, s.plan_id, q.text, q.gold, s.replicate, s.attempts,"
        " s.unknowns FROM batch_attempt ba JOIN attempt a ON a.id = ba.attempt_id JOIN sample s ON s.id = a.sample_id"
        " JOIN question q ON q.id = s.question_id WHERE ba.batch_id = ? AND a.outcome IS NULL ORDER BY a.id",
        (batch_id,),
    ).fetchall()
    return [
        StoredRow(
            attempt_id=row[0],
            request_id=row[1],
            reserved_micros=row[2],
            sample_id=row[3],
            plan_id=row[4],
            question=row[5],
            gold=row[6],
            replicate=row[7],
            attempts=row[8],
            unknowns=row[9],
        )
        for row in rows
    ]


def release_unsent(connection: Connection, session_id: int, batch_dialects: Sequence[str]) -> None:
    """Gives back attempts of earlier daemon sessions that were claimed for a batch which was never requested.

    No provider ever saw them, so nothing can have been billed.
    """
    unsent = (
        "a.boot_id <> ? AND (EXISTS (SELECT 1 FROM batch_attempt ba JOIN batch b ON b.id = ba.batch_id"
        f" WHERE ba.attempt_id = a.id AND b.state = '{BatchState.NEW.value}')"
        " OR (a.teacher_id IN (SELECT id FROM teacher WHERE dialect IN (SELECT value FROM json_each(?)))"
        " AND NOT EXISTS (SELECT 1 FROM batch_attempt ba WHERE ba.attempt_id = a.id)))"
    )
    _release(
        connection, unsent, (session_id, json.dumps(batch_dialects)), "the daemon died before it was sent"
    )
    connection.execute(
        "UPDATE batch SET state = ?, reason = 'the daemon died before it was created', ended_at = ? WHERE state = ?"
        " AND boot_id <> ?",
        (BatchState.DROPPED.value, now_ms(), BatchState.NEW.value, session_id),
    )


def _release(connection: Connection, where: str, values: tuple[Any, ...], reason: str) -> None:
    """Ends the open attempts that fit as released; their reservation is given back."""
    run = connection.execute
    where = f"a.outcome IS NULL AND {where}"
    run(
        "UPDATE teacher SET reserved_micros = reserved_micros - t.micros FROM (SELECT a.teacher_id,"
        f" sum(a.reserved_micros) micros FROM attempt a WHERE {where} GROUP BY 1) t WHERE teacher.id = t.teacher_id",
        values,
    )
    run(
        "UPDATE plan SET reserved_micros = reserved_micros - t.micros FROM (SELECT s.plan_id,"
        " sum(a.reserved_micros) micros FROM attempt a JOIN sample s ON s.id = a.sample_id"
        f" WHERE {where} GROUP BY 1) t WHERE plan.id = t.plan_id",
        values,
    )
    run(
        f"UPDATE attempt AS a SET outcome = '{Outcome.RELEASED.value}', reason = ?, ended_at = ? WHERE {where}",
        tuple(storable((reason, now_ms(), *values))),
    )
