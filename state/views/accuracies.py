"""What every student reaches on test, by task, beside its base and the teacher: for a comparison at a glance."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from state.sqlite import Connection
from state.views.rows import first, rows
from state.views.status_records import Accuracy

BASE = "base"
"""The method that measures a base, as it is stored with a run."""


@dataclass(frozen=True, kw_only=True, slots=True)
class TestResult:
    """A run on the test questions of one task."""

    __test__ = False  # not a test, whatever pytest thinks of its name

    task: str
    student: str
    method: str
    base: str
    test: Accuracy
    dev: float | None
    """On dev, at the step that was tested."""

    @property
    def run(self) -> int:
        """The run's id."""
        return self.test.run or 0


@dataclass(frozen=True, kw_only=True, slots=True)
class RunNow:
    """What the status does not say of an active run."""

    run: int
    phase: str
    started_at: int | None
    dev: float | None
    """Its newest accuracy on dev, over all its tasks."""
    losses: tuple[tuple[int, float], ...]
    """Step and loss, those after the step asked for."""


def test_results(connection: Connection) -> list[TestResult]:
    """The newest result of each student on each task, in the order of the tasks, then of the runs."""
    found = rows(
        connection,
        "SELECT t.name, r.student, r.method, r.base, e.correct, e.n, r.seed, r.id, (SELECT d.accuracy FROM evaluation d"
        " WHERE d.run_id = e.run_id AND d.task_id = e.task_id AND d.split = 'dev' AND d.step = e.step)"
        " FROM evaluation e JOIN run r ON r.id = e.run_id JOIN task t ON t.id = e.task_id"
        " WHERE e.split = 'test' AND t.active = 1 ORDER BY t.id, r.id",
    )
    newest: dict[tuple[str, str], TestResult] = {}
    for task, student, method, base, correct, n, seed, run, dev in found:
        test = Accuracy.of(correct, n, seed=seed, run=run)
        if test is not None:
            newest.pop((task, student), None)
            newest[task, student] = TestResult(
                task=task, student=student, method=method, base=base, test=test, dev=dev
            )
    return sorted(newest.values(), key=lambda each: [row[0] for row in found].index(each.task))


def runs_now(connection: Connection, runs: Mapping[int, int]) -> list[RunNow]:
    """Phase, losses and newest dev accuracy of runs; `runs` gives the step after which losses are wanted, by id."""
    found = []
    for run, after in runs.items():
        row = first(connection, "SELECT phase, started_at FROM run WHERE id = ?", (run,))
        if row is None:
            continue
        right, n = rows(
            connection,
            "SELECT sum(correct), sum(n) FROM evaluation WHERE run_id = ? AND split = 'dev'"
            " AND step = (SELECT max(step) FROM evaluation WHERE run_id = ? AND split = 'dev')",
            (run, run),
        )[0]
        losses = rows(
            connection,
            "SELECT step, loss FROM metric WHERE run_id = ? AND step > ? ORDER BY step LIMIT 5000",
            (run, after),
        )
        dev = right / n if n else None
        found.append(
            RunNow(run=run, phase=row[0], started_at=row[1], dev=dev, losses=tuple(map(tuple, losses)))
        )
    return found
