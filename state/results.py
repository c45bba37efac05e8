"""Data of the report: counts of sampling, and results of students and teachers."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from state.enums import FINISHED_EARLY, TRAIN
from state.lineage import BASE, PREVIOUS
from state.panels import RoundAnswer, round_answers
from state.run_reports import TOO_LONG
from state.sqlite import Connection
from state.wordings import Search, searches


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
    source: str = ""
    notes: tuple[str, ...] = ()
    """Notes on its rows from when they were read: duplicates, overlap between splits."""


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
    covered: int  # questions with at least one correct rationale
    questions: int  # questions with at least one stored sample
    spent_usd: float
    settings: dict[str, Any]
    sampled_usd: float | None = None
    """The cost of all samples it counts, whichever plan paid for them; None: use `spent_usd`."""
    tokens: int | None = None
    """Prompt and completion tokens of these samples; None: not known."""
    votes: tuple[tuple[int, str | None, int | None], ...] = ()
    """For plans on dev or test with several rationales: question, extracted answer, verdict, by replicate."""
    fingerprint: str = ""
    """Plans of one fingerprint on a task share their samples."""
    labelled: bool = True
    """False: its task has no gold answers, and accepted samples are those that were answered."""
    failures: tuple[tuple[str, int], ...] = ()
    """Reasons why samples failed, with counts, most frequent first."""

    @property
    def strategy(self) -> str:
        """Its strategy's name."""
        return str(self.settings.get("strategy", "zero-shot-cot"))

    @property
    def usd_per_correct(self) -> float | None:
        """Dollars per correct sample, wrong and failed ones included; None before the first."""
        cost = self.spent_usd if self.sampled_usd is None else self.sampled_usd
        return cost / self.accepted if self.accepted and self.labelled else None


@dataclass(frozen=True, kw_only=True, slots=True)
class RunResult:
    """A finished run on one task: its test accuracy with its interval."""

    run_id: int
    student: str
    method: str
    task: str
    trigger: str
    rows: int  # it trained on: without those that its process found too long
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
    majority: float | None = None
    """Accuracy of the majority of `majority_of` sampled answers per question, if they were sampled."""
    superseded: bool = False
    """Whether the student has a newer run with different settings or data."""
    step: int = 0
    steps: int = 0
    """Optimizer steps done, and planned."""
    early: bool = False
    """Whether the user had it finish before its last step."""
    base: str = ""
    passes: float = 0.0
    """Passes over the training set; without those of runs that it started from."""
    warm_start: int | None = None
    """The run whose student it started from; None: it started from the base."""
    test_reads: int = 1
    """How often test was evaluated for a student of this name on this task, over the life of the database."""
    ended_at: int = 0
    """UTC milliseconds."""
    correct_format: float | None = None
    """Share of the test answers that have the mark of an answer; None: unknown."""
    complete: float | None = None
    """Share of the test answers that ended by themselves; None: unknown."""
    repetitions: tuple[float, ...] = ()
    """Accuracy of each repetition of the sampled answers, if they were sampled."""
    formats: Mapping[str, Mapping[str, float]] = field(default_factory=dict)
    """In each further format that it was trained in: n, correct, accuracy, low and high."""
    kind: str = TRAIN
    """`train`, or the operation that made its student from others."""
    sources: tuple[int, ...] = ()
    """The runs whose students it started from or was made from."""
    parameters: int | None = None
    """Of its student, over all members; None: a run of an older version."""
    flops: float | None = None
    """Of one answer on test, on average; None: not known."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Results:
    """Everything that the report shows."""

    tasks: tuple[TaskResult, ...]
    plans: tuple[PlanResult, ...]
    runs: tuple[RunResult, ...]
    failed: tuple[tuple[int, str, str, str], ...]  # run, student, scope, reason
    config: dict[str, Any]
    boots: int
    spent_usd: float
    """Known to be billed."""
    unknown_attempts: int
    prompt_tokens: int
    completion_tokens: int
    unknown_usd: float = 0.0
    """What requests without an answer may have cost besides."""
    versions: tuple[str, ...] = ()
    """Versions of Coterie that wrote this database, in order."""
    models: tuple[tuple[str, str], ...] = ()
    """Active teachers, each with its model."""
    rounds: tuple[RoundAnswer, ...] = ()
    """The answers of panels, round by round."""
    searches: tuple[Search, ...] = ()
    """The wordings that were tried for plans."""
    golds: Mapping[int, tuple[str, str]] = field(default_factory=dict)
    """Text and gold answer of the questions that panels answered, by id."""


def read_results(connection: Connection) -> Results:
    """Reads it in one snapshot; costs a pass over the samples."""
    connection.execute("BEGIN")
    try:
        return _read(connection)
    finally:
        connection.execute("COMMIT")


def _read(connection: Connection) -> Results:
    run = connection.execute
    spent, may_be, unknown, prompt, completion = run(
        "SELECT coalesce(sum(spent_micros), 0), coalesce(sum(unknown_micros), 0), coalesce(sum(unknown_attempts), 0),"
        " coalesce(sum(prompt_tokens), 0), coalesce(sum(completion_tokens), 0) FROM teacher"
    ).fetchone()
    boots, config = run(
        "SELECT count(*), coalesce((SELECT config FROM boot ORDER BY id DESC LIMIT 1), '{}') FROM boot"
    ).fetchone()
    rounds = round_answers(connection)
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
        unknown_usd=may_be / 1e6,
        unknown_attempts=unknown,
        prompt_tokens=prompt,
        completion_tokens=completion,
        versions=tuple(
            version for (version,) in run("SELECT version FROM boot GROUP BY version ORDER BY min(id)")
        ),
        models=tuple(run("SELECT name, model FROM teacher WHERE active = 1 ORDER BY id").fetchall()),
        rounds=tuple(rounds),
        searches=tuple(searches(connection)),
        golds={
            key: (text, gold)
            for key, text, gold in run(
                "SELECT id, text, gold FROM question WHERE id IN (SELECT value FROM json_each(?))",
                (json.dumps(sorted({each.question_id for each in rounds})),),
            )
        },
    )


def _tasks(connection: Connection) -> list[TaskResult]:
    rows = connection.execute(
        "SELECT id, name, answer_format, train, dev, test, source FROM task WHERE active = 1 ORDER BY id"
    ).fetchall()
    notes = _notes(connection)
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
            source=source,
            notes=notes.get(name, ()),
        )
        for key, name, form, train, dev, test, source in rows
    ]


def _notes(connection: Connection) -> dict[str, tuple[str, ...]]:
    """Notes on each task from the last daemon session that read it."""
    found: dict[str, dict[int, list[str]]] = {}
    for at, data in connection.execute("SELECT at, data FROM event WHERE kind = 'TaskRead' ORDER BY id"):
        told = json.loads(data)
        if "task" in told and "note" in told:
            boot = connection.execute(
                "SELECT coalesce(max(id), 0) FROM boot WHERE started_at <= ?", (at,)
            ).fetchone()[0]
            found.setdefault(told["task"], {}).setdefault(boot, []).append(told["note"])
    return {name: tuple(dict.fromkeys(by_boot[max(by_boot)])) for name, by_boot in found.items()}


def _plans(connection: Connection) -> list[PlanResult]:
    rows = connection.execute(
        "SELECT p.name, t.name, p.split, p.teachers, p.rationales, p.wanted, p.stored, p.accepted, p.rejected,"
        " p.failed, p.spent_micros, p.settings, p.id, p.recipe, t.labelled"
        " FROM plan p JOIN task t ON t.id = p.task_id WHERE p.active = 1 ORDER BY p.id"
    ).fetchall()
    found = []
    for row in rows:
        covered, questions, micros, tokens = connection.execute(
            "SELECT count(DISTINCT CASE WHEN s.verdict = 1 THEN s.question_id END),"
            " count(DISTINCT CASE WHEN s.state = 'stored' THEN s.question_id END), coalesce(sum(s.cost_micros), 0),"
            " coalesce(sum(s.prompt_tokens + s.completion_tokens), 0)" + _COUNTED,
            (row[12],),
        ).fetchone()
        found.append(
            _plan(connection, row, covered=covered, questions=questions, micros=micros, tokens=tokens)
        )
    return found


_COUNTED = (
    " FROM plan p JOIN sample s ON s.task_id = p.task_id AND s.split = p.split AND s.recipe = p.recipe"
    " AND s.replicate < p.rationales JOIN question q ON q.id = s.question_id AND q.active = 1 WHERE p.id = ?"
)
"""The samples that a plan counts, whichever plan claimed them."""


def _plan(
    connection: Connection, row: tuple[Any, ...], *, covered: int, questions: int, micros: int, tokens: int
) -> PlanResult:
    return PlanResult(
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
        votes=_votes(connection, row[12]) if row[2] != "train" and row[4] > 1 else (),
        covered=covered,
        questions=questions,
        sampled_usd=micros / 1e6,
        tokens=tokens,
        fingerprint=row[13],
        labelled=bool(row[14]),
        failures=_failures(connection, row[12]) if row[9] else (),
    )


def _failures(connection: Connection, plan: int) -> tuple[tuple[str, int], ...]:
    rows = connection.execute(
        f"SELECT coalesce(s.reason, ''), count(*) n{_COUNTED} AND s.state = 'failed' GROUP BY 1 ORDER BY n DESC, 1",
        (plan,),
    )
    return tuple(rows.fetchall())


def _votes(connection: Connection, plan: int) -> tuple[tuple[int, str | None, int | None], ...]:
    rows = connection.execute(
        f"SELECT s.question_id, s.extracted, s.verdict{_COUNTED} AND s.state <> 'open'"
        " ORDER BY s.question_id, s.replicate",
        (plan,),
    )
    return tuple(rows.fetchall())


_STARTED_FROM = (
    "SELECT max(b.id) FROM run b WHERE b.student = r.student AND b.scope = r.scope AND b.base = r.base"
    " AND b.state = 'done' AND b.id < r.id AND b.ended_at <= r.started_at"
)
"""The latest run of the same student, scope and base that was finished when this one started: of a run of an older version."""


def _runs(connection: Connection) -> list[RunResult]:
    rows = connection.execute(
        "SELECT r.id, r.student, r.method, t.name, r.trigger, r.samples, r.questions, r.seed, e.n, e.correct,"
        " e.accuracy, e.low, e.high, (SELECT max(d.accuracy) FROM evaluation d WHERE d.run_id = r.id"
        " AND d.task_id = e.task_id AND d.split = 'dev'), r.directory, r.drops, (r.ended_at - r.started_at) / 1000.0,"
        " e.majority_of, e.majority, EXISTS (SELECT 1 FROM run n WHERE n.student = r.student AND n.scope = r.scope"
        " AND n.id > r.id AND n.recipe <> r.recipe), r.step, r.steps, r.phase = ?, r.base,"
        " coalesce((SELECT max(m.epoch) FROM metric m WHERE m.run_id = r.id), e.epoch),"
        f" coalesce((SELECT s.source_id FROM run_source s WHERE s.run_id = r.id AND s.role IN ('{BASE}', '{PREVIOUS}')"
        f" ORDER BY s.place DESC LIMIT 1), CASE WHEN r.spec ->> '$.student.start_from' = 'previous' THEN ({_STARTED_FROM}) END),"
        " (SELECT count(*) FROM evaluation x JOIN run o ON o.id = x.run_id WHERE o.student = r.student"
        " AND x.task_id = e.task_id AND x.split = 'test'), coalesce(r.ended_at, 0), e.correct_format, e.complete, e.repetitions, r.kind,"
        " (SELECT json_group_array(s.source_id) FROM run_source s WHERE s.run_id = r.id), e.formats, r.parameters, e.flops"
        " FROM run r JOIN evaluation e ON e.run_id = r.id AND e.split = 'test' JOIN task t ON t.id = e.task_id"
        " WHERE r.state = 'done' AND t.active = 1 ORDER BY r.id, t.id",
        (FINISHED_EARLY,),
    ).fetchall()
    return [
        RunResult(
            run_id=row[0],
            student=row[1],
            method=row[2],
            task=row[3],
            trigger=row[4],
            rows=row[5] - json.loads(row[15]).get(TOO_LONG, 0),
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
            superseded=bool(row[19]),
            step=row[20],
            steps=row[21],
            early=bool(row[22]),
            base=row[23],
            passes=row[24],
            warm_start=row[25],
            test_reads=row[26],
            ended_at=row[27],
            correct_format=row[28],
            complete=row[29],
            repetitions=tuple(json.loads(row[30] or "[]")),
            kind=row[31],
            sources=tuple(json.loads(row[32])),
            formats=json.loads(row[33] or "{}"),
            parameters=row[34],
            flops=row[35],
        )
        for row in rows
    ]


@dataclass(frozen=True, kw_only=True, slots=True)
class StoredAnswer:
    """A stored answer of a finished run to a test question, as text."""

    run_id: int
    task: str
    answer_format: str
    question: str
    gold: str
    text: str


def read_test_answers(connection: Connection) -> list[StoredAnswer]:
    """All stored answers to test questions."""
    rows = connection.execute(
        "SELECT p.run_id, t.name, t.answer_format, q.text, q.gold, p.text FROM prediction p"
        " JOIN run r ON r.id = p.run_id JOIN question q ON q.id = p.question_id JOIN task t ON t.id = q.task_id"
        " WHERE p.split = 'test' AND r.state = 'done' AND t.active = 1 ORDER BY p.run_id, q.position"
    ).fetchall()
    names = ("run_id", "task", "answer_format", "question", "gold", "text")
    return [StoredAnswer(**dict(zip(names, row, strict=True))) for row in rows]
