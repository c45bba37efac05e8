"""The figure of the main result: every arm's accuracy with its interval, against teacher, base and chance."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from engine.config.experiment import ExperimentConfig
from engine.methods import METHODS
from engine.report.accuracy_table import method_table
from engine.report.canvas import COLOURS, MARKERS, Figure, panels
from engine.report.chance import chance
from engine.report.intervals import ONE_SEED
from engine.report.matrix import Point, at_base
from engine.strategies import BASELINES
from state.results import Results
from state.safe import safe

if TYPE_CHECKING:
    from matplotlib.axes import Axes

MAIN = "main-result"
"""The figure's name."""
WIDTH = 3.6
"""In inches: a phone's screen shows it whole."""
ROW, FRAME = 0.24, 0.75
"""Height in inches of an arm, and of a panel's title and axis."""
MOST_TASKS, MOST_ARMS, LONGEST = 12, 16, 26
GROUPS = ("student", "untrained base", "teacher")
"""Each has its own colour and marker."""


def main_result(
    results: Results, experiment: ExperimentConfig | None, found: Sequence[Point]
) -> Figure | None:
    """One panel per task, one line per arm: of an experiment the arms at the base of all axes. None before any student."""
    rows = _of_experiment(experiment, found) if experiment is not None else _of_students(results)
    measured = {row["task"] for row in rows if row["group"] != "teacher"}
    tasks = [task for task in results.tasks if task.name in measured][:MOST_TASKS]
    if not tasks:
        return None
    by_task = {task.name: [row for row in rows if row["task"] == task.name][:MOST_ARMS] for task in tasks}
    random = {task.name: chance(task.answer_format, task.questions) for task in tasks}
    heights = [FRAME + ROW * len(arms) for arms in by_task.values()]
    with panels(len(tasks), width=WIDTH, heights=heights, columns=1, legend_width=WIDTH / 3) as (
        axes,
        finish,
    ):
        for panel, (task, arms) in zip(axes, by_task.items(), strict=True):
            _draw(panel, task, arms, random[task])
        guesses = [
            {"task": task, "arm": "chance", "group": "chance", "accuracy": share, "low": None, "high": None}
            | {"n": None, "seeds": None}
            for task, share in random.items()
        ]
        return finish(
            name=MAIN,
            caption="Accuracy on test with 95 % intervals: students, untrained bases and teachers. The dotted line is chance."
            + (
                f" {ONE_SEED}" if any(row["group"] == GROUPS[0] and row["seeds"] == 1 for row in rows) else ""
            ),
            rows=[*(row for arms in by_task.values() for row in arms), *guesses],
        )


def _draw(panel: Axes, task: str, arms: Sequence[Mapping[str, Any]], random: float) -> None:
    for place, row in enumerate(arms):
        group = GROUPS.index(row["group"])
        x = 100 * row["accuracy"]
        error = [[max(0.0, x - 100 * row["low"])], [max(0.0, 100 * row["high"] - x)]]
        style: dict[str, Any] = {"color": COLOURS[group], "marker": MARKERS[group], "label": row["group"]}
        panel.errorbar([x], [place], xerr=error, linestyle="none", markersize=5, capsize=3, **style)
    panel.axvline(100 * random, color="#555555", linestyle=":", linewidth=1.2, label="chance")
    panel.set_yticks(range(len(arms)), [safe(_short(row["arm"])) for row in arms])
    panel.set_ylim(len(arms) - 0.4, -0.6)
    panel.set_xlim(-3, 103)
    panel.set_xlabel("accuracy %")
    panel.set_title(safe(task), fontsize=10)


def _short(name: str) -> str:
    return name if len(name) <= LONGEST else name[: LONGEST - 1] + "…"


def _of_experiment(experiment: ExperimentConfig, found: Sequence[Point]) -> list[dict[str, Any]]:
    shown = [
        point
        for point in found
        if point.estimate is not None and (point.cell.method in BASELINES or at_base(point, experiment))
    ]
    return [
        {"task": point.task, "arm": point.name, "group": _group(point.cell.method)}
        | {"accuracy": point.estimate.accuracy, "low": point.estimate.low, "high": point.estimate.high}
        | {"n": point.estimate.questions, "seeds": point.estimate.seeds}
        for point in sorted(shown, key=lambda point: GROUPS.index(_group(point.cell.method)))
        if point.estimate is not None
    ]


def _of_students(results: Results) -> list[dict[str, Any]]:
    rows = [
        {"task": task, "arm": cell.method, "group": _group(cell.kind)}
        | {"accuracy": cell.accuracy, "low": cell.low, "high": cell.high, "n": cell.n, "seeds": 1}
        for task, cells in method_table(results).items()
        for cell in cells
        if cell.low is not None
    ]
    return sorted(rows, key=lambda row: GROUPS.index(str(row["group"])))


def _group(kind: str) -> str:
    method = METHODS.get(kind.partition(" ")[0])
    if method is None:
        return "teacher"
    return "student" if method.trains else "untrained base"
