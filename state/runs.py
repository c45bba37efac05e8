"""Student runs: created once with their manifest, followed by what their process reports."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from state.bulk import insert, rows_json, storable
from state.database import now_ms
from state.enums import RunState
from state.sqlite import Connection


@dataclass(frozen=True, kw_only=True, slots=True)
class NewRun:
    """A run that is due, with the samples its student reads."""

    student: str
    task_id: int | None
    scope: str
    trigger: str
    recipe: str
    method: str
    base: str
    seed: int
    zero_stage: int
    priority: int
    digest: str
    questions: int
    rows: int
    sample_ids: tuple[int, ...]
    drops: dict[str, int]
    settings: dict[str, Any]
    labels: tuple[tuple[int, str, int, int], ...] = ()  # pseudo-labels: question, answer, votes, voters


@dataclass(frozen=True, kw_only=True, slots=True)
class RunChange:
    """New values of some columns of a run."""

    run_id: int
    values: dict[str, Any]


@dataclass(frozen=True, kw_only=True, slots=True)
class RunReport:
    """What a run's process reported since it was last read: metrics, evaluations, and columns of its row."""

    run_id: int
    values: dict[str, Any]
    metrics: tuple[tuple[Any, ...], ...] = ()
    evaluations: tuple[tuple[Any, ...], ...] = ()
    too_long: int | None = None
    """Rows that its process left out because they do not fit into the student's context; None: it said nothing of it."""


TOO_LONG = "longer than max_length tokens"
"""The reason under which those stand among a run's drops: known only once there is a tokenizer."""

METRIC_COLUMNS = (
    "step",
    "at",
    "epoch",
    "loss",
    "learning_rate",
    "grad_norm",
    "tokens_per_second",
    "mfu",
    "memory_mb",
)
EVALUATION_COLUMNS = (
    ("task_id", "split", "step", "epoch", "n", "correct", "accuracy", "low", "high", "seed", "at")
    + ("majority_of", "majority")
)  # fmt: skip
SPLIT = EVALUATION_COLUMNS.index("split")


def create_run(connection: Connection, runs: Sequence[NewRun]) -> list[int | None]:
    """Creates runs with their manifests; None where the run exists (a trigger fires once)."""
    return [_create(connection, run) for run in runs]


def _create(connection: Connection, run: NewRun) -> int | None:
    row = connection.execute(
        "INSERT INTO run (student, task_id, scope, trigger, recipe, state, method, base, seed, zero_stage, spec,"
        " digest, samples, questions, drops, directory, device, tries, priority, phase, step, steps,"
        " progress_offset, created_at) VALUES (?, ?, ?, ?, ?, 'queued', ?, ?, ?, ?, ?, ?, ?, ?, ?, '', '', 0, ?,"
        " '', 0, 0, 0, ?) ON CONFLICT DO NOTHING RETURNING id",
        (run.student, run.task_id, run.scope, run.trigger, run.recipe, run.method, run.base, run.seed)
        + (run.zero_stage, json.dumps(run.settings), run.digest, run.rows, run.questions)
        + (json.dumps(run.drops), run.priority, now_ms()),
    ).fetchone()
    if row is None:
        return None
    connection.execute(
        "INSERT OR IGNORE INTO run_sample (run_id, sample_id) SELECT ?, value FROM json_each(?)",
        (row[0], json.dumps(run.sample_ids)),
    )
    connection.execute(
        "INSERT OR IGNORE INTO run_label (run_id, question_id, answer, votes, voters)"
        " SELECT ?, value ->> 0, value ->> 1, value ->> 2, value ->> 3 FROM json_each(?)",
        (row[0], rows_json([list(label) for label in run.labels])),
    )
    return int(row[0])


def change_run(connection: Connection, changes: Sequence[RunChange]) -> list[None]:
    """Sets columns of runs."""
    for change in changes:
        _set(connection, change.run_id, change.values)
    return [None] * len(changes)


def report_run(connection: Connection, reports: Sequence[RunReport]) -> list[None]:
    """Stores what runs reported; a step or an evaluation that comes again (after a resume) replaces itself.

    A run's accuracy is that on test, over the questions of all its tasks.
    """
    for report in reports:
        tested = any(evaluation[SPLIT] == "test" for evaluation in report.evaluations)
        insert(
            connection,
            f"INSERT OR REPLACE INTO metric (run_id, {', '.join(METRIC_COLUMNS)})",
            [(report.run_id, *metric) for metric in report.metrics],
        )
        insert(
            connection,
            f"INSERT OR REPLACE INTO evaluation (run_id, {', '.join(EVALUATION_COLUMNS)})",
            [(report.run_id, *evaluation) for evaluation in report.evaluations],
        )
        _set(connection, report.run_id, report.values)
        if report.too_long is not None:
            found = "json_remove(drops, ?1)" if report.too_long == 0 else "json_set(drops, ?1, ?2)"
            connection.execute(
                f"UPDATE run SET drops = {found} WHERE id = ?3",
                (f'$."{TOO_LONG}"', report.too_long, report.run_id),
            )
        if tested:  # over all questions of all its tasks
            connection.execute(
                "UPDATE run SET accuracy = (SELECT sum(correct) * 1.0 / sum(n) FROM evaluation"
                " WHERE run_id = ?1 AND split = 'test') WHERE id = ?1",
                (report.run_id,),
            )
    return [None] * len(reports)


def _set(connection: Connection, run_id: int, values: dict[str, Any]) -> None:
    if values:
        columns = ", ".join(f"{name} = ?" for name in values)
        connection.execute(f"UPDATE run SET {columns} WHERE id = ?", storable((*values.values(), run_id)))


@dataclass(frozen=True, kw_only=True, slots=True)
class Predictions:
    """All answers of a finished run."""

    run_id: int
    rows: tuple[tuple[Any, ...], ...]  # question_id, split, text, extracted, correct, reason


def store_predictions(connection: Connection, items: Sequence[Predictions]) -> list[None]:
    """Replaces the predictions of runs."""
    for item in items:
        connection.execute("DELETE FROM prediction WHERE run_id = ?", (item.run_id,))
        insert(
            connection,
            "INSERT INTO prediction (run_id, question_id, split, text, extracted, correct, reason)",
            [(item.run_id, *row) for row in item.rows],
        )
    return [None] * len(items)


def unfinished(connection: Connection) -> list[dict[str, Any]]:
    """Runs that are queued or under way, in the order in which they start: priority, then age."""
    states = (RunState.QUEUED, RunState.STARTING, RunState.TRAINING, RunState.EVALUATING)
    cursor = connection.execute(
        f"SELECT * FROM run WHERE state IN ({', '.join('?' * len(states))}) ORDER BY priority DESC, id",
        [state.value for state in states],
    )
    names = [column[0] for column in cursor.description]
    return [dict(zip(names, row, strict=True)) for row in cursor]


def finished_before(connection: Connection, run_id: int, *, student: str, scope: str, base: str) -> list[int]:
    """Ids of earlier runs of a student on a scope and base that finished, newest first."""
    rows = connection.execute(
        "SELECT id FROM run WHERE student = ? AND scope = ? AND base = ? AND state = ? AND id < ? ORDER BY id DESC",
        (student, scope, base, RunState.DONE.value, run_id),
    )
    return [key for (key,) in rows]


def existing_triggers(connection: Connection) -> set[tuple[str, str, str, str]]:
    """(student, scope, trigger, recipe) of every run there is."""
    rows = connection.execute("SELECT student, scope, trigger, recipe FROM run")
    return {(student, scope, trigger, recipe) for student, scope, trigger, recipe in rows}
