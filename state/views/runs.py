"""Student runs in detail: settings, metrics by step, evaluations with baselines, predictions.

The list of runs is part of the status.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from state.enums import FINISHED_EARLY, TRAIN, RunState
from state.lineage import SourceRun, sources_of
from state.sqlite import Connection
from state.views.rows import first, loaded, rows, snapshot
from state.views.status_records import Accuracy

BASE = "base"
"""The method that measures a base without training, as it is stored with a run."""


@dataclass(frozen=True, kw_only=True, slots=True)
class MetricRow:
    """Metrics of a run at a step."""

    step: int
    epoch: float
    loss: float
    learning_rate: float
    grad_norm: float | None
    tokens_per_second: float | None
    mfu: float | None
    memory_mb: float | None
    extra: Mapping[str, float] = field(default_factory=dict)
    """What it reported besides: `weight.TEACHER`, where rows are selected."""


@dataclass(frozen=True, kw_only=True, slots=True)
class EvaluationRow:
    """Accuracy of a run on a split of a task, with its 95 % interval."""

    task: str
    split: str
    step: int
    epoch: float
    n: int
    correct: int
    accuracy: float
    low: float
    high: float
    seed: int
    majority_of: int | None = None
    """Sampled answers per question, where there are any."""
    majority: float | None = None
    """Accuracy of their majority."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Baseline:
    """Another accuracy on the same test questions: of a teacher's plan (a failed sample counts as wrong), or of another run.

    Runs are in the order of dev, the best first; those without dev questions come last.
    """

    name: str
    test: Accuracy
    run: int | None = None
    """The number of the run; None for a teacher."""
    untrained: bool = False
    """Whether it is the run's own base, without any training."""


@dataclass(frozen=True, kw_only=True, slots=True)
class RunDetail:
    """Everything about a run but its metrics and predictions."""

    id: int
    student: str
    task: str
    task_id: int | None
    trigger: str
    state: str
    phase: str
    method: str
    base: str
    seed: int
    zero_stage: int
    device: str
    samples: int
    questions: int
    drops: dict[str, Any]
    digest: str
    directory: str
    spec: dict[str, Any]
    step: int
    steps: int
    loss: float | None
    tokens_per_second: float | None
    eta_s: float | None
    error: str
    tries: int
    created_at: int
    started_at: int | None
    ended_at: int | None
    evaluations: tuple[EvaluationRow, ...]
    baselines: tuple[Baseline, ...]
    kind: str = TRAIN
    """`train`, or the operation that makes its student from others."""
    figures: dict[str, Any] = field(default_factory=dict)
    """What the operation found out."""
    sources: tuple[SourceRun, ...] = ()
    """The runs whose students it starts from."""

    @property
    def early(self) -> bool:
        """Whether the user had it finish before its last step."""
        return self.state == RunState.DONE and self.phase == FINISHED_EARLY

    @property
    def waits_for(self) -> str:
        """The source that a queued run is waiting for."""
        source = next((each for each in self.sources if not each.ended), None)
        return (
            f"waiting for {source.words}, which is {source.state}" if source else "waiting for a free device"
        )

    @property
    def test(self) -> Accuracy | None:
        """On test, over the questions of all its tasks."""
        return self._pooled([item for item in self.evaluations if item.split == "test"])

    @property
    def best_dev(self) -> Accuracy | None:
        """On dev, over the questions of all its tasks, at the step where that is best."""
        dev = [item for item in self.evaluations if item.split == "dev"]
        steps = sorted({item.step for item in dev})
        found = [self._pooled([item for item in dev if item.step == step]) for step in steps]
        return max((each for each in found if each is not None), key=lambda each: each.accuracy, default=None)

    def _pooled(self, items: list[EvaluationRow]) -> Accuracy | None:
        correct, n = sum(item.correct for item in items), sum(item.n for item in items)
        return Accuracy.of(correct, n, seed=self.seed, run=self.id)


@dataclass(frozen=True, kw_only=True, slots=True)
class PredictionRow:
    """A student's answer to a question."""

    question_id: int
    key: str
    split: str
    question: str
    gold: str
    text: str
    extracted: str | None
    correct: bool
    reason: str


_COLUMNS = (
    *("id", "student", "scope", "task_id", "trigger", "state", "phase", "method", "base", "seed"),
    *("zero_stage", "device", "samples", "questions", "drops", "digest", "directory", "spec", "step"),
    *("steps", "loss", "tokens_per_second", "eta_s", "error", "tries", "created_at"),
    *("started_at", "ended_at", "kind", "figures"),
)


def run_detail(connection: Connection, run: int) -> RunDetail | None:
    """A run with its evaluations and baselines; None where it does not exist."""
    with snapshot(connection):
        columns = ", ".join(f'"{name}"' for name in _COLUMNS)
        found = first(connection, f"SELECT {columns} FROM run WHERE id = ?", (run,))
        if found is None:
            return None
        values = dict(zip(_COLUMNS, found, strict=True))
        evaluations = rows(
            connection,
            "SELECT t.name, e.split, e.step, e.epoch, e.n, e.correct, e.accuracy, e.low, e.high, e.seed, e.majority_of, e.majority"
            " FROM evaluation e JOIN task t ON t.id = e.task_id WHERE e.run_id = ? ORDER BY e.step, e.id LIMIT 2000",
            (run,),
        )
        baselines = _baselines(connection, run, values["task_id"], values["base"])
        sources = sources_of(connection, run)
    values["task"] = values.pop("scope")
    values["drops"] = loaded(values["drops"], dict)
    values["spec"] = loaded(values["spec"], dict)
    values["figures"] = loaded(values["figures"], dict)
    values["error"] = values["error"] or ""
    names = (
        *("task", "split", "step", "epoch", "n", "correct", "accuracy", "low", "high", "seed"),
        *("majority_of", "majority"),
    )
    return RunDetail(
        **values,
        evaluations=tuple(EvaluationRow(**dict(zip(names, row, strict=True))) for row in evaluations),
        baselines=baselines,
        sources=sources,
    )


def run_metrics(connection: Connection, run: int, after: int = -1, limit: int = 20_000) -> list[MetricRow]:
    """Metrics of a run after step `after`, in order."""
    names = (
        *("step", "epoch", "loss", "learning_rate", "grad_norm", "tokens_per_second", "mfu", "memory_mb"),
        "extra",
    )
    found = rows(
        connection,
        f"SELECT {', '.join(names)} FROM metric WHERE run_id = ? AND step > ? ORDER BY step LIMIT ?",
        (run, after, limit),
    )
    return [MetricRow(**dict(zip(names, (*row[:-1], loaded(row[-1], dict)), strict=True))) for row in found]


def predictions(
    connection: Connection, run: int, *, after: int = -1, wrong_only: bool = False, limit: int = 200
) -> list[PredictionRow]:
    """A page of a run's predictions, by question id."""
    names = ("question_id", "key", "split", "question", "gold", "text", "extracted", "correct", "reason")
    found = rows(
        connection,
        "SELECT p.question_id, q.key, p.split, q.text, q.gold, p.text, p.extracted, p.correct, p.reason"
        " FROM prediction p JOIN question q ON q.id = p.question_id"
        f" WHERE p.run_id = ? AND p.question_id > ?{' AND p.correct = 0' if wrong_only else ''}"
        " ORDER BY p.question_id LIMIT ?",
        (run, after, limit),
    )
    return [PredictionRow(**dict(zip(names, (*row[:7], bool(row[7]), row[8]), strict=True))) for row in found]


def verdicts_on_test(connection: Connection, run: int) -> dict[int, bool]:
    """Whether a run's student answered each test question correctly, by question."""
    found = rows(
        connection, "SELECT question_id, correct FROM prediction WHERE run_id = ? AND split = 'test'", (run,)
    )
    return {question: bool(correct) for question, correct in found}


def _baselines(connection: Connection, run: int, task_id: int | None, base: str) -> tuple[Baseline, ...]:
    if task_id is None:
        return ()
    teachers = rows(
        connection,
        "SELECT name, accepted, rejected, failed FROM plan"
        " WHERE task_id = ? AND split = 'test' AND active = 1 ORDER BY id",
        (task_id,),
    )
    students = rows(
        connection,
        'SELECT r.id, r.student, r."trigger", e.n, e.correct, r.seed, r.method = ? AND r.base = ?'
        " FROM evaluation e JOIN run r ON r.id = e.run_id LEFT JOIN evaluation d ON d.run_id = e.run_id"
        " AND d.task_id = e.task_id AND d.split = 'dev' AND d.step = e.step"
        " WHERE e.task_id = ? AND e.split = 'test' AND r.id <> ? ORDER BY d.accuracy DESC NULLS LAST, r.id DESC LIMIT 20",
        (BASE, base, task_id, run),
    )
    found = [
        Baseline(name=f"teacher ({name})", test=test)
        for name, accepted, rejected, failed in teachers
        if (test := Accuracy.of(accepted, accepted + rejected + failed)) is not None
    ]
    return (
        *found,
        *(
            Baseline(
                name=f"run {number} {student} @{trigger}",
                test=test,
                run=number,
                untrained=untrained == 1,
            )
            for number, student, trigger, n, correct, seed, untrained in students
            if (test := Accuracy.of(correct, n, seed=seed)) is not None
        ),
    )
