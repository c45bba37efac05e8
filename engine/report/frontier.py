"""What accuracy costs: the table of the ledger, and the figure of the frontier."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from engine.report.accuracy_table import Cell, text_table
from engine.report.canvas import COLOURS, MARKERS, Figure, panels, percent_axis
from state.safe import safe
from state.views.frontier import ASKED, CostPoint, by_task, dollars, front

if TYPE_CHECKING:
    from matplotlib.axes import Axes

MOST_TASKS, MOST_POINTS = 6, 24
FRONT = "#dcc9a3"
ARROW = {
    "arrowstyle": "->",
    "color": "#777777",
    "linewidth": 0.7,
    "linestyle": ":",
    "shrinkA": 4,
    "shrinkB": 4,
}

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
    names = list(
        dict.fromkeys(point.name for own in shown.values() for point in own if point.run_id is not None)
    )
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
            f" answer {ASKED:,} questions (logarithmic; the left edge is $0; points of one price stand beside each other). The broad line joins the"
            f" points whose interval is above the estimate of the cheaper one before: {compared:,} points were compared. Black: plans of"
            " teachers, whose FLOPs are not known. Dotted arrows lead from a student to those that were made from it."
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

    places = _beside([x for point in own if (x := place(point)) is not None])
    drawn = [point for point in own if place(point) is not None]
    where = {id(point): (x, 100 * point.accuracy) for point, x in zip(drawn, places, strict=True)}
    of_run = {point.run_id: where[id(point)] for point in drawn if point.run_id is not None}
    best = [where[id(point)] for point in front(own, cost) if id(point) in where]
    broad: dict[str, Any] = {"color": FRONT, "linewidth": 6, "solid_capstyle": "round", "zorder": 0}
    panel.plot([x for x, _ in best], [y for _, y in best], label="front", **broad)
    for point in own:
        y = 100 * point.accuracy
        style = _style(point, names)
        if id(point) not in where:
            panel.axhline(y, color=style["color"], linestyle="--", linewidth=1, zorder=1)
            continue
        x = where[id(point)][0]
        error = [[max(0.0, y - 100 * point.low)], [max(0.0, 100 * point.high - y)]]
        panel.errorbar(
            [x], [y], yerr=error, linestyle="none", markersize=5, capsize=3, label=safe(point.name), **style
        )
        for source in point.sources:
            if source in of_run:
                panel.annotate("", xy=(x, y), xytext=of_run[source], arrowprops=ARROW, zorder=1)
    _log_axis(panel, places, dollars=by_dollars)
    panel.set_xlabel(f"$ to make, and to answer {ASKED:,} questions" if by_dollars else "FLOPs a question")
    percent_axis(panel, task)


def _style(point: CostPoint, names: Sequence[str]) -> dict[str, Any]:
    """Colour and marker: of a student by its place among all, of a teacher black and hollow."""
    if point.run_id is None:
        return {"color": "#222222", "marker": "s", "markerfacecolor": "white"}
    index = names.index(point.name)
    return {"color": COLOURS[index % len(COLOURS)], "marker": MARKERS[(index + index // 8) % len(MARKERS)]}


def _beside(prices: Sequence[float]) -> list[float]:
    """Where points are drawn: those of nearly one price beside each other, by a part of the axis."""
    if not prices:
        return []
    step = max(1.012, (max(prices) / min(prices)) ** 0.025)
    order = sorted(range(len(prices)), key=lambda place: prices[place])
    found, group = list(prices), order[:1]
    for place, following in zip(order, [*order[1:], None], strict=True):
        if following is not None and prices[following] < prices[place] * step:
            group.append(following)
            continue
        for number, each in enumerate(group):
            found[each] = prices[each] * step ** (number - (len(group) - 1) / 2)
        group = [following] if following is not None else []
    return found


def _ticks(least: float, most: float) -> list[float]:
    """Three to six round numbers within the axis, evenly spread where it is logarithmic."""
    first, last = math.floor(math.log10(least)), math.ceil(math.log10(most))
    for steps in (
        (1,),
        (1, 3),
        (1, 2, 5),
        (1, 1.5, 2, 3, 5, 7),
        (1, 1.2, 1.4, 1.6, 1.8, 2, 2.5, 3, 3.5, 4, 5, 6, 7, 8, 9),
    ):
        found = [float(f"{step}e{power}") for power in range(first, last + 1) for step in steps]
        found = [each for each in found if least <= each <= most]
        if len(found) >= 3:
            break
    return found[:: -(-len(found) // 6)] if found else [least]


def _log_axis(panel: Axes, prices: Sequence[float], *, dollars: bool) -> None:
    """A logarithmic axis with a few plain numbers: names of others stay text, so formulas are not drawn."""
    from matplotlib.ticker import EngFormatter, FixedLocator, NullLocator

    panel.set_xscale("log")
    if prices:
        room = max(1.05, (max(prices) / min(prices)) ** 0.08)
        least, most = min(prices) / room, max(prices) * room
        panel.set_xlim(least, most)
        panel.xaxis.set_major_locator(FixedLocator(_ticks(least, most)))
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
