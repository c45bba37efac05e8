"""Student runs: made once with their manifest, and changed by the daemon.

What their processes report is in `run_reports.py`.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from state.bulk import rows_json, storable
from state.database import now_ms
from state.enums import ACTIVE_RUN_STATES, FINISHED_EARLY, TRAIN, RunState
from state.lineage import SOURCES, SourceRun, add_sources, decode, requeue_waiting, set_previous
from state.run_reports import TOO_LONG
from state.sqlite import Connection


@dataclass(frozen=True, kw_only=True, slots=True)
class TaskInfo:
    """A task as students see it."""

    id: int
    name: str
    answer_format: str


@dataclass(frozen=True, kw_only=True, slots=True)
class RunSettings:
    """How a run was made: the column `spec`, JSON."""

    student: Mapping[str, Any]
    """The student's resolved configuration."""
    tasks: tuple[TaskInfo, ...] = ()
    plans: tuple[int, ...] = ()
    """Ids of the plans whose samples it reads."""
    counted: int | None = None
    """Samples that triggers counted when it was made; None for a run of an older version."""
    splits: int = 1
    """Parts that each micro-batch is computed in: more than 1 after it did not fit into the memory."""
    overlap: int = 1
    """The rule by which training questions are left out that overlap with held-out ones; 1: that of version 0.1."""
    flagged: tuple[int, ...] = ()
    """Ids of the questions that were left out because you had flagged them, of a student that reads no samples."""
    targets: str = ""
    """The digest of the distributions that its student learns from, if it does."""
    labels: int = 1
    """The rule for the answer under a wrong rationale; 1, that of version 0.1: the teacher's own, whatever the settings say."""
    order: int = 1
    """The rule for the order of samples of one replicate from several plans; 1: the one that came first is first."""

    def encode(self) -> str:
        """The column."""
        values: dict[str, Any] = {
            "student": dict(self.student),
            "tasks": [[task.id, task.name, task.answer_format] for task in self.tasks],
            "plans": list(self.plans),
        }
        if self.counted is not None:
            values["counted"] = self.counted
        if self.splits != 1:
            values["pieces"] = self.splits
        if self.overlap != 1:
            values["overlap"] = self.overlap
        if self.labels != 1:
            values["labels"] = self.labels
        if self.order != 1:
            values["order"] = self.order
        if self.targets:
            values["targets"] = self.targets
        if self.flagged:
            values["flagged"] = list(self.flagged)
        return json.dumps(values)

    @classmethod
    def decode(cls, text: str) -> RunSettings:
        """The settings that a column holds."""
        values = json.loads(text)
        return cls(
            student=values.get("student", {}),
            tasks=tuple(
                TaskInfo(id=key, name=name, answer_format=form) for key, name, form in values.get("tasks", ())
            ),
            plans=tuple(values.get("plans", ())),
            counted=values.get("counted"),
            splits=values.get("pieces", 1),
            overlap=values.get("overlap", 1),
            targets=values.get("targets", ""),
            labels=values.get("labels", 1),
            order=values.get("order", 1),
            flagged=tuple(values.get("flagged", ())),
        )


def ordered_by_arrival(connection: Connection, student: str) -> bool:
    """Whether a student has runs from before the order of samples of one replicate was drawn: it goes on with theirs."""
    found = connection.execute(
        "SELECT EXISTS (SELECT 1 FROM run WHERE student = ? AND json_extract(spec, '$.order') IS NULL)",
        (student,),
    ).fetchone()
    return bool(found[0])


def own_answer_runs(connection: Connection) -> set[tuple[str, str]]:
    """Student and scope where all runs are from before wrong rationales taught the gold answer, and there is no answer filter."""
    rows = connection.execute(
        "SELECT student, scope FROM run GROUP BY student, scope HAVING max(json_extract(spec, '$.labels')) IS NULL"
        " AND max(json_extract(spec, '$.student.curation.keep') <> 'correct') = 1"
    )
    return {(student, scope) for student, scope in rows}


@dataclass(frozen=True, kw_only=True, slots=True)
class NewRun:
    """A run to make, with the samples its student reads."""

    student: str
    task_id: int | None
    scope: str
    trigger: str
    fingerprint: str
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
    settings: RunSettings
    labels: tuple[tuple[int, str, int, int], ...] = ()  # pseudo-labels: question, answer, votes, voters
    sources: tuple[tuple[int, str], ...] = ()
    """The runs whose students it starts from, each with its role."""
    kind: str = TRAIN
    created_at: int = field(default_factory=now_ms)


@dataclass(frozen=True, kw_only=True, slots=True)
class RunRow:
    """A run as the daemon works with it."""

    id: int
    student: str
    scope: str
    trigger: str
    state: RunState
    base: str
    settings: RunSettings
    digest: str
    device: str = ""
    pid: int | None = None
    pid_started: float | None = None
    tries: int = 0
    priority: int = 0
    progress_offset: int = 0
    started_at: int | None = None
    sources: tuple[SourceRun, ...] = ()
    """The runs whose students it starts from; the previous one only once it has started."""
    kind: str = TRAIN


@dataclass(frozen=True, kw_only=True, slots=True)
class RunStart:
    """A run's process was started."""

    run_id: int
    directory: str
    device: str
    pid: int | None
    """None: it has no process on this machine."""
    pid_started: float | None
    boot_id: int
    tries: int
    started_at: int
    previous: int | None = None
    """The run of the same student that it starts from, with `start_from = "previous"`."""


@dataclass(frozen=True, kw_only=True, slots=True)
class RunRequeue:
    """A run waits to be started again: from its checkpoint, where it has one."""

    run_id: int
    tries: int
    settings: RunSettings | None = None
    """None: as they were."""
    fingerprint: str | None = None
    """Of those settings; None: as it was."""


@dataclass(frozen=True, kw_only=True, slots=True)
class RunEnd:
    """A run ended: done, failed (with the error), or stopped for good."""

    run_id: int
    state: RunState
    error: str | None = None
    early: bool = False
    """Whether the user had it finish before its last step."""


def create_run(connection: Connection, runs: Sequence[NewRun]) -> list[int | None]:
    """Creates runs with their manifests; None where the run exists (a trigger fires once)."""
    return [_create(connection, run) for run in runs]


def _create(connection: Connection, run: NewRun) -> int | None:
    row = connection.execute(
        "INSERT INTO run (student, task_id, scope, trigger, recipe, state, method, base, seed, zero_stage, spec,"
        " digest, samples, questions, drops, directory, device, tries, priority, phase, step, steps,"
        " progress_offset, created_at, kind) VALUES (?, ?, ?, ?, ?, 'queued', ?, ?, ?, ?, ?, ?, ?, ?, ?, '', '', 0, ?,"
        " '', 0, 0, 0, ?, ?) ON CONFLICT DO NOTHING RETURNING id",
        (run.student, run.task_id, run.scope, run.trigger, run.fingerprint, run.method, run.base, run.seed)
        + (run.zero_stage, run.settings.encode(), run.digest, run.rows, run.questions)
        + (json.dumps(run.drops), run.priority, run.created_at, run.kind),
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
    add_sources(connection, row[0], run.sources)
    return int(row[0])


def make_runs(
    connection: Connection, wanted: Sequence[Sequence[NewRun | RunRequeue]]
) -> list[list[int | None]]:
    """Creates and queues runs, each group as a whole; their ids."""
    return [[_make(connection, run) for run in runs] for runs in wanted]


def _make(connection: Connection, run: NewRun | RunRequeue) -> int | None:
    if isinstance(run, NewRun):
        return _create(connection, run)
    requeue_run(connection, [run])
    requeue_waiting(connection, run.run_id)
    return run.run_id


def start_run(connection: Connection, starts: Sequence[RunStart]) -> list[None]:
    """Records that processes were started."""
    for start in starts:
        connection.execute(
            "UPDATE run SET state = 'starting', phase = 'starting', directory = ?, device = ?, pid = ?, pid_started = ?,"
            " boot_id = ?, tries = ?, started_at = ?, error = NULL WHERE id = ?",
            storable(
                (start.directory, start.device, start.pid, start.pid_started)
                + (start.boot_id, start.tries, start.started_at, start.run_id)
            ),
        )
        set_previous(connection, start.run_id, start.previous)
    return [None] * len(starts)


def requeue_run(connection: Connection, runs: Sequence[RunRequeue]) -> list[None]:
    """Queues runs again."""
    for run in runs:
        connection.execute(
            "UPDATE run SET state = 'queued', pid = NULL, tries = ?, error = NULL, ended_at = NULL,"
            " spec = coalesce(?, spec), recipe = coalesce(?, recipe) WHERE id = ?",
            (run.tries, run.settings.encode() if run.settings else None, run.fingerprint, run.run_id),
        )
    return [None] * len(runs)


def end_run(connection: Connection, ends: Sequence[RunEnd]) -> list[None]:
    """Records that runs ended."""
    for end in ends:
        done = end.state == RunState.DONE
        phase = (FINISHED_EARLY if end.early else "") if done else None
        connection.execute(
            "UPDATE run SET state = ?, error = ?, pid = NULL, ended_at = ?, eta_s = ?,"
            " phase = coalesce(?, phase) WHERE id = ?",
            storable((end.state.value, end.error, now_ms(), 0.0 if done else None, phase, end.run_id)),
        )
    return [None] * len(ends)


def unfinished(connection: Connection) -> list[RunRow]:
    """Runs that are queued or have a process, in the order in which they start: priority, then age."""
    states = (RunState.QUEUED, *ACTIVE_RUN_STATES)
    marks = ", ".join("?" * len(states))
    return _rows(
        connection,
        f"WHERE state IN ({marks}) ORDER BY priority DESC, id",
        tuple(state.value for state in states),
    )


def latest_run(connection: Connection, student: str, scope: str, fingerprint: str) -> RunRow | None:
    """The newest run of these settings that had something to read."""
    found = _rows(
        connection,
        "WHERE student = ? AND scope = ? AND recipe = ? AND samples > 0 ORDER BY id DESC LIMIT 1",
        (student, scope, fingerprint),
    )
    return found[0] if found else None


def done_runs(connection: Connection) -> list[RunRow]:
    """All runs that are done, oldest first."""
    return _rows(connection, "WHERE state = 'done' ORDER BY id", ())


def run_by_id(connection: Connection, run_id: int) -> RunRow | None:
    """A run; None where there is none."""
    return next(iter(_rows(connection, "WHERE id = ?", (run_id,))), None)


def sample_ids(connection: Connection, run_id: int) -> set[int]:
    """The samples that a run's student reads."""
    rows = connection.execute("SELECT sample_id FROM run_sample WHERE run_id = ?", (run_id,)).fetchall()
    return {int(row[0]) for row in rows}


def finished_before(connection: Connection, run: RunRow) -> list[RunRow]:
    """Finished runs before this one of the same student, scope and base, newest first."""
    return _rows(
        connection,
        "WHERE student = ? AND scope = ? AND base = ? AND state = 'done' AND id < ? ORDER BY id DESC",
        (run.student, run.scope, run.base, run.id),
    )


@dataclass(frozen=True, kw_only=True, slots=True)
class StoredRun:
    """A run, for telling whether a student would be the same."""

    id: int
    name: str
    """Of its student."""
    scope: str
    trigger: str
    fingerprint: str
    state: RunState
    rows: int
    """That were trained on."""
    spec: str
    """The column, JSON."""
    digest: str = ""
    """Of its manifest."""
    error: str = ""

    @property
    def student(self) -> dict[str, Any]:
        """The configuration of its student."""
        found = json.loads(self.spec).get("student", {})
        return found if isinstance(found, dict) else {}


def stored_runs(connection: Connection) -> list[StoredRun]:
    """All runs, oldest first."""
    rows = connection.execute(
        "SELECT id, student, scope, trigger, recipe, state, samples - coalesce(drops ->> ?, 0), spec, digest, coalesce(error, '')"
        " FROM run ORDER BY id",
        (f'$."{TOO_LONG}"',),
    ).fetchall()
    return [
        StoredRun(
            id=key,
            name=name,
            scope=scope,
            trigger=trigger,
            fingerprint=of,
            state=RunState(state),
            rows=n,
            spec=spec,
            digest=digest,
            error=error,
        )
        for key, name, scope, trigger, of, state, n, spec, digest, error in rows
    ]


def rename_run(connection: Connection, renamed: Sequence[tuple[int, str]]) -> list[None]:
    """Makes runs those of a student with another name."""
    for run_id, name in renamed:
        connection.execute(
            "UPDATE OR IGNORE run SET student = ?1, spec = json_set(spec, '$.student.name', ?1) WHERE id = ?2",
            (name, run_id),
        )
    return [None] * len(renamed)


def task_digests(connection: Connection) -> dict[str, str]:
    """Digests of the tasks' questions, by name: part of a run's fingerprint."""
    return dict(connection.execute("SELECT name, digest FROM task").fetchall())


_COLUMNS = (
    *("id", "student", "scope", "trigger", "state", "base", "spec", "digest", "device", "pid", "pid_started"),
    *("tries", "priority", "progress_offset", "started_at", "kind"),
)


def _rows(connection: Connection, where: str, parameters: tuple[Any, ...]) -> list[RunRow]:
    columns = ", ".join((*_COLUMNS, SOURCES))
    rows = connection.execute(f"SELECT {columns} FROM run {where}", parameters).fetchall()
    found = []
    for *row, sources in rows:
        values: dict[str, Any] = {**dict(zip(_COLUMNS, row, strict=True)), "sources": decode(sources)}
        settings = RunSettings.decode(values.pop("spec"))
        found.append(RunRow(**{**values, "state": RunState(values["state"]), "settings": settings}))
    return found
