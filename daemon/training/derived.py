"""Runs of derived students: when they are made, and their directories. They have sources in place of rows."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from daemon.training.beginnings import student_of
from daemon.training.lineage import Source, Sources, sources_now
from daemon.training.manifest import all_eval_rows, keep_what_was_asked, write_spec
from daemon.training.run_directory import claim_directory
from daemon.training.run_fingerprint import identity_of
from engine.config import Config, TrainingConfig
from engine.config.ancestors import derived_origins
from engine.config.lineage import JOINT
from engine.config.students import ASKED_AGAIN
from engine.errors import JobFailed
from engine.students.operations import OPERATIONS, DerivedConfig
from engine.students.spec import SourceStudent, Spec, digest_of, write_rows
from state.database import open_reader
from state.enums import RunState
from state.lineage import ancestors
from state.runs import (
    NewRun,
    RunRequeue,
    RunRow,
    RunSettings,
    StoredRun,
    TaskInfo,
    run_by_id,
    stored_runs,
    task_digests,
)
from state.sqlite import Connection

TRIGGER = "sources"
"""The trigger of a derived run that no command made."""
MEMBER = "member"
"""The role of a source in an operation whose students take no parts."""


@dataclass(frozen=True, slots=True)
class DerivedScope:
    """A derived student on a task, or on all of its tasks together."""

    config: DerivedConfig
    name: str
    tasks: tuple[str, ...]
    sources: tuple[Source, ...]

    @property
    def key(self) -> tuple[str, str]:
        """Names of the student and the scope."""
        return self.config.name, self.name

    @property
    def source_students(self) -> tuple[str, ...]:
        """The students that it is made from."""
        return tuple(source.student for source in self.sources)


def derived_scopes(config: Config) -> dict[str, list[DerivedScope]]:
    """The scopes of all derived students that have runs, by name."""
    origins = derived_origins(config)
    found: dict[str, list[DerivedScope]] = {}
    for each in config.derived:
        operation = OPERATIONS[each.make]
        if not operation.runs(each):
            continue
        found[each.name] = [
            DerivedScope(each, name, origin.tasks, _sources_of(operation.roles, origin.sources))
            for name, origin in origins[each.name].items()
        ]
    return found


def _sources_of(roles: Sequence[str], sources: Sequence[tuple[str, str]]) -> tuple[Source, ...]:
    return tuple(
        Source(name, scope, role)
        for (name, scope), role in zip(sources, roles or (MEMBER,) * len(sources), strict=True)
    )


@dataclass(frozen=True, slots=True)
class Wanted:
    """What there is to do for a derived student on a scope."""

    waits: str = ""
    awaited: str = ""
    """The source that is waited for, as `student on scope`."""
    run: NewRun | RunRequeue | None = None
    renamed: StoredRun | None = None
    """A run of another name that is its own."""
    asked_again: str = ""
    """What of its evaluation changed, if the run is only evaluated again."""


@dataclass(frozen=True, slots=True)
class DerivedNow:
    """A derived student on a scope, as it is configured."""

    sources: Sources
    fingerprint: str
    runs: tuple[StoredRun, ...]
    """Its runs, oldest first."""
    renamed: StoredRun | None
    """Without any: a run of another name that is its own."""


def derived_now(
    config: Config, scope: DerivedScope, runs: Sequence[StoredRun], digests: Mapping[str, str]
) -> DerivedNow:
    """A derived student on a scope, and which of all runs are its own.

    Args:
        config: the configuration.
        scope: the student and the scope.
        runs: all runs, oldest first.
        digests: of the questions of each task.
    """
    sources = sources_now(scope.sources, runs)
    of_tasks = [digests.get(task, "") for task in scope.tasks]
    fingerprint = derived_fingerprint(scope.config, sources.identities, of_tasks)
    same = [run for run in runs if (run.scope, run.fingerprint) == (scope.name, fingerprint)]
    own = tuple(run for run in same if run.name == scope.config.name)
    taken = {each.name for each in config.derived}
    other = next((run for run in same if run.name not in taken), None) if not own else None
    return DerivedNow(sources, fingerprint, own, other)


def evaluated_otherwise(config: DerivedConfig, run: StoredRun) -> str:
    """What of the evaluation of a finished run is another setting now; empty: nothing, or it has not finished."""
    before, now = run.student.get("evaluation", {}), config.evaluation.model_dump(mode="json")
    names = [name for name in ASKED_AGAIN if name != "temperature" or now["samples"]]
    differ = [name for name in names if before.get(name) != now[name]]
    if run.state != RunState.DONE:
        return ""
    return ", ".join(f"{name} was {before.get(name)} and is {now[name]}" for name in differ)


class DerivedRuns:
    """Looks at what derived students are made from. Only reads."""

    def __init__(self, config: Config, task_ids: dict[str, int]) -> None:
        self._config, self._task_ids = config, task_ids

    def due(self, scope: DerivedScope) -> Wanted:
        """The run to make now, because a source is newer or the settings are others."""
        now = self._look(scope)
        if now.sources.waits:
            return Wanted(waits=now.sources.waits, awaited=now.sources.awaited)
        if now.renamed is not None:
            return Wanted(renamed=now.renamed)
        if not now.runs:
            return Wanted(run=self._new(scope, now, TRIGGER))
        return self._evaluated_again(scope, now.runs[-1])

    def by_command(self, scope: DerivedScope, trigger: str) -> Wanted:
        """The run to make by a command; a stopped or failed one of the same sources is resumed."""
        now = self._look(scope)
        if now.sources.waits:
            return Wanted(waits=now.sources.waits, awaited=now.sources.awaited)
        if now.runs and now.runs[-1].state in (RunState.STOPPED, RunState.FAILED):
            return Wanted(run=RunRequeue(run_id=now.runs[-1].id, tries=0))
        return Wanted(run=self._new(scope, now, trigger))

    def _look(self, scope: DerivedScope) -> DerivedNow:
        with closing(open_reader(self._config.database)) as connection:
            runs, digests = stored_runs(connection), task_digests(connection)
        return derived_now(self._config, scope, runs, digests)

    def _evaluated_again(self, scope: DerivedScope, run: StoredRun) -> Wanted:
        """Its newest run, if that was evaluated with other settings."""
        said = evaluated_otherwise(scope.config, run)
        if not said:
            return Wanted()
        with closing(open_reader(self._config.database)) as connection:
            row = run_by_id(connection, run.id)
            if row is None or student_of(connection, self._config, row) is None:
                return Wanted()
        now = scope.config.evaluation.model_dump(mode="json")
        settings = replace(row.settings, student={**row.settings.student, "evaluation": now})
        return Wanted(run=RunRequeue(run_id=run.id, tries=0, settings=settings), asked_again=said)

    def _new(self, scope: DerivedScope, now: DerivedNow, trigger: str) -> NewRun:
        config, sources = scope.config, now.sources
        first = sources.runs[0][0].student
        training = TrainingConfig(seed=config.seed)
        return NewRun(
            student=config.name,
            task_id=self._task_ids[scope.tasks[0]] if scope.name != JOINT else None,
            scope=scope.name,
            trigger=trigger,
            fingerprint=now.fingerprint,
            method=config.make,
            base="",
            seed=config.seed,
            zero_stage=0,
            priority=config.priority,
            digest=digest_of([]),
            questions=0,
            rows=0,
            sample_ids=(),
            drops={},
            sources=sources.rows,
            kind=config.make,
            settings=RunSettings(
                student={
                    "name": config.name,
                    "method": first.get("method"),
                    "training": training.model_dump(mode="json"),
                    "evaluation": config.evaluation.model_dump(mode="json"),
                    "derived": config.model_dump(mode="json", exclude={"name", "evaluation"}),
                    "sources": list(sources.identities),
                },
                tasks=tuple(
                    TaskInfo(
                        id=self._task_ids[task], name=task, answer_format=self._config.tasks[task].answer
                    )
                    for task in scope.tasks
                ),
            ),
        )


def derived_fingerprint(config: DerivedConfig, sources: Sequence[str], digests: Sequence[str]) -> str:
    """The fingerprint of a derived student's runs. Another evaluation asks the student again, and is no part of it.

    Args:
        config: its settings.
        sources: the identities of the runs that it is made from.
        digests: the digests of its tasks' questions, in order.
    """
    seen = {"derived": identity_of(config), "sources": list(sources), "tasks": list(digests)}
    return hashlib.blake2b(json.dumps(seen, sort_keys=True).encode(), digest_size=12).hexdigest()


def materialise_derived(
    connection: Connection, config: Config, run: RunRow, say: Callable[[str], None] = lambda _said: None
) -> Path:
    """Writes the directory of a derived run if it does not exist, and returns its path.

    Raises:
        JobFailed: a source has no student, or they do not go together: the message says why.
    """
    directory, _ = claim_directory(connection, config, run, say)
    student = run.settings.student
    settings = OPERATIONS[run.kind].settings.model_validate(
        {**student["derived"], "name": run.student, "evaluation": student["evaluation"]}
    )
    if (directory / "spec.json").exists():
        spec = Spec.model_validate_json((directory / "spec.json").read_bytes())
        if spec.evaluation != settings.evaluation:
            keep_what_was_asked(directory, spec)
            write_spec(directory, spec.model_copy(update={"evaluation": settings.evaluation}))
        return directory
    sources = tuple(_source(connection, config, source.id, source.role) for source in run.sources)
    if reason := OPERATIONS[run.kind].refusal(sources):
        raise JobFailed(reason)
    write_rows(directory / "manifest.jsonl", [])
    write_rows(directory / "questions.jsonl", all_eval_rows(connection, run.settings.tasks))
    spec = Spec(
        run_id=run.id,
        student=run.student,
        scope=run.scope,
        trigger=run.trigger,
        method=sources[0].method,
        guidance=sources[0].guidance,
        base=sources[0].directory,
        form=sources[0].form,
        training=TrainingConfig.model_validate(student["training"]),
        evaluation=settings.evaluation,
        manifest_digest=run.digest,
        kind=run.kind,
        operation=settings.model_dump(mode="json"),
        sources=sources,
    )
    write_spec(directory, spec)
    return directory


def _source(connection: Connection, config: Config, run_id: int, role: str) -> SourceStudent:
    """An exported student, with what its directory says of it.

    Raises:
        JobFailed: it is gone.
    """
    row = run_by_id(connection, run_id)
    place = student_of(connection, config, row) if row else None
    if row is None or place is None:
        about = f"run {run_id}" if row is None else f"run {run_id} ({row.student} on {row.scope})"
        again = f": train it again with `coterie train {row.scope} --student {row.student}`" if row else ""
        raise JobFailed(f"the student of {about}, which this run is made from, is gone{again}")
    spec: Any = Spec.model_validate_json((place.parent / "spec.json").read_bytes())
    line = ancestors(connection, run_id)
    root = run_by_id(connection, line[-1]) if line else row
    return SourceStudent(
        run_id=run_id,
        student=row.student,
        scope=row.scope,
        role=role,
        directory=str(place),
        rows=_manifest(place) if _own_rows(row) else "",
        inherited=() if _own_rows(row) else _inherited(connection, config, row),
        method=spec.method,
        form=spec.form,
        base=root.base if root else row.base,
        ancestors=tuple(line),
        part=spec.part,
        guidance=spec.guidance,
    )


def _own_rows(run: RunRow) -> bool:
    return run.digest != digest_of([])


def _manifest(student: Path) -> str:
    return str(student.parent / "manifest.jsonl")


def _inherited(connection: Connection, config: Config, run: RunRow) -> tuple[str, ...]:
    """The manifests of the nearest trained runs that a derived one comes from."""
    found: dict[str, None] = {}
    for source in run.sources:
        row = run_by_id(connection, source.id)
        if row is None:
            continue
        if not _own_rows(row):
            found |= dict.fromkeys(_inherited(connection, config, row))
        elif (place := student_of(connection, config, row)) is not None:
            found[_manifest(place)] = None
    return tuple(found)
