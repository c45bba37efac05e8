"""What the report is made of: counts of sampling and results of students and teachers, read once."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from state.sqlite import Connection


@dataclass(frozen=True, kw_only=True, slots=True)
class TaskResult:
    """An active task and its test questions (text, gold)."""

    id: int
    name: str
    answer_format: str
    train: int
    dev: int
    test: int
    questions: tuple[tuple[str, str], ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class PlanResult:
    """A plan's counts and cost; `settings` is its configuration."""

    name: str
    task: str
    split: str
    teachers: tuple[str, ...]
    rationales: int
    wanted: int
    stored: int
    accepted: int
    rejected: int
    failed: int
    covered: int  # questions with at least one accepted rationale
    questions: int  # questions with at least one stored sample
    spent_usd: float
    settings: dict[str, Any]
    votes: tuple[tuple[int, str | None, int | None], ...] = ()
    """Of plans on dev or test with several rationales: question, extracted answer, verdict, by replicate."""
    recipe: str = ""
    """Plans of one recipe on a task share their samples."""

    @property
    def strategy(self) -> str:
        """Its strategy's name."""
        return str(self.settings.get("strategy", "zero-shot-cot"))

    @property
    def usd_per_correct(self) -> float | None:
        """What a correct sample cost, wrong and failed ones paid for; None before there is one."""
        return self.spent_usd / self.accepted if self.accepted else None


@dataclass(frozen=True, kw_only=True, slots=True)
class RunResult:
    """A finished run on one task: its test accuracy with its interval."""

    run_id: int
    student: str
    method: str
    task: str
    trigger: str
    rows: int
    questions: int
    seed: int
    n: int
    correct: int
    accuracy: float
    low: float
    high: float
    dev_accuracy: float | None
    directory: str
    drops: dict[str, int]
    seconds: float | None
    majority_of: int | None = None
    """Sampled answers a question, where there are any."""
    majority: float | None = None
    """The accuracy of what most of them say."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Results:
    """Everything the report shows."""

    tasks: tuple[TaskResult, ...]
    plans: tuple[PlanResult, ...]
    runs: tuple[RunResult, ...]
    failed: tuple[tuple[int, str, str, str], ...]  # run, student, scope, reason
    config: dict[str, Any]
    boots: int
    spent_usd: float
    unknown_attempts: int
    prompt_tokens: int
    completion_tokens: int
    versions: tuple[str, ...] = ()
    """Of coterie, that wrote this state, the first one first."""


def read_results(connection: Connection) -> Results:
    """Reads it all in one snapshot; costs a pass over the samples."""
    connection.execute("BEGIN")
    try:
        return _read(connection)
    finally:
        connection.execute("COMMIT")


def _read(connection: Connection) -> Results:
    run = connection.execute
    spent, unknown, prompt, completion = run(
        "SELECT coalesce(sum(spent_micros), 0), coalesce(sum(unknown_attempts), 0),"
        " coalesce(sum(prompt_tokens), 0), coalesce(sum(completion_tokens), 0) FROM teacher"
    ).fetchone()
    boots, config = run(
        "SELECT count(*), coalesce((SELECT config FROM boot ORDER BY id DESC LIMIT 1), '{}') FROM boot"
    ).fetchone()
    return Results(
        tasks=tuple(_tasks(connection)),
        plans=tuple(_plans(connection)),
        runs=tuple(_runs(connection)),
        failed=tuple(
            run(
                "SELECT id, student, scope, coalesce(error, '') FROM run WHERE state = 'failed' ORDER BY id"
            ).fetchall()
        ),
        config=json.loads(config),
        boots=boots,
        spent_usd=spent / 1e6,
        unknown_attempts=unknown,
        prompt_tokens=prompt,
        completion_tokens=completion,
        versions=tuple(
            version for (version,) in run("SELECT version FROM boot GROUP BY version ORDER BY min(id)")
        ),
    )


def _tasks(connection: Connection) -> list[TaskResult]:
    rows = connection.execute(
        "SELECT id, name, answer_format, train, dev, test FROM task WHERE active = 1 ORDER BY id"
    ).fetchall()
    return [
        TaskResult(
            id=key,
            name=name,
            answer_format=form,
            train=train,
            dev=dev,
            test=test,
            questions=tuple(
                connection.execute(
                    "SELECT text, gold FROM question WHERE task_id = ? AND split = 'test' AND active = 1"
                    " ORDER BY position",
                    (key,),
                ).fetchall()
            ),
        )
        for key, name, form, train, dev, test in rows
    ]


def _plans(connection: Connection) -> list[PlanResult]:
    rows = connection.execute(
        "SELECT p.name, t.name, p.split, p.teachers, p.rationales, p.wanted, p.stored, p.accepted, p.rejected,"
        " p.failed, p.spent_micros, p.settings,"
        " (SELECT count(DISTINCT s.question_id) FROM sample s JOIN question q ON q.id = s.question_id"
        "  WHERE s.task_id = p.task_id AND s.split = p.split AND s.recipe = p.recipe AND s.replicate < p.rationales"
        "  AND s.verdict = 1 AND q.active = 1),"
        " (SELECT count(DISTINCT s.question_id) FROM sample s JOIN question q ON q.id = s.question_id"
        "  WHERE s.task_id = p.task_id AND s.split = p.split AND s.recipe = p.recipe AND s.replicate < p.rationales"
        "  AND s.state = 'stored' AND q.active = 1), p.id, p.recipe"
        " FROM plan p JOIN task t ON t.id = p.task_id WHERE p.active = 1 ORDER BY p.id"
    ).fetchall()
    return [
        PlanResult(
            name=row[0],
            task=row[1],
            split=row[2],
            teachers=tuple(json.loads(row[3])),
            rationales=row[4],
            wanted=row[5],
            stored=row[6],
            accepted=row[7],
            rejected=row[8],
            failed=row[9],
            spent_usd=row[10] / 1e6,
            settings=json.loads(row[11]),
            votes=_votes(connection, row[14]) if row[2] != "train" and row[4] > 1 else (),
            covered=row[12],
            questions=row[13],
            recipe=row[15],
        )
        for row in rows
    ]


def _votes(connection: Connection, plan: int) -> tuple[tuple[int, str | None, int | None], ...]:
    rows = connection.execute(
        "SELECT s.question_id, s.extracted, s.verdict FROM plan p JOIN sample s ON s.task_id = p.task_id"
        " AND s.split = p.split AND s.recipe = p.recipe AND s.replicate < p.rationales AND s.state <> 'open'"
        " JOIN question q ON q.id = s.question_id AND q.active = 1"
        " WHERE p.id = ? ORDER BY s.question_id, s.replicate",
        (plan,),
    )
    return tuple(rows.fetchall())


def _runs(connection: Connection) -> list[RunResult]:
    rows = connection.execute(
        "SELECT r.id, r.student, r.method, t.name, r.trigger, r.samples, r.questions, r.seed, e.n, e.correct,"
        " e.accuracy, e.low, e.high, (SELECT max(d.accuracy) FROM evaluation d WHERE d.run_id = r.id"
        " AND d.task_id = e.task_id AND d.split = 'dev'), r.directory, r.drops, (r.ended_at - r.started_at) / 1000.0,"
        " e.majority_of, e.majority"
        " FROM run r JOIN evaluation e ON e.run_id = r.id AND e.split = 'test' JOIN task t ON t.id = e.task_id"
        " WHERE r.state = 'done' AND t.active = 1 ORDER BY r.id, t.id"
    ).fetchall()
    return [
        RunResult(
            run_id=row[0],
            student=row[1],
            method=row[2],
            task=row[3],
            trigger=row[4],
            rows=row[5],
            questions=row[6],
            seed=row[7],
            n=row[8],
            correct=row[9],
            accuracy=row[10],
            low=row[11],
            high=row[12],
            dev_accuracy=row[13],
            directory=row[14],
            drops=json.loads(row[15]),
            seconds=row[16],
            majority_of=row[17],
            majority=row[18],
        )
        for row in rows
    ]
