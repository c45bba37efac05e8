"""The tab `frontier` of the runs screen: accuracy against what it costs, and what each student was made from. Pure."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from rich.text import Text

from state.views.format import interval, money, short
from state.views.frontier import ASKED, CostPoint, by_task, dollars, front
from state.views.status_records import RunStatus
from tui.colours import style
from tui.plots import Line, plot
from tui.text import one_line, say, sections, title

ROWS = 14
"""Of a plot, with its labels."""
DEPTH = 8
"""Generations of ancestors that are shown."""


def paint_frontier(
    points: Sequence[CostPoint] | None, run: RunStatus, runs: Sequence[RunStatus], width: int
) -> Text:
    """The plot and the table of each task that the run was tested on, then its ancestors.

    Args:
        points: what is known of all students and teachers; None: not read yet.
        run: the run under the cursor.
        runs: all runs, for the names of ancestors.
        width: cells.
    """
    if points is None:
        return say(("Reading …", "muted"))
    parts: list[tuple[Text, list[Text]]] = []
    for task, own in by_task(points).items():
        if run.task in (task, "joint") and any(point.run_id is not None for point in own):
            drawn = _plot(own, run.id, width)
            parts.append((title(f"{one_line(task, 24)}: % on test by FLOPs a question"), drawn))
            parts.append((say(), _table(own, run.id, width)))
    if not parts:
        parts.append((say(), [say(("No student of this task is tested yet.", "muted"))]))
    if run.sources:
        by_id = {each.id: each for each in runs}
        parts.append((title("made from"), _ancestors(run, by_id, 0, set())))
    return sections(*parts)


def _flops(point: CostPoint) -> float | None:
    return point.flops


def _plot(own: Sequence[CostPoint], run_id: int, width: int) -> list[Text]:
    known = [point for point in own if point.flops]
    if len(known) < 2:
        return [say(("The plot needs two students whose FLOPs are known.", "muted"))]
    best = front(known, _flops)
    teachers = [point for point in own if point.run_id is None]
    curves = [
        Line(x=[0.0], y=[point.accuracy], role="teacher", dashed=True, label=one_line(point.name, 16))
        for point in teachers
    ]
    curves.append(Line(x=[_x(point) for point in best], y=[point.accuracy for point in best], role="line"))
    for point in known:
        role = "attention" if point.run_id == run_id else "accent" if point in best else "muted"
        curves.append(
            Line(x=[_x(point)], y=[point.accuracy], role=role, dots=True, low=[point.low], high=[point.high])
        )
    places = [_x(point) for point in known]
    lowest = min(min(point.low for point in known), *(point.accuracy for point in teachers), 1.0)
    margin = 0.08 * ((max(places) - min(places)) or 1.0)
    return plot(
        curves,
        width,
        ROWS,
        x=(min(places) - margin, max(places) + margin),
        y=(math.floor(9.5 * lowest) / 10, 1.0),
        x_text=lambda value: short(10**value),
        y_text=lambda value: f"{100 * value:.0f}",
    )


def _x(point: CostPoint) -> float:
    return math.log10(point.flops or 1.0)


def _table(own: Sequence[CostPoint], run_id: int, width: int) -> list[Text]:
    by_flops, by_dollars = ({id(each) for each in front(own, cost)} for cost in (_flops, dollars))
    wide = width >= 76
    name = max(12, min(28, width - (62 if wide else 46)))
    head = f"  {'student or plan':<{name}} {'% (95 %)':<18}{'FLOPs':>7}"
    head += f"{'MB':>7}{'$ made':>9}{f'$/{ASKED:,}':>9}" if wide else f"{'$ made':>9}"
    found = [say((f"{head}  front", "muted"))]
    for point in sorted(own, key=lambda each: (each.flops is None, each.flops or 0.0, each.name)):
        chosen = point.run_id == run_id
        marks = [name for name, those in (("FLOPs", by_flops), ("$", by_dollars)) if id(point) in those]
        answer = point.answer_usd * ASKED if point.answer_usd is not None else None
        size = f"{point.bytes / 1e6:>7.1f}" if point.bytes else f"{'–':>7}"
        found.append(
            say(
                (
                    "▸ " if chosen else "◆ " if point.run_id is None else "  ",
                    "attention" if chosen else "teacher",
                ),
                (f"{one_line(point.name)[:name]:<{name}} ", "strong" if chosen else "text"),
                f"{interval(point.accuracy, point.low, point.high):<18}",
                f"{short(point.flops) if point.flops else '–':>7}",
                size if wide else "",
                f"{_usd(point.make_usd):>9}",
                f"{_usd(answer):>9}" if wide else "",
                (f"  {' '.join(marks) or '–'}", "good" if marks else "faint"),
            )
        )
    note = "● on the front: its interval is above the estimate of the cheaper one before it; ● this run; ◆ a teacher"
    front_mark, this_mark = note.index("●"), note.rindex("●")
    told = say((note, "muted"))
    told.stylize(style("accent"), front_mark, front_mark + 1)
    told.stylize(style("attention"), this_mark, this_mark + 1)
    return [*found, told]


def _usd(value: float | None) -> str:
    return "–" if value is None else money(value, None)


def _ancestors(run: RunStatus, runs: Mapping[int, RunStatus], depth: int, seen: set[int]) -> list[Text]:
    """A line for each source, below it its own sources; one that was shown already is not followed again."""
    found: list[Text] = []
    for key in run.sources:
        source = runs.get(key)
        name = one_line(source.student) if source is not None else "of another database"
        again = key in seen
        found.append(
            say(
                ("   " * depth + "└─ ", "line"),
                (f"run {key} ", "strong"),
                name,
                (f"  {source.kind} on {one_line(source.task)}" if source is not None else "", "muted"),
                (", shown above" if again and source is not None and source.sources else "", "muted"),
            )
        )
        if source is not None and not again and depth < DEPTH:
            seen.add(key)
            found += _ancestors(source, runs, depth + 1, seen)
    return found
