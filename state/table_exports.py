"""Exports runs, metrics, evaluations and events as plain rows with declared types.

A column is a name, its type and what it holds (`docs/schema.md`). Types are `int`, `float`, `text` and `bool`; each may be
null. Times are UTC milliseconds.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

from state.sqlite import Connection

PAGE = 2000

ColumnType = Literal["int", "float", "text", "bool"]


class Column(NamedTuple):
    """A column of an export, and the SQL that reads it."""

    name: str
    type: ColumnType
    sql: str
    about: str


@dataclass(frozen=True, slots=True)
class TableExport:
    """An export of one table: one row per row, in the order of its key."""

    name: str
    tables: str
    key: tuple[str, ...]
    columns: tuple[Column, ...]
    task: str | None = None
    """The SQL of the task's name; None: rows have none."""
    student: str | None = None
    """The SQL of the student's name; None: rows have none."""

    @property
    def types(self) -> dict[str, ColumnType]:
        """The type of each column."""
        return {column.name: column.type for column in self.columns}

    def rows(
        self, connection: Connection, task: str | None = None, student: str | None = None
    ) -> Iterator[dict[str, Any]]:
        """The rows, in short reads.

        Args:
            connection: an open reading connection.
            task: only rows of this task.
            student: only rows of this student.
        """
        chosen = [
            f"({column} = ?{place} OR ?{place} IS NULL)"
            for place, column in ((1, self.task), (2, self.student))
            if column
        ]
        marks = ", ".join(f"?{place + 3}" for place in range(len(self.key)))
        order = ", ".join(self.key)
        where = " AND ".join([*chosen, f"({order}) > ({marks})"])
        sql = (
            f"SELECT {order}, {', '.join(column.sql for column in self.columns)} FROM {self.tables}"
            f" WHERE {where} ORDER BY {order} LIMIT {PAGE}"
        )
        after: tuple[Any, ...] = (-1,) * len(self.key)
        names = [column.name for column in self.columns]
        flags = [column.type == "bool" for column in self.columns]
        while page := connection.execute(sql, (task, student, *after)).fetchall():
            for row in page:
                values = row[len(self.key) :]
                yield {
                    name: bool(value) if flag and value is not None else value
                    for name, flag, value in zip(names, flags, values, strict=True)
                }
            after = page[-1][: len(self.key)]


_OF_RUN = (
    Column("run", "int", "r.id", "number of the run"),
    Column("student", "text", "r.student", "name of the student"),
)

RUNS = TableExport(
    name="runs",
    tables="run r",
    key=("r.id",),
    task="r.scope",
    student="r.student",
    columns=(
        *_OF_RUN,
        Column("scope", "text", "r.scope", "name of the task, or `joint`"),
        Column("trigger", "text", 'r."trigger"', "why it started: `400`, `complete`, `manual-1`"),
        Column("state", "text", "r.state", "queued, starting, training, evaluating, done, failed, stopped"),
        Column("method", "text", "r.method", "student method"),
        Column("base", "text", "r.base", "base model"),
        Column("seed", "int", "r.seed", "seed of initialisation and data order"),
        Column("rows", "int", "r.samples", "rows of the training set"),
        Column("questions", "int", "r.questions", "questions of the training set"),
        Column("step", "int", "r.step", "optimizer steps done"),
        Column("steps", "int", "r.steps", "optimizer steps planned"),
        Column("loss", "float", "r.loss", "last training loss, nats per token"),
        Column("accuracy", "float", "r.accuracy", "on test, 0 to 1, over the questions of all its tasks"),
        Column("tries", "int", "r.tries", "starts of its process"),
        Column("error", "text", "r.error", "why it failed"),
        Column("fingerprint", "text", "r.recipe", "hash of settings and data that decide the student"),
        Column("digest", "text", "r.digest", "hash of the training set"),
        Column("directory", "text", "r.directory", "directory of the run"),
        Column(
            "database",
            "text",
            "(SELECT database FROM identity)",
            "identity of the database, as in the directory's `owner.json`",
        ),
        Column("settings", "text", "r.spec ->> '$.student'", "resolved configuration of the student, JSON"),
        Column("created_at", "int", "r.created_at", "when it was queued, UTC ms"),
        Column("started_at", "int", "r.started_at", "when it started, UTC ms"),
        Column("ended_at", "int", "r.ended_at", "when it ended, UTC ms"),
    ),
)

METRICS = TableExport(
    name="metrics",
    tables="metric m JOIN run r ON r.id = m.run_id",
    key=("m.run_id", "m.step"),
    task="r.scope",
    student="r.student",
    columns=(
        *_OF_RUN,
        Column("step", "int", "m.step", "optimizer step"),
        Column("epoch", "float", "m.epoch", "passes over the training set so far"),
        Column("loss", "float", "m.loss", "training loss, nats per token"),
        Column("learning_rate", "float", "m.learning_rate", "learning rate of the step"),
        Column("grad_norm", "float", "m.grad_norm", "norm of the gradient before clipping"),
        Column("tokens_per_second", "float", "m.tokens_per_second", "trained tokens per second"),
        Column("mfu", "float", "m.mfu", "share of the device's peak, 0 to 1"),
        Column("memory_mb", "float", "m.memory_mb", "peak memory in MB"),
        Column("at", "int", "m.at", "UTC ms"),
    ),
)

EVALUATIONS = TableExport(
    name="evaluations",
    tables="evaluation e JOIN run r ON r.id = e.run_id JOIN task t ON t.id = e.task_id",
    key=("e.id",),
    task="t.name",
    student="r.student",
    columns=(
        *_OF_RUN,
        Column("task", "text", "t.name", "name of the task"),
        Column("split", "text", "e.split", "`dev` or `test`"),
        Column("seed", "int", "e.seed", "seed of the run"),
        Column("step", "int", "e.step", "optimizer step of the weights"),
        Column("epoch", "float", "e.epoch", "passes over the training set of the weights"),
        Column("n", "int", "e.n", "questions"),
        Column("correct", "int", "e.correct", "questions answered correctly"),
        Column("accuracy", "float", "e.accuracy", "0 to 1"),
        Column("low", "float", "e.low", "lower end of the 95 % interval over questions (Wilson)"),
        Column("high", "float", "e.high", "upper end of the 95 % interval"),
        Column("majority_of", "int", "e.majority_of", "sampled answers per question, if there are any"),
        Column("majority", "float", "e.majority", "accuracy of their majority, 0 to 1"),
        Column("at", "int", "e.at", "UTC ms"),
    ),
)

EVENTS = TableExport(
    name="events",
    tables="event e",
    key=("e.id",),
    columns=(
        Column("event", "int", "e.id", "number of the event"),
        Column("at", "int", "e.at", "UTC ms"),
        Column("level", "text", "e.level", "info, warning or error"),
        Column("kind", "text", "e.kind", "kind of event, such as `TeacherParked`"),
        Column("subject", "text", "e.subject", "what it is about: `teacher:gpt`, `task:gsm8k`, `run:7`"),
        Column("message", "text", "e.message", "what happened"),
        Column("data", "text", "e.data", "its fields, JSON"),
    ),
)

TABLES = {each.name: each for each in (RUNS, METRICS, EVALUATIONS, EVENTS)}
"""Exports of whole tables, by name."""

PREDICTION_TYPES: dict[str, ColumnType] = {
    **{"run": "int", "student": "text", "task": "text", "question_id": "text", "split": "text"},
    **{"question": "text", "gold": "text", "completion": "text", "extracted": "text", "correct": "bool"},
    "reason": "text",
}
"""The columns of `state.exports.predictions`."""
