"""The figures of the report as SVG: what accuracy depends on, how it developed, and the cost of correct rationales.

Pure: figure_data in, text out, the same bytes for the same input. The caption of a figure says what it shows. A figure that
would show a single value is left out. Drawn with matplotlib, which is imported only here.
"""

from __future__ import annotations

import io
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from engine.config.experiment import ExperimentConfig, axes_of
from engine.methods import METHODS
from engine.report.matrix import TITLES, Point, axis, order
from engine.strategies import BASELINES, STRATEGIES
from state.figure_data import FigureData, PassRates
from state.results import PlanResult, Results
from state.safe import safe

if TYPE_CHECKING:
    from matplotlib.axes import Axes

COLOURS = ("#2f6fb0", "#c8553d", "#3f8f5b", "#8a5aa8", "#b8862b", "#4a9aa5", "#a34a70", "#6b7280")
"""Series differ in marker and position as well as in colour."""
MARKERS = "osD^vPX*"
STUDENTS = tuple(sorted(METHODS, key=lambda name: not METHODS[name].trains))
"""Student methods. Each has the same colour in every figure."""
NUMBERS = ("rationales", "questions")
"""Axes whose points are joined by lines."""
MOST_CURVES = 8
WIDE = 10
"""Ratio of most to fewest epochs beyond which their axis is logarithmic."""
LEGEND_WIDTH = 2.1
"""Width of a legend entry in inches."""
LEGEND_LINE = 0.2
"""Height of each further line of a legend in inches."""
MOST_TASKS = 12


@dataclass(frozen=True, slots=True)
class Figure:
    """A figure: the name of its file without extension, its caption, and the SVG."""

    name: str
    caption: str
    svg: str


def figures(
    results: Results, figure_data: FigureData, experiment: ExperimentConfig | None, found: Sequence[Point]
) -> list[Figure]:
    """All figures that have something to show."""
    drawn: list[Figure | None] = []
    if experiment is not None:
        drawn += [_axis(name, experiment, list(found)) for name in TITLES]
    drawn += [_curves(figure_data, experiment), _pass_rates(figure_data), _cost(results)]
    return [figure for figure in drawn if figure is not None]


@contextmanager
def _panels(
    count: int, *, width: float = 4.2, height: float = 3.1
) -> Iterator[tuple[list[Axes], Callable[[], str]]]:
    """Panels side by side, three per row, and a function that returns the SVG with one legend below once they are drawn."""
    import matplotlib as mpl
    from matplotlib.backends.backend_svg import FigureCanvasSVG
    from matplotlib.figure import Figure as Canvas

    style: dict[str, Any] = {
        "svg.fonttype": "none",
        "svg.hashsalt": "coterie",
        "font.family": "sans-serif",
        "font.size": 9,
        "text.parse_math": False,
        "axes.spines.top": False,
        "axes.spines.right": False,
        "axes.grid": True,
        "grid.alpha": 0.25,
        "legend.frameon": False,
        "legend.fontsize": 8,
    }
    with mpl.rc_context(style), warnings.catch_warnings():
        warnings.filterwarnings(
            "ignore", "Glyph .* missing", UserWarning
        )  # the reader's fonts may have the glyph
        columns = 2 if count == 4 else min(3, count)
        rows = -(-count // columns)
        canvas = Canvas(figsize=(width * columns, height * rows), layout="constrained")
        FigureCanvasSVG(canvas)
        axes = [canvas.add_subplot(rows, columns, place + 1) for place in range(count)]

        def svg() -> str:
            named: dict[str, Any] = {}
            for panel in axes:
                for handle, label in zip(*panel.get_legend_handles_labels(), strict=True):
                    named.setdefault(label, handle)
            if named:  # outside, so that it hides nothing; on the left, which narrow screens show
                entries = max(1, int(width * columns / LEGEND_WIDTH))
                canvas.set_figheight(height * rows + LEGEND_LINE * (-(-len(named) // entries) - 1))
                canvas.legend(named.values(), named.keys(), loc="outside lower left", ncols=entries)
            out = io.StringIO()
            canvas.savefig(out, format="svg", metadata={"Date": None, "Creator": "coterie"})
            text = out.getvalue()
            return text[text.index("<svg") :]

        yield axes, svg


def _axis(name: str, experiment: ExperimentConfig, found: list[Point]) -> Figure | None:
    """Accuracy along one axis of the experiment: one panel per task, one line per method."""
    every = axis(found, name, experiment)
    along = [point for point in every if point.estimate is not None]
    knowing = [point for point in along if name in axes_of(point.cell.method)]
    if len({getattr(point.cell, name) for point in knowing}) < 2:
        return None
    values = sorted(dict.fromkeys(getattr(point.cell, name) for point in every), key=order)
    tasks = list(dict.fromkeys(point.task for point in along))[:MOST_TASKS]
    with _panels(len(tasks)) as (axes, svg):
        for panel, task in zip(axes, tasks, strict=True):
            methods = list(dict.fromkeys(point.cell.method for point in along))
            for place, method in enumerate(methods):
                own = {getattr(p.cell, name): p for p in along if p.task == task and p.cell.method == method}
                if name not in axes_of(method):
                    _level(panel, own, method)
                    continue
                offset = 0.08 * (place - (len(methods) - 1) / 2)  # so that bars do not hide each other
                _line(
                    panel, [(x + offset, own[value]) for x, value in enumerate(values) if value in own], method, joined=name in NUMBERS
                )  # fmt: skip
            _teacher_level(panel, found, task, experiment)
            panel.set_xlim(-0.4, len(values) - 0.6)
            panel.set_xticks(range(len(values)), [safe(_tick(value)) for value in values])
            panel.set_xlabel(TITLES[name])
            _percent(panel, task)
        return Figure(
            name=f"accuracy-by-{name}",
            caption=f"Accuracy on test by {TITLES[name][0].lower()}{TITLES[name][1:]}; bars are 95 % intervals over questions and seeds.",
            svg=svg(),
        )


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


def _percent(panel: Axes, title: str) -> None:
    panel.set_title(safe(title), fontsize=10)
    panel.set_ylim(-3, 103)
    panel.set_ylabel("accuracy %")


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
    with _panels(len(tasks)) as (axes, svg):
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
            _percent(panel, task)
        more = len(students) - MOST_CURVES
        said = [
            "Accuracy on dev by epoch. The best epoch is chosen on dev; test is evaluated once.",
            f"First of {len(set(experiment.seeds))} seeds ({experiment.seeds[0]})."
            if seed and experiment
            else "",
            f"First {MOST_CURVES} students; {more} more are not drawn." if more > 0 else "",
        ]
        return Figure(name="accuracy-by-epoch", caption=" ".join(filter(None, said)), svg=svg())


def _pass_rates(figure_data: FigureData) -> Figure | None:
    """How hard the questions are for the teachers."""
    widest: dict[tuple[str, str], PassRates] = {}
    for each in figure_data.pass_rates:  # of plans that share samples, the one with most questions comes last
        widest[each.task, each.fingerprint or each.plan] = each
    shown = list(widest.values())[:MOST_TASKS]
    if not shown:
        return None
    with _panels(len(shown), height=2.6) as (axes, svg):
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
        return Figure(
            name="pass-rates",
            caption="Training questions by their share of correct rationales, which shows how hard they are for the teacher.",
            svg=svg(),
        )


def _cost(results: Results) -> Figure | None:
    """The cost of correct rationales, by train plan and task. Plans that share samples count once."""
    widest: dict[tuple[str, str], PlanResult] = {}
    for plan in results.plans:
        key = plan.task, plan.fingerprint or plan.name
        if plan.split == "train" and (key not in widest or plan.accepted > widest[key].accepted):
            widest[key] = plan
    paid = [
        (f"{plan.name} · {plan.task}", cost) for plan in widest.values() if (cost := plan.usd_per_correct)
    ]
    if not paid:
        return None
    with _panels(1, width=7.0, height=0.6 + 0.28 * len(paid)) as (axes, svg):
        (panel,) = axes
        places = range(len(paid))
        panel.barh(places, [1000 * value for _, value in paid], color=COLOURS[2], height=0.65, zorder=2)
        panel.set_yticks(places, [safe(label) for label, _ in paid])
        panel.invert_yaxis()
        panel.set_xlabel("USD per 1,000 correct rationales")
        return Figure(
            name="cost-per-correct",
            caption="Cost per 1,000 correct rationales, including wrong ones. Plans that share samples appear once, under the name of the largest.",
            svg=svg(),
        )
