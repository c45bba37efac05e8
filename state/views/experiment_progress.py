"""Progress of plans and students by name, for an experiment's progress. Reads only counters."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from state.sqlite import Connection
from state.views.rows import first, loaded, rows, snapshot


@dataclass(frozen=True, kw_only=True, slots=True)
class PlanProgress:
    """An active plan on one task; `ended` counts samples that are stored, failed or no longer needed."""

    id: int
    name: str
    task: str
    fingerprint: str
    wanted: int
    ended: int


@dataclass(frozen=True, kw_only=True, slots=True)
class RunProgress:
    """The newest run of a student on one scope."""

    id: int
    student: str
    scope: str
    state: str
    step: int
    steps: int
    error: str


@dataclass(frozen=True, kw_only=True, slots=True)
class ExperimentProgress:
    """All plans and runs, with the configuration of the last daemon session."""

    config: dict[str, Any]
    tasks: tuple[str, ...]
    plans: dict[tuple[str, str], PlanProgress]
    """By plan and task."""
    runs: dict[tuple[str, str], RunProgress]
    """By student and scope."""


def read_experiment_progress(connection: Connection) -> ExperimentProgress:
    """Reads it in one snapshot; the cost does not depend on the number of samples."""
    with snapshot(connection):
        boot = first(connection, "SELECT config FROM boot ORDER BY id DESC LIMIT 1")
        tasks = rows(connection, "SELECT name FROM task WHERE active = 1 ORDER BY id")
        plans = rows(
            connection,
            "SELECT p.id, p.name, t.name, p.recipe, p.wanted, p.stored + p.failed + p.skipped FROM plan p"
            " JOIN task t ON t.id = p.task_id WHERE p.active = 1 AND t.active = 1 ORDER BY p.id",
        )
        runs = rows(
            connection,
            "SELECT id, student, scope, state, step, steps, coalesce(error, '') FROM run"
            " WHERE id IN (SELECT max(id) FROM run GROUP BY student, scope)",
        )
    return ExperimentProgress(
        config=loaded(boot[0], dict) if boot is not None else {},
        tasks=tuple(name for (name,) in tasks),
        plans={
            (row[1], row[2]): PlanProgress(
                id=row[0], name=row[1], task=row[2], fingerprint=row[3], wanted=row[4], ended=row[5]
            )
            for row in plans
        },
        runs={
            (row[1], row[2]): RunProgress(
                id=row[0], student=row[1], scope=row[2], state=row[3], step=row[4], steps=row[5], error=row[6]
            )
            for row in runs
        },
    )
