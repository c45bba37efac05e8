"""The learning rate that dev chooses, where an experiment lists several. Pure.

A cell is trained with every candidate. The one with the best dev accuracy, the mean over its seeds, is measured on test; of
equal ones the first listed. The results of the others on test are taken away here, before anything is counted or shown.
Until all candidates of a cell are done or failed, none is chosen, and none has a result.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from engine.config.axes import AXES
from engine.config.experiment import ExperimentCell, ExperimentConfig, axes_of, cells
from engine.config.named import expand
from engine.report.accuracy_table import text_table
from state.figure_data import FigureData
from state.results import Results
from state.safe import safe


@dataclass(frozen=True, kw_only=True, slots=True)
class Candidate:
    """A learning rate of a cell on a task. `dev` is None if a seed failed, or is not done yet."""

    cell: ExperimentCell
    task: str
    rate: float
    dev: float | None
    chosen: bool | None
    """None: not decided."""

    @property
    def state(self) -> str:
        """In words."""
        if self.chosen is None:
            return "not decided"
        return "chosen" if self.chosen else "not chosen" if self.dev is not None else "not chosen (failed)"


@dataclass(frozen=True, kw_only=True, slots=True)
class Choice:
    """Results without the test results of learning rates that were not chosen, and all candidates."""

    results: Results
    figure_data: FigureData
    candidates: tuple[Candidate, ...] = ()
    by_cell: Mapping[tuple[ExperimentCell, str], Candidate] = field(default_factory=dict)
    """By cell (with its learning rate, without seed and student) and task."""


def choose(experiment: ExperimentConfig | None, results: Results, figure_data: FigureData) -> Choice:
    """The choice of each cell on each task; the results as they are where there is nothing to choose."""
    if experiment is None:
        return Choice(results=results, figure_data=figure_data)
    groups: dict[ExperimentCell, dict[float, list[str]]] = {}
    for cell in cells(experiment):
        if cell.learning_rate is not None:
            groups.setdefault(cell.choice, {}).setdefault(cell.learning_rate, []).append(cell.student)
    tasks = expand(list(experiment.tasks), [task.name for task in results.tasks])
    candidates: list[Candidate] = []
    hidden: set[tuple[str, str]] = set()
    for choice, rates in groups.items():
        if len(rates) < 2:
            continue
        for task in tasks:
            found = _decided(choice, task, rates, results)
            candidates += found
            hidden |= {(student, task) for each in found if not each.chosen for student in rates[each.rate]}
    gone = {(run.run_id, run.task) for run in results.runs if (run.student, run.task) in hidden}
    kept = {key: answers for key, answers in figure_data.answers.items() if key not in gone}
    return Choice(
        results=replace(
            results, runs=tuple(run for run in results.runs if (run.run_id, run.task) not in gone)
        ),
        figure_data=replace(figure_data, answers=kept),
        candidates=tuple(candidates),
        by_cell={(replace(each.cell, learning_rate=each.rate), each.task): each for each in candidates},
    )


def _decided(
    choice: ExperimentCell, task: str, rates: Mapping[float, list[str]], results: Results
) -> list[Candidate]:
    newest = {run.student: run for run in results.runs if run.task == task and not run.superseded}
    failed = {student for _, student, scope, _ in results.failed if scope in (task, "joint")}
    dev: dict[float, float | None] = {}
    open_ = False
    for rate, students in rates.items():
        measured = [newest[each].dev_accuracy for each in students if each in newest]
        known = [each for each in measured if each is not None]
        if len(known) == len(students):
            dev[rate] = sum(known) / len(known)
        else:
            dev[rate] = None
            open_ |= not any(each in failed and each not in newest for each in students)
    best = max((value for value in dev.values() if value is not None), default=None)
    winner = None if open_ or best is None else next(rate for rate, value in dev.items() if value == best)
    return [
        Candidate(
            cell=choice,
            task=task,
            rate=rate,
            dev=value,
            chosen=None if winner is None else rate == winner,
        )
        for rate, value in dev.items()
    ]


def rates_table(found: Choice) -> list[tuple[str, str]]:
    """(title, Markdown table) of the candidates with the accuracy that decides; empty if there are none."""
    if not found.candidates:
        return []
    rows = [
        [
            each.task,
            _described(each.cell),
            f"{each.rate:g}",
            "–" if each.dev is None else f"{100 * each.dev:.1f}",
            each.state,
        ]
        for each in found.candidates
    ]
    head = ("task", "cell", "learning rate", "dev %", "")
    return [("Learning rates, chosen by dev", safe(text_table(head, rows, left=2)))]


def _described(cell: ExperimentCell) -> str:
    own = axes_of(cell.method)
    known = (AXES[name].said(value) for name, value in cell.axes.items() if name in own and value is not None)
    return f"{cell.method}: {', '.join(known)}"
