"""The progress of an experiment, cell by cell. Pure: database state in, words and numbers out.

A cell is a point of the matrix on one task, with all its seeds. Its state is the most urgent state of its seeds:
`failed`, `training`, `queued`, `sampling`, `waiting` (not started) or `done`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

from engine.config.experiment import ExperimentCell, ExperimentConfig, cells
from engine.config.named import expand
from engine.strategies import BASELINES
from state.enums import ACTIVE_RUN_STATES, RunState
from state.views.experiment_progress import ExperimentProgress, PlanProgress, RunProgress

State = Literal["failed", "training", "queued", "sampling", "waiting", "done"]
ENDED = (RunState.FAILED, RunState.STOPPED)


@dataclass(frozen=True, kw_only=True, slots=True)
class CellStanding:
    """A cell on one task: its state in one word, and in more words what is done and what it waits for."""

    cell: ExperimentCell
    task: str
    state: State
    said: str
    seeds: int
    done: int


@dataclass(frozen=True, kw_only=True, slots=True)
class Left:
    """The remaining work: samples of plans (shared ones counted once), runs, and failed runs."""

    samples: int
    runs: int
    failed: int


def standings(experiment: ExperimentConfig, standing: ExperimentProgress) -> list[CellStanding]:
    """Every cell on every task, in the order of the report's tables."""
    tasks = expand(list(experiment.tasks), list(standing.tasks))
    groups: dict[ExperimentCell, list[ExperimentCell]] = {}
    for cell in cells(experiment):  # each learning rate by itself
        groups.setdefault(replace(cell, seed=0, student=""), []).append(cell)
    return [
        _baseline(key, task, standing) if key.method in BASELINES else _students(key, group, task, standing)
        for key, group in groups.items()
        for task in tasks
    ]


def line(experiment: ExperimentConfig, standing: ExperimentProgress) -> str:
    """`experiment: 12 of 36 cells`."""
    found = standings(experiment, standing)
    failed = sum(each.state == "failed" for each in found)
    done = sum(each.state == "done" for each in found)
    return f"{experiment.name}: {done} of {len(found)} cells" + (f", {failed} failed" if failed else "")


def left(experiment: ExperimentConfig, standing: ExperimentProgress, found: Sequence[CellStanding]) -> Left:
    """The work that unfinished cells still need."""
    own = {cell.plan for cell in cells(experiment)}
    missing: dict[tuple[str, str], int] = {}
    for plan in standing.plans.values():
        if plan.name in own:
            key = plan.task, plan.fingerprint
            missing[key] = max(missing.get(key, 0), plan.wanted - plan.ended)
    students = {(cell.student, each.task) for cell in cells(experiment) if cell.student for each in found}
    states = Counter(
        standing.runs[key].state if key in standing.runs else RunState.QUEUED for key in students
    )
    failed = sum(states[state] for state in ENDED)
    return Left(
        samples=sum(missing.values()),
        runs=len(students) - states[RunState.DONE] - failed,
        failed=failed,
    )


def _baseline(cell: ExperimentCell, task: str, standing: ExperimentProgress) -> CellStanding:
    plan = standing.plans.get((cell.plan, task))
    state: State = "waiting"
    if plan is not None and plan.ended:
        state = "done" if plan.ended >= plan.wanted else "sampling"
    said = "done" if state == "done" else _waiting(plan)
    return CellStanding(cell=cell, task=task, state=state, said=said, seeds=1, done=int(state == "done"))


def _students(
    key: ExperimentCell, group: list[ExperimentCell], task: str, standing: ExperimentProgress
) -> CellStanding:
    runs = [standing.runs.get((cell.student, task)) for cell in group]
    begun = [run for run in runs if run is not None]
    done = sum(run.state == RunState.DONE for run in begun)
    ended = [run for run in begun if run.state in ENDED]
    active = [run for run in begun if run.state in ACTIVE_RUN_STATES]
    queued = sum(run.state == RunState.QUEUED for run in begun)
    plan = standing.plans.get((key.plan, task))
    sampling = plan is not None and 0 < plan.ended < plan.wanted
    parts = [f"done {done} of {len(group)}"] if done else []
    parts += [f"run {run.id} {run.state}{_why(run)}" for run in ended]
    parts += [f"run {run.id} {run.state} step {run.step} of {run.steps}" for run in active]
    parts += [f"{queued} queued"] if queued else []
    if len(begun) < len(group):
        parts.append("about to start" if not key.plan else _waiting(plan))
    state: State = "waiting"
    if done == len(group):
        state = "done"
    elif ended:
        state = "failed"
    elif active:
        state = "training"
    elif queued:
        state = "queued"
    elif sampling:
        state = "sampling"
    said = f"done {done} of {len(group)} seeds" if state == "done" else ", ".join(parts)
    return CellStanding(cell=key, task=task, state=state, said=said, seeds=len(group), done=done)


def _waiting(plan: PlanProgress | None) -> str:
    if plan is None:
        return "waiting for samples"
    if plan.ended >= plan.wanted:
        return "about to start"
    return f"waiting for samples {plan.ended} of {plan.wanted}"


def _why(run: RunProgress) -> str:
    return f": {' '.join(run.error.split())}" if run.error else ""
