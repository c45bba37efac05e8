"""Exports attempts, runs, metrics, evaluations and events as plain rows with declared types.

A column is a name, its type and what it holds (`docs/schema.md`). Types are `int`, `float`, `text` and `bool`; each may be
null. Times are UTC milliseconds.
"""

from __future__ import annotations

import zlib
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
    compressed: bool = False
    """Whether the SQL reads a compressed body."""


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
    page: int | None = None
    """Rows of one read, where they are large."""

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
            f" WHERE {where} ORDER BY {order} LIMIT {min(PAGE, self.page or PAGE)}"
        )
        after: tuple[Any, ...] = (-1,) * len(self.key)
        while page := connection.execute(sql, (task, student, *after)).fetchall():
            for row in page:
                values = row[len(self.key) :]
                yield {
                    column.name: _value(column, value)
                    for column, value in zip(self.columns, values, strict=True)
                }
            after = page[-1][: len(self.key)]


def _value(column: Column, value: Any) -> Any:
    if value is None:
        return None
    if column.compressed:
        return zlib.decompress(value).decode("utf-8", "replace")
    return bool(value) if column.type == "bool" else value


_SHARED = "coalesce(a.leader_id, a.id)"

ATTEMPTS = TableExport(
    name="attempts",
    tables="attempt a JOIN sample s ON s.id = a.sample_id JOIN plan p ON p.id = s.plan_id JOIN task t ON t.id = s.task_id"
    " JOIN question q ON q.id = s.question_id JOIN teacher te ON te.id = a.teacher_id"
    " LEFT JOIN completion c ON c.attempt_id = a.id",
    key=("a.id",),
    task="t.name",
    page=100,
    columns=(
        Column("attempt", "int", "a.id", "number of the attempt"),
        Column("sample_id", "int", "a.sample_id", "the sample it was for"),
        Column("plan", "text", "p.name", "name of the sample's plan"),
        Column("fingerprint", "text", "s.recipe", "hash of what the plan asks, as in `export samples`"),
        Column("task", "text", "t.name", "name of the task"),
        Column("question_id", "text", "q.key", "id of the question in your data"),
        Column("split", "text", "s.split", "`train`, `dev` or `test`"),
        Column("replicate", "int", "s.replicate", "which sample of the question, from 0"),
        Column("sample_state", "text", "s.state", "open, stored or failed"),
        Column("turn", "int", "a.turn", "turn of the conversation, from 0"),
        Column("teacher", "text", "te.name", "teacher that was asked"),
        Column("session", "int", "a.boot_id", "daemon session that asked"),
        Column("request", "int", _SHARED, "first attempt of the request; it has the body and its latency"),
        Column("choice", "int", "a.choice", "which answer to the request, from 0"),
        Column("request_id", "text", "a.request_id", "`X-Request-Id` that was sent"),
        Column("provider_id", "text", "a.provider_id", "the provider's own id"),
        Column("outcome", "text", "a.outcome", "ok, why there was no answer, or null: in flight"),
        Column("status", "int", "a.status", "HTTP status"),
        Column("reason", "text", "a.reason", "why there was no answer"),
        Column("prompt_tokens", "int", "a.prompt_tokens", "prompt tokens that were booked"),
        Column("completion_tokens", "int", "a.completion_tokens", "completion tokens, reasoning included"),
        Column("cached_tokens", "int", "a.cached_tokens", "prompt tokens from the provider's cache"),
        Column("cache_write_tokens", "int", "a.cache_write_tokens", "prompt tokens written to that cache"),
        Column("reasoning_tokens", "int", "a.reasoning_tokens", "reasoning tokens"),
        Column("estimated", "bool", "a.estimated", "whether the answer stated no usage"),
        Column("cost_usd", "float", "a.cost_micros / 1e6", "dollars spent"),
        Column("unknown_usd", "float", "a.unknown_micros / 1e6", "dollars that may have been billed besides"),
        Column("latency_ms", "int", "a.latency_ms", "from sending to the last byte"),
        Column("claimed_at", "int", "a.claimed_at", "when it was written down, UTC ms"),
        Column("ended_at", "int", "a.ended_at", "when it ended, UTC ms"),
        Column("finish_reason", "text", "c.finish_reason", "why the answer ended"),
        Column("body", "text", "c.raw", "body of the response as received, without keys", compressed=True),
    ),
)

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
        Column("parameters", "int", "r.parameters", "weights of the student"),
        Column("bytes", "int", "r.bytes", "of the weights that answering needs"),
        Column("train_flops", "float", "r.train_flops", "FLOPs of its training"),
        Column("tries", "int", "r.tries", "starts of its process since it last made a checkpoint"),
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
        Column("kind", "text", "r.kind", "`train`, or the operation that made its student from others"),
        Column(
            "sources",
            "text",
            "(SELECT json_group_array(s.source_id) FROM run_source s WHERE s.run_id = r.id)",
            "numbers of the runs whose students it started from, JSON",
        ),
        Column(
            "figures",
            "text",
            "r.figures",
            "what its process found out besides: of an operation, or the weights of teachers, JSON",
        ),
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
        Column("extra", "text", "m.extra", "weights of teachers, where rows are selected, JSON"),
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
        Column(
            "correct_format",
            "float",
            "e.correct_format",
            "share of the answers that have the mark of an answer, 0 to 1",
        ),
        Column("complete", "float", "e.complete", "share of the answers that ended by themselves, 0 to 1"),
        Column(
            "repetitions", "text", "e.repetitions", "accuracy of each repetition of the sampled answers, JSON"
        ),
        Column("prompt_tokens", "int", "e.prompt_tokens", "read for the greedy answers, over all turns"),
        Column("completion_tokens", "int", "e.completion_tokens", "written for them"),
        Column("flops", "float", "e.flops", "FLOPs of one of them, on average"),
        Column("seconds", "float", "e.seconds", "that devices took for them"),
        Column("formats", "text", "e.formats", "results in further formats of the student, JSON"),
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

TABLES = {each.name: each for each in (ATTEMPTS, RUNS, METRICS, EVALUATIONS, EVENTS)}
"""Exports of whole tables, by name."""

PREDICTION_TYPES: dict[str, ColumnType] = {
    **{"run": "int", "student": "text", "task": "text", "question_id": "text", "split": "text"},
    **{"question": "text", "gold": "text", "completion": "text", "extracted": "text", "correct": "bool"},
    **{"reason": "text", "prompt_tokens": "int", "tokens": "int", "flops": "float"},
}
"""The columns of `state.exports.predictions`."""
