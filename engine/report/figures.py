"""The figures of the report: the main result, what accuracy depends on, how it developed, the cost of correct rationales.

Pure: data in, figures out, the same bytes for the same input. The caption of a figure says what it shows. A figure that
would show a single value is left out, except for the main result.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from engine.config.experiment import ExperimentConfig, axes_of
from engine.methods import METHODS
from engine.report.canvas import COLOURS, MARKERS, Figure, panels, percent_axis
from engine.report.frontier import frontier
from engine.report.intervals import Estimate
from engine.report.main_figure import main_result
from engine.report.matrix import TITLES, Point, axis, order
from engine.strategies import BASELINES, STRATEGIES
from state.figure_data import FigureData, PassRates
from state.results import PlanResult, Results
from state.safe import safe
from state.views.frontier import CostPoint

if TYPE_CHECKING:
    from matplotlib.axes import Axes

STUDENTS = tuple(sorted(METHODS, key=lambda name: not METHODS[name].trains))
"""Student methods. Each has the same colour in every figure."""
MOST_CURVES = 8
WIDE = 10
"""Ratio of most to fewest epochs beyond which their axis is logarithmic."""
MOST_TASKS = 12


def figures(
    results: Results,
    figure_data: FigureData,
    experiment: ExperimentConfig | None,
    found: Sequence[Point],
    costs: Sequence[CostPoint] = (),
) -> list[Figure]:
    """All figures that have something to show; that of the main result first."""
    drawn: list[Figure | None] = [main_result(results, experiment, found)]
    if experiment is not None:
        drawn += [_axis(name, experiment, list(found)) for name in TITLES]
    drawn += [_curves(figure_data, experiment), _pass_rates(figure_data), _cost(results), frontier(costs)]
    return [figure for figure in drawn if figure is not None]


def _axis(name: str, experiment: ExperimentConfig, found: list[Point]) -> Figure | None:
    """Accuracy along one axis of the experiment: one panel per task, one line per method."""
    every = axis(found, name, experiment)
    along = [point for point in every if point.estimate is not None]
    knowing = [point for point in along if name in axes_of(point.cell.method)]
    if len({getattr(point.cell, name) for point in knowing}) < 2:
        return None
    values = sorted(dict.fromkeys(getattr(point.cell, name) for point in every), key=order)
    joined = any(isinstance(value, int | float) for value in values)  # by lines, along an axis of numbers
    tasks = list(dict.fromkeys(point.task for point in along))[:MOST_TASKS]
    with panels(len(tasks)) as (axes, finish):
        for panel, task in zip(axes, tasks, strict=True):
            methods = list(dict.fromkeys(point.cell.method for point in along))
            for place, method in enumerate(methods):
                own = {getattr(p.cell, name): p for p in along if p.task == task and p.cell.method == method}
                if name not in axes_of(method):
                    _level(panel, own, method)
                    continue
                offset = 0.08 * (place - (len(methods) - 1) / 2)  # so that bars do not hide each other
                _line(
                    panel, [(x + offset, own[value]) for x, value in enumerate(values) if value in own], method, joined=joined
                )  # fmt: skip
            _teacher_level(panel, found, task, experiment)
            panel.set_xlim(-0.4, len(values) - 0.6)
            panel.set_xticks(range(len(values)), [safe(_tick(value)) for value in values])
            panel.set_xlabel(TITLES[name])
            percent_axis(panel, task)
        rows = [
            {"task": point.task, "method": point.cell.method, name: getattr(point.cell, name)}
            | _estimate(point.estimate)
            for point in along
            if point.estimate is not None and point.task in tasks
        ]
        return finish(
            name=f"accuracy-by-{name}",
            caption=f"Accuracy on test by {TITLES[name][0].lower()}{TITLES[name][1:]}; bars are 95 % intervals over questions and seeds.",
            rows=rows,
        )


def _estimate(found: Estimate) -> dict[str, float]:
    return {
        **{"accuracy": found.accuracy, "low": found.low, "high": found.high},
        **{"n": found.questions, "seeds": found.seeds},
    }


def _tick(value: object) -> str:
    return str(value).removeprefix("builtin:")


def _line(panel: Axes, own: list[tuple[float, Point]], method: str, *, joined: bool) -> None:
    estimates = [(x, point.estimate) for x, point in own if point.estimate is not None]
    if not estimates:
        return
    ys = [100 * each.accuracy for _, each in estimates]
    errors = [
        [max(0.0, 100 * (each.accuracy - each.low)) for _, each in estimates],
        [max(0.0, 100 * (each.high - each.accuracy)) for _, each in estimates],
    ]
    style: dict[str, Any] = {
        "color": COLOURS[STUDENTS.index(method)],
        "marker": MARKERS[STUDENTS.index(method)],
    }
    style |= {"linestyle": "-" if joined else "none", "linewidth": 1.4, "markersize": 5, "capsize": 3}
    panel.errorbar([x for x, _ in estimates], ys, yerr=errors, label=method, **style)


def _level(panel: Axes, own: dict[Any, Point], method: str) -> None:
    found = next((point.estimate for point in own.values() if point.estimate is not None), None)
    if found is not None:
        colour = COLOURS[STUDENTS.index(method)]
        panel.axhline(100 * found.accuracy, color=colour, linestyle=":", linewidth=1.3, label=method)


def _teacher_level(panel: Axes, found: list[Point], task: str, experiment: ExperimentConfig) -> None:
    teacher = next(
        (
            point.estimate
            for point in found
            if point.task == task
            and point.cell.method in BASELINES
            and STRATEGIES[point.cell.method].report_name == "teacher"
            and point.cell.teacher == experiment.teachers[0]
            and point.estimate is not None
        ),
        None,
    )
    if teacher is not None:
        panel.axhline(100 * teacher.accuracy, color="#555555", linestyle="--", linewidth=1, label="teacher")


def _curves(figure_data: FigureData, experiment: ExperimentConfig | None) -> Figure | None:
    """Dev accuracy by epoch; of an experiment with several seeds the first."""
    seed = f".s{experiment.seeds[0]}" if experiment and len(set(experiment.seeds)) > 1 else ""
    own = f"{experiment.name}." if experiment else ""
    shown = [
        each
        for each in figure_data.curves
        if len(each.epochs) > 1 and (each.student.endswith(seed) or not each.student.startswith(own))
    ]
    tasks = list(dict.fromkeys(each.task for each in shown))[:MOST_TASKS]
    if not tasks:
        return None
    students = list(dict.fromkeys(each.student for each in shown))
    with panels(len(tasks)) as (axes, finish):
        for panel, task in zip(axes, tasks, strict=True):
            newest = {each.student: each for each in shown if each.task == task}
            for place, student in enumerate(students[:MOST_CURVES]):
                if student not in newest:
                    continue
                panel.plot(
                    newest[student].epochs,
                    [100 * value for value in newest[student].accuracy],
                    color=COLOURS[place % len(COLOURS)],
                    marker=MARKERS[place % len(MARKERS)],
                    markersize=4,
                    linewidth=1.3,
                    label=safe(student.removesuffix(seed).removeprefix(own)),
                )
            epochs = [
                epoch
                for student in students[:MOST_CURVES]
                if student in newest
                for epoch in newest[student].epochs
            ]
            wide = bool(epochs) and min(epochs) > 0 and max(epochs) > WIDE * min(epochs)
            if wide:  # a small set has far more epochs
                panel.set_xscale("log")
                panel.xaxis.set_major_formatter(lambda value, _: f"{value:g}")
                panel.xaxis.set_minor_formatter(lambda _value, _: "")
            panel.set_xlabel("epoch (logarithmic)" if wide else "epoch")
            percent_axis(panel, task)
        more = len(students) - MOST_CURVES
        said = [
            "Accuracy on dev by epoch. The best epoch is chosen on dev; test is evaluated once.",
            f"First of {len(set(experiment.seeds))} seeds ({experiment.seeds[0]})."
            if seed and experiment
            else "",
            f"First {MOST_CURVES} students; {more} more are not drawn." if more > 0 else "",
        ]
        rows = [
            {"task": each.task, "student": each.student, "epoch": epoch, "accuracy": accuracy}
            for each in shown
            if each.task in tasks and each.student in students[:MOST_CURVES]
            for epoch, accuracy in zip(each.epochs, each.accuracy, strict=True)
        ]
        return finish(name="accuracy-by-epoch", caption=" ".join(filter(None, said)), rows=rows)


def _pass_rates(figure_data: FigureData) -> Figure | None:
    """How hard the questions are for the teachers."""
    widest: dict[tuple[str, str], PassRates] = {}
    for each in figure_data.pass_rates:  # of plans that share samples, the one with most questions comes last
        widest[each.task, each.fingerprint or each.plan] = each
    shown = list(widest.values())[:MOST_TASKS]
    if not shown:
        return None
    with panels(len(shown), heights=(2.6,)) as (axes, finish):
        for panel, rates in zip(axes, shown, strict=True):
            parts = len(rates.counts) - 1
            panel.bar(
                [100 * place / parts for place in range(parts + 1)],
                rates.counts,
                width=88 / parts,
                color=COLOURS[0],
                zorder=2,
            )
            panel.set_title(safe(f"{rates.task} ({rates.plan})"), fontsize=10)
            panel.set_xlabel("correct rationales per question, %")
            panel.set_ylabel("training questions")
        bins = [
            {
                "task": rates.task,
                "plan": rates.plan,
                "correct": place / (len(rates.counts) - 1),
                "questions": count,
            }
            for rates in shown
            for place, count in enumerate(rates.counts)
        ]
        return finish(
            name="pass-rates",
            caption="Training questions by their share of correct rationales, which shows how hard they are for the teacher.",
            rows=bins,
        )


def _cost(results: Results) -> Figure | None:
    """The cost of correct rationales, by train plan and task. Plans that share samples count once."""
    widest: dict[tuple[str, str], PlanResult] = {}
    for plan in results.plans:
        key = plan.task, plan.fingerprint or plan.name
        if plan.split == "train" and (key not in widest or plan.accepted > widest[key].accepted):
            widest[key] = plan
    paid = [(plan, cost) for plan in widest.values() if (cost := plan.usd_per_correct)]
    if not paid:
        return None
    with panels(1, width=7.0, heights=(0.6 + 0.28 * len(paid),)) as (axes, finish):
        (panel,) = axes
        places = range(len(paid))
        panel.barh(places, [1000 * value for _, value in paid], color=COLOURS[2], height=0.65, zorder=2)
        panel.set_yticks(places, [safe(f"{plan.name} · {plan.task}") for plan, _ in paid])
        panel.invert_yaxis()
        panel.set_xlabel("$ per 1,000 correct rationales")
        return finish(
            name="cost-per-correct",
            caption="Cost per 1,000 correct rationales, including wrong ones. Plans that share samples appear once, under the name of the largest.",
            rows=[
                {"task": plan.task, "plan": plan.name, "usd_per_1000_correct": 1000 * cost}
                for plan, cost in paid
            ],
        )
