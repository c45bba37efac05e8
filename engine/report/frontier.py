"""What accuracy costs: the table of the ledger, and the figure of the frontier."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from engine.report.accuracy_table import Cell, text_table
from engine.report.canvas import COLOURS, MARKERS, Figure, panels, percent_axis
from state.safe import safe
from state.views.frontier import ASKED, CostPoint, by_task, dollars, front

if TYPE_CHECKING:
    from matplotlib.axes import Axes

MOST_TASKS, MOST_POINTS = 6, 24

READING = (
    "FLOPs are those of one test question: 2 for each weight and token, and attention, for all tokens that were read and"
    " written, over all turns. `make $` is what was paid for the samples that a student and its ancestors could read, wrong"
    " ones too, each once. `answer $` is for 1,000 questions. Device time counts only where `daemon.usd_per_device_hour` says"
    " what an hour costs. `front`: its interval is above the estimate of the cheaper one before it, by FLOPs, or by the"
    " dollars to make it and to answer 1,000 questions."
)


def ledger(points: Sequence[CostPoint]) -> str:
    """The table of all students and teachers, in Markdown; empty without students."""
    body = []
    for task, own in by_task(points).items():
        if not any(point.run_id is not None for point in own):
            continue
        fronts = [{id(each) for each in front(own, cost)} for cost in (_flops, dollars)]
        for point in own:
            marks = [name for name, found in zip(("FLOPs", "$"), fronts, strict=True) if id(point) in found]
            body.append(
                [
                    task,
                    point.name,
                    Cell(method="", accuracy=point.accuracy, low=point.low, high=point.high).text(),
                    _count(point.parameters),
                    _mega(point.bytes),
                    _mega(point.flops),
                    _count(point.prompt_tokens),
                    _count(point.completion_tokens),
                    "–" if point.train_flops is None else f"{point.train_flops:.2e}",
                    "–" if point.make_usd is None else f"{point.make_usd:.4f}",
                    "–" if point.answer_usd is None else f"{ASKED * point.answer_usd:.4f}",
                    ", ".join(marks) or "–",
                ]
            )
    head = [
        *("task", "student or plan", "accuracy % (95 % interval)", "parameters", "MB", "MFLOPs a question"),
        *("read", "written", "training FLOPs", "make $", f"answer $ ({ASKED:,})", "front"),
    ]
    return safe(text_table(head, body, left=2)) if body else ""


def frontier(points: Sequence[CostPoint]) -> Figure | None:
    """Accuracy against FLOPs and against dollars; None before there are two students of a task whose FLOPs are known."""
    tasks = {
        task: own
        for task, own in by_task(points).items()
        if sum(point.flops is not None for point in own) > 1
    }
    if not tasks:
        return None
    shown = dict(list(tasks.items())[:MOST_TASKS])
    names = list(dict.fromkeys(point.name for own in shown.values() for point in own))
    compared = 0
    rows: list[dict[str, Any]] = []
    with panels(2 * len(shown), columns=2) as (axes, finish):
        for place, (task, own) in enumerate(shown.items()):
            students = [point for point in own if point.run_id is not None][-MOST_POINTS:]
            teachers = [point for point in own if point.run_id is None]
            compared += len(students) + len(teachers)
            _panel(axes[2 * place], task, [*students, *teachers], names, by_dollars=False)
            _panel(axes[2 * place + 1], task, [*students, *teachers], names, by_dollars=True)
            rows += [_row(task, point, own) for point in [*students, *teachers]]
        left = len(tasks) - len(shown)
        said = (
            "Accuracy on test with 95 % intervals against the FLOPs of a question, and against the dollars to make a student and to"
            f" answer {ASKED:,} questions (logarithmic; the left edge is $0). The line joins the points whose interval is above the"
            f" estimate of the cheaper one before: {compared:,} points were compared. Dashed: plans of teachers, whose FLOPs are not"
            " known. Arrows lead from a student to those that were made from it."
        )
        more = f" {left:,} more tasks are not drawn." if left else ""
        return finish(name="frontier", caption=said + more, rows=rows)


def _panel(
    panel: Axes, task: str, own: Sequence[CostPoint], names: Sequence[str], *, by_dollars: bool
) -> None:
    cost = dollars if by_dollars else _flops
    prices = [price for point in own if (price := cost(point)) is not None]
    least = min((price for price in prices if price > 0), default=1.0)

    def place(point: CostPoint) -> float | None:
        price = cost(point)
        return None if price is None else max(price, least / 4)

    where = {point.run_id: (x, 100 * point.accuracy) for point in own if (x := place(point)) is not None}
    for point in own:
        index = names.index(point.name)
        colour, x, y = COLOURS[index % len(COLOURS)], place(point), 100 * point.accuracy
        if x is None:
            panel.axhline(y, color=colour, linestyle="--", linewidth=1, label=safe(point.name))
            continue
        error = [[max(0.0, y - 100 * point.low)], [max(0.0, 100 * point.high - y)]]
        style: dict[str, Any] = {"color": colour, "marker": MARKERS[(index + index // 8) % len(MARKERS)]}
        panel.errorbar(
            [x], [y], yerr=error, linestyle="none", markersize=5, capsize=3, label=safe(point.name), **style
        )
        for source in point.sources:
            if source in where:
                arrow = {"arrowstyle": "->", "color": "#888888", "linewidth": 0.8, "shrinkA": 4, "shrinkB": 4}
                panel.annotate("", xy=(x, y), xytext=where[source], arrowprops=arrow)
    best = front(own, cost)
    line = [(x, 100 * point.accuracy) for point in best if (x := place(point)) is not None]
    panel.plot([x for x, _ in line], [y for _, y in line], color="#555555", linewidth=1, alpha=0.6, zorder=0)
    _log_axis(panel, dollars=by_dollars)
    panel.set_xlabel(f"$ to make, and to answer {ASKED:,} questions" if by_dollars else "FLOPs a question")
    percent_axis(panel, task)


def _log_axis(panel: Axes, *, dollars: bool) -> None:
    """A logarithmic axis with plain numbers at 1, 2 and 5: names of others stay text, so formulas are not drawn."""
    from matplotlib.ticker import EngFormatter, LogLocator, NullLocator

    panel.set_xscale("log")
    panel.xaxis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0)))
    panel.xaxis.set_minor_locator(NullLocator())
    panel.xaxis.set_major_formatter((lambda value, _: f"{value:g}") if dollars else EngFormatter(sep=""))


def _row(task: str, point: CostPoint, own: Sequence[CostPoint]) -> dict[str, Any]:
    return {
        "task": task,
        "name": point.name,
        "run": point.run_id,
        "accuracy": point.accuracy,
        "low": point.low,
        "high": point.high,
        "n": point.n,
        "parameters": point.parameters,
        "bytes": point.bytes,
        "flops": point.flops,
        "train_flops": point.train_flops,
        "make_usd": point.make_usd,
        "answer_usd": point.answer_usd,
        "front_by_flops": any(each is point for each in front(own, _flops)),
        "front_by_dollars": any(each is point for each in front(own, dollars)),
        "sources": " ".join(map(str, point.sources)),
    }


def _flops(point: CostPoint) -> float | None:
    return point.flops


def _count(value: float | None) -> str:
    return "–" if value is None else f"{value:,.0f}"


def _mega(value: float | None) -> str:
    return "–" if value is None else f"{value / 1e6:,.1f}"
