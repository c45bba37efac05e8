"""The section of the report on students that were made from students: each beside what it was made from."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from engine.report.accuracy_table import text_table
from engine.students.operations import OPERATIONS
from state.confidence_interval import accuracy_text, percent
from state.enums import TRAIN
from state.results import Results, RunResult
from state.safe import safe
from state.views.made import MadeStudent

READING = (
    "Each student that an operation made (`made`), beside those that it was made from (`source`), the nearest student that all of these come from"
    " (`common ancestor`), trained students of all its tasks together (`joint`), and what the operation itself made to compare with (`simple mean`), whose"
    " accuracy is that over all tasks of the run. Accuracy on test has its 95 % interval (Wilson)."
)


def made_students(results: Results, made: Mapping[int, MadeStudent]) -> list[str]:
    """The section, as paragraphs; empty where nothing was made."""
    shown = [
        run for run in results.runs if run.kind in OPERATIONS and run.run_id in made and not run.superseded
    ]
    if not shown:
        return []
    by_run: dict[int, list[RunResult]] = {}
    for run in results.runs:
        by_run.setdefault(run.run_id, []).append(run)
    rows = [row for run in shown for row in _beside(run, made[run.run_id], results, by_run)]
    head = ["task", "made student", "beside it", "n", "dev %", "test % (95 % interval)"]
    found = dict.fromkeys(run.run_id for run in shown)
    lines = [_found(by_run[key][0], made[key]) for key in found]
    return [
        "## Students made from students",
        READING,
        safe(text_table(head, rows, left=3)),
        safe("\n".join(lines)),
    ]


def _beside(
    run: RunResult, made: MadeStudent, results: Results, by_run: Mapping[int, Sequence[RunResult]]
) -> list[list[str]]:
    """A made student on a task and whatever stands beside it, as rows."""
    rows = [_row(run, run.student, "made")]
    for name, words in OPERATIONS[run.kind].baselines.items():
        if (test := made.figures.get(f"{name}_test")) is not None:
            dev = made.figures.get(f"{name}_dev")
            rows.append(
                [run.task, run.student, words, "–", percent(dev) if dev is not None else "–", percent(test)]
            )
    seen = {run.run_id}
    others = [(key, "source") for key in made.sources] + [(key, "common ancestor") for key in made.common[:1]]
    others += [(each.run_id, "joint") for each in _joint(run, results, by_run)]
    for key, words in others:
        own = [each for each in by_run.get(key, ()) if each.task == run.task and key not in seen]
        rows += [_row(each, run.student, f"{words}: {each.student}") for each in own]
        seen.add(key)
    return rows


def _joint(run: RunResult, results: Results, by_run: Mapping[int, Sequence[RunResult]]) -> list[RunResult]:
    """Trained students of the same method that answer all tasks of a student of several."""
    tasks = {each.task for each in by_run[run.run_id]}
    if len(tasks) < 2:
        return []
    return [
        each
        for each in results.runs
        if each.kind == TRAIN
        and not each.superseded
        and (each.method, each.task) == (_method(run, by_run), run.task)
        and tasks <= {other.task for other in by_run[each.run_id]}
    ]


def _method(run: RunResult, by_run: Mapping[int, Sequence[RunResult]]) -> str:
    """The method of a student, or of the first that it was made from."""
    while run.kind != TRAIN and run.sources and run.sources[0] in by_run:
        run = by_run[run.sources[0]][0]
    return run.method


def _row(run: RunResult, student: str, words: str) -> list[str]:
    dev = percent(run.dev_accuracy) if run.dev_accuracy is not None else "–"
    return [run.task, student, words, f"{run.n:,}", dev, accuracy_text(run.accuracy, run.low, run.high)]


def _found(run: RunResult, made: MadeStudent) -> str:
    """What an operation was told and found out, as a line."""
    operation = OPERATIONS[run.kind]
    told = ", ".join(
        operation.said(operation.settings.model_validate({"name": run.student, **made.settings}))
    )
    figures = ", ".join(f"{name.replace('_', ' ')} {_number(value)}" for name, value in made.figures.items())
    return (
        f"- `{run.student}` (run {run.run_id}): {operation.title}{f' ({told})' if told else ''}. {figures}."
    )


def _number(value: object) -> str:
    if isinstance(value, float) and not value.is_integer():
        return f"{value:.4g}"
    return f"{int(value):,}" if isinstance(value, (int, float)) else str(value)
