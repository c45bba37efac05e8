"""The cells of an experiment with their measurements: the axes of the paper as tables. Pure.

Of several runs of a student the newest counts, unless a newer one with other settings or data is queued or running. A cell
whose runs are not all done is shown with those that are, and with the number of its seeds that are done.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from engine.config.axes import AXES
from engine.config.experiment import ExperimentCell, ExperimentConfig, arm, axes_of, cells, first_cell
from engine.methods import METHODS
from engine.report.accuracy_table import BESIDE, answered, beside, text_table
from engine.report.intervals import ONE_SEED, Estimate, estimate
from engine.report.paper_count import HEAD as PAPER
from engine.report.paper_count import cell as paper_cell
from engine.strategies import BASELINES
from state.figure_data import FigureData
from state.results import PlanResult, Results, RunResult
from state.safe import safe

TITLES = {
    "rationales": "Degree of reasoning diversity (D)",
    "questions": "Training questions",
    "base": "Student",
    "teacher": "Teacher",
    "filter": "Filter of rationales",
}
SAMPLED = ("teacher tokens", "$")
"""What the samples of the plan that a student reads took: prompt and completion tokens, and dollars."""
TITLES |= {name: axis.title for name, axis in AXES.items() if name not in TITLES}


@dataclass(frozen=True, kw_only=True, slots=True)
class Point:
    """A cell with all its seeds on one task. `estimate` is None while nothing is measured.

    `done` and `wanted` count seeds, or questions for a baseline. `rows` and `questions` describe the training set, on
    average over the seeds.
    """

    cell: ExperimentCell
    task: str
    estimate: Estimate | None
    done: int
    wanted: int
    rows: int | None = None
    questions: int | None = None
    name: str = ""
    """Its name in `compare`: what the names of its students and plans have in common."""
    runs: tuple[RunResult, ...] = ()
    """The finished runs, one per seed."""
    sampled: PlanResult | None = None
    """The plan whose samples it reads."""


def points(experiment: ExperimentConfig, results: Results, figure_data: FigureData) -> list[Point]:
    """Every cell on every task, with its seeds together."""
    tasks = [task.name for task in results.tasks if "*" in experiment.tasks or task.name in experiment.tasks]
    plans = {(plan.name, plan.task): plan for plan in results.plans}
    newest = {(run.student, run.task): run for run in results.runs if not run.superseded}
    groups: dict[ExperimentCell, list[ExperimentCell]] = {}
    for cell in cells(experiment):
        groups.setdefault(cell.choice, []).append(cell)
    found = []
    for key, group in groups.items():
        for task in tasks:
            if key.method in BASELINES:
                found.append(_baseline(key, task, results, arm(experiment, key)))
                continue
            runs = [newest[cell.student, task] for cell in group if (cell.student, task) in newest]
            found.append(
                Point(
                    cell=key,
                    task=task,
                    estimate=estimate([figure_data.answers.get((run.run_id, task), {}) for run in runs]),
                    done=len(runs),
                    wanted=len({cell.seed for cell in group}),
                    rows=round(sum(run.rows for run in runs) / len(runs)) if runs else None,
                    questions=round(sum(run.questions for run in runs) / len(runs)) if runs else None,
                    name=arm(experiment, group[0]),
                    runs=tuple(runs),
                    sampled=plans.get((key.plan, task)),
                )
            )
    return found


def _baseline(cell: ExperimentCell, task: str, results: Results, name: str) -> Point:
    plan = next((plan for plan in results.plans if plan.name == cell.plan and plan.task == task), None)
    found = answered(plan) if plan is not None else None
    ended = plan.accepted + plan.rejected + plan.failed if plan else 0
    wanted = max(1, plan.wanted if plan else 1)
    return Point(cell=cell, task=task, estimate=found, done=ended, wanted=wanted, name=name)


def at_base(point: Point, experiment: ExperimentConfig) -> bool:
    """Whether it is at the base of every axis."""
    return all(getattr(point.cell, name) == value for name, value in _base(experiment).items())


def is_trained(point: Point) -> bool:
    """Whether it is a student with training noise, and neither a teacher nor an untrained base."""
    method = METHODS.get(point.cell.method)
    return method is not None and method.trains


def axis(
    found: list[Point], name: str, experiment: ExperimentConfig, *, untrained: bool = False
) -> list[Point]:
    """The students' points along one axis, with every other axis at its base; `untrained`: also those of bases."""
    base = _base(experiment)
    return [
        point
        for point in found
        if point.cell.method not in BASELINES
        and (untrained or not point.cell.strategy)
        and all(getattr(point.cell, other) == base[other] for other in AXES if other != name)
    ]


def headline(experiment: ExperimentConfig, found: list[Point]) -> list[str]:
    """The methods at their base, one sentence per task, best first; empty while nothing is measured."""
    told = []
    for task in dict.fromkeys(point.task for point in found):
        measured = [
            (point.cell.label, point.estimate)
            for point in found
            if point.task == task and point.estimate is not None and at_base(point, experiment)
        ]
        measured.sort(key=lambda each: -each[1].accuracy)
        if measured:
            told.append(f"{task}: " + ", ".join(f"{method} {each.text()}" for method, each in measured))
    return told


def tables(
    experiment: ExperimentConfig,
    found: list[Point],
    random: Mapping[str, float] | None = None,
    paper: Mapping[tuple[str, str], float] | None = None,
) -> list[tuple[str, str]]:
    """(title, Markdown table) of the methods, of each axis with more than one value, and of what is behind each accuracy.

    Args:
        experiment: the matrix.
        found: its points.
        random: the expected accuracy of guessing, by task.
        paper: accuracy as the paper counted, by student and task; None: no such column.
    """
    tasks = list(dict.fromkeys(point.task for point in found))
    parts = [("Methods", _table(found, tasks, _methods(found, experiment), random))]
    for name, title in TITLES.items():
        along = axis(found, name, experiment, untrained=True)
        if len({getattr(point.cell, name) for point in along}) > 1:
            parts.append((title, _table(along, tasks, _along(along, name, experiment))))
    behind = _behind(found, paper)
    return [*parts, ("Behind each accuracy", behind)] if behind else parts


_Rows = list[tuple[str, str, dict[str, object]]]
"""The label of a row, its method, and its values on all axes."""


def _along(along: list[Point], name: str, experiment: ExperimentConfig) -> _Rows:
    """A row for each method and value of an axis; a method that does not depend on the axis has one row."""
    base = _base(experiment)
    found: _Rows = []
    for label, method, strategy in dict.fromkeys(
        (point.cell.label, point.cell.method, point.cell.strategy) for point in along
    ):
        values = dict.fromkeys(getattr(p.cell, name) for p in along if p.cell.label == label)
        for value in sorted(values, key=order):
            said = f"{label}, {_said(name, value)}" if name in axes_of(method) else label
            found.append((said, method, {**base, **_asked(strategy), name: value}))
    return found


def _asked(strategy: str) -> dict[str, object]:
    return {"strategy": strategy} if strategy else {}


def _methods(found: list[Point], experiment: ExperimentConfig) -> _Rows:
    """The methods at their base. Methods that read D rationales have a row with D = 1 as well, as in the paper."""
    rows: _Rows = []
    base = _base(experiment)
    for method in experiment.methods:
        if method in BASELINES:
            teachers = dict.fromkeys(point.cell.teacher for point in found if point.cell.method == method)
            rows += [(f"{method} ({teacher})", method, {**base, "teacher": teacher}) for teacher in teachers]
        elif "rationales" in axes_of(method):
            several = dict.fromkeys(sorted({1, experiment.rationales[0]} & set(experiment.rationales)))
            rows += [(f"{method}, D = {d}", method, {**base, "rationales": d}) for d in several]
        elif strategies := dict.fromkeys(
            point.cell.strategy for point in found if point.cell.method == method and point.cell.strategy
        ):
            rows += [(f"{method}, {each}", method, {**base, **_asked(each)}) for each in strategies]
        else:
            rows.append((method, method, base))
    return rows


def _base(experiment: ExperimentConfig) -> dict[str, object]:
    return first_cell(experiment).axes


def _table(
    found: list[Point], tasks: list[str], rows: _Rows, random: Mapping[str, float] | None = None
) -> str:
    most = {
        task: max((p.estimate.questions for p in found if p.task == task and p.estimate), default=0)
        for task in tasks
    }
    body = []
    if random is not None:
        body.append(
            ["random", *(f"{100 * random[task]:.1f}" if task in random else "–" for task in tasks), "–"]
        )
    for label, method, values in rows:
        own = [_point(found, task, method, values) for task in tasks]
        seeds = {point.wanted for point in own if point is not None and method not in BASELINES}
        body.append(
            [
                label,
                *(_cell(point, most[task]) for point, task in zip(own, tasks, strict=True)),
                str(max(seeds)) if seeds else "–",
            ]
        )
    heads = [f"{task} (n = {most[task]})" if most[task] else task for task in tasks]
    return safe(text_table(("", *heads, "seeds"), body))


def _point(found: list[Point], task: str, method: str, values: Mapping[str, object]) -> Point | None:
    return next(
        (
            each
            for each in found
            if each.task == task
            and each.cell.method == method
            and all(getattr(each.cell, name) == value for name, value in values.items())
        ),
        None,
    )


def _behind(found: list[Point], paper: Mapping[tuple[str, str], float] | None) -> str:
    """Each student's accuracy with what it rests on and what its samples cost; empty if nothing was evaluated."""
    head = ["arm", "task", "accuracy % (95 % interval)", "n", "seeds", "rows (questions)"]
    sampled = any(point.sampled and point.runs for point in found)
    head += [*(SAMPLED if sampled else ()), *BESIDE]
    body = []
    for point in found:
        if not point.runs or point.estimate is None:
            continue
        line = [point.name, point.task, point.estimate.text(), f"{point.estimate.questions:,}"]
        line += [str(point.estimate.seeds), f"{point.rows:,} ({point.questions:,})"]
        line += [*(_sampled(point.sampled) if sampled else ()), *beside(point.runs)]
        if paper is not None:
            known = [paper[run.student, run.task] for run in point.runs if (run.student, run.task) in paper]
            line.append(paper_cell(sum(known) / len(known) if known else None))
        body.append(line)
    if not body:
        return ""
    one = any(is_trained(point) and point.estimate and point.estimate.seeds == 1 for point in found)
    parts = [
        text_table([*head, *([PAPER] if paper is not None else [])], body, left=2),
        ONE_SEED if one else "",
    ]
    return safe("\n\n".join(part for part in parts if part))


def _sampled(plan: PlanResult | None) -> tuple[str, str]:
    if plan is None:
        return "–", "–"
    cost = plan.spent_usd if plan.sampled_usd is None else plan.sampled_usd
    return "–" if plan.tokens is None else f"{plan.tokens:,}", f"{cost:.4f}"


def _cell(point: Point | None, most: int) -> str:
    if point is None or point.estimate is None:
        return "–"
    said = point.estimate.text()
    if point.done < point.wanted:
        what = "questions" if point.cell.method in BASELINES else "seeds"
        return f"{said} [{point.done} of {point.wanted} {what}]"
    return said if point.estimate.questions == most else f"{said} [n = {point.estimate.questions}]"


def _said(name: str, value: object) -> str:
    return AXES[name].said(value)


def order(value: object) -> tuple[int, float]:
    """Numbers by size, then words in the order of the configuration."""
    return (0, value) if isinstance(value, int | float) else (1, 0)
