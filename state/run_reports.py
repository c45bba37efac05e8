"""What the processes of student runs report: progress, metrics, evaluations, predictions."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import chain, islice, repeat
from typing import Any, TypedDict

from state.bulk import insert, storable
from state.checksums import checksum
from state.confidence_interval import accuracy_text
from state.sqlite import Connection


class RunColumns(TypedDict, total=False):
    """Columns of a run that its process's reports change; those that are left out stay."""

    state: str
    phase: str
    step: int
    steps: int
    loss: float | None
    tokens_per_second: float | None
    eta_s: float | None
    progress_offset: int
    parameters: int
    bytes: int
    train_flops: float | None
    figures: str


@dataclass(frozen=True, kw_only=True, slots=True)
class RunReport:
    """What a run's process reported since it was last read: metrics, evaluations, and columns of its row."""

    run_id: int
    values: RunColumns
    metrics: tuple[tuple[Any, ...], ...] = ()
    evaluations: tuple[tuple[Any, ...], ...] = ()
    too_long: int | None = None
    """Rows that its process left out because they exceed the student's context; None: it has not said."""
    trained: int | None = None
    """The last step of a finished run: what a process that was killed reported beyond it is dropped."""


WEIGHT = "weight."
"""Before the name of a teacher in `metric.extra` and `run.figures`: how much its rows count; there with `@` and the task."""
TOO_LONG = "longer than max_length tokens"
"""Their reason among a run's drops: known only once there is a tokenizer."""

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
    "extra",
)
EVALUATION_COLUMNS = (
    ("task_id", "split", "step", "epoch", "n", "correct", "accuracy", "low", "high", "seed", "at")
    + ("majority_of", "majority", "correct_format", "complete", "repetitions")
    + ("prompt_tokens", "completion_tokens", "flops", "seconds", "formats")
)  # fmt: skip
SPLIT = EVALUATION_COLUMNS.index("split")


def report_run(connection: Connection, reports: Sequence[RunReport]) -> list[None]:
    """Stores what runs reported; a step or an evaluation that comes again (after a resume) replaces itself.

    A run's accuracy is that on test, over the questions of all its tasks.
    """
    for report in reports:
        tested = any(evaluation[SPLIT] == "test" for evaluation in report.evaluations)
        insert(
            connection,
            f"INSERT OR REPLACE INTO metric (run_id, {', '.join(METRIC_COLUMNS)})",
            [
                (report.run_id, *islice(chain(metric, repeat(None)), len(METRIC_COLUMNS)))
                for metric in report.metrics
            ],
        )
        insert(
            connection,
            f"INSERT OR REPLACE INTO evaluation (run_id, {', '.join(EVALUATION_COLUMNS)})",
            [
                (report.run_id, *islice(chain(evaluation, repeat(None)), len(EVALUATION_COLUMNS)))
                for evaluation in report.evaluations  # their last columns may be left out: not known
            ],
        )
        _set(connection, report.run_id, report.values)
        if report.too_long is not None:
            found = "json_remove(drops, ?1)" if report.too_long == 0 else "json_set(drops, ?1, ?2)"
            connection.execute(
                f"UPDATE run SET drops = {found} WHERE id = ?3",
                (f'$."{TOO_LONG}"', report.too_long, report.run_id),
            )
        if report.trained is not None:
            for table in ("metric", "evaluation"):
                connection.execute(
                    f"DELETE FROM {table} WHERE run_id = ? AND step > ?", (report.run_id, report.trained)
                )
        if tested:  # over all questions of all its tasks
            connection.execute(
                "UPDATE run SET accuracy = (SELECT sum(correct) * 1.0 / sum(n) FROM evaluation"
                " WHERE run_id = ?1 AND split = 'test') WHERE id = ?1",
                (report.run_id,),
            )
    return [None] * len(reports)


def _set(connection: Connection, run_id: int, values: RunColumns) -> None:
    if values:
        columns = ", ".join(f"{name} = ?" for name in values)
        connection.execute(f"UPDATE run SET {columns} WHERE id = ?", storable((*values.values(), run_id)))


@dataclass(frozen=True, kw_only=True, slots=True)
class Predictions:
    """All answers of a finished run."""

    run_id: int
    rows: tuple[tuple[Any, ...], ...]  # question_id, split, text, extracted, correct, reason
    costs: tuple[tuple[Any, ...], ...] = ()
    """Of each row: prompt tokens, written tokens, FLOPs. Empty: they are not known."""


def store_predictions(connection: Connection, items: Sequence[Predictions]) -> list[None]:
    """Replaces the predictions of runs."""
    for item in items:
        connection.execute("DELETE FROM prediction WHERE run_id = ?", (item.run_id,))
        insert(
            connection,
            "INSERT INTO prediction (run_id, question_id, split, text, extracted, correct, reason, prompt_tokens, tokens,"
            " flops, checksum)",
            [
                (item.run_id, *row, *cost, checksum(row[2]))
                for row, cost in zip(item.rows, item.costs or repeat((None, None, None)), strict=False)
            ],
        )
    return [None] * len(items)


@dataclass(frozen=True, kw_only=True, slots=True)
class SplitResult:
    """Accuracy on the test split of a task, with its 95 % interval."""

    task: str
    accuracy: float
    low: float
    high: float
    n: int
    seed: int


def results_on_test(connection: Connection, run_id: int) -> list[SplitResult]:
    """The results of a run on its tasks' test splits."""
    rows = connection.execute(
        "SELECT t.name, e.accuracy, e.low, e.high, e.n, e.seed FROM evaluation e JOIN task t ON t.id = e.task_id"
        " WHERE e.run_id = ? AND e.split = 'test' ORDER BY e.id",
        (run_id,),
    ).fetchall()
    return [
        SplitResult(task=task, accuracy=accuracy, low=low, high=high, n=n, seed=seed)
        for task, accuracy, low, high, n, seed in rows
    ]


def words_on_test(connection: Connection, run_id: int) -> str:
    """The results of a run on test as people read them, one for each task."""
    results = results_on_test(connection, run_id)
    said = [
        (f"{each.task} " if len(results) > 1 else "")
        + f"{accuracy_text(each.accuracy, each.low, each.high)} % on test, n = {each.n:,}, seed {each.seed}"
        for each in results
    ]
    return "; ".join(said) or "no test questions"
