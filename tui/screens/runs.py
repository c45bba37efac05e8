"""5 Runs: each student's training, how its loss falls, what it reaches, beside what it must beat."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from rich.text import Text
from textual.app import ComposeResult
from textual.containers import Container, Horizontal, Vertical, VerticalScroll

from state.sqlite import Connection
from state.views.format import percent
from state.views.runs import PredictionRow, RunDetail, predictions
from state.views.status_records import RunStatus, Status
from tui.feed import Wish
from tui.keys import KEYS, shown
from tui.run_log import tail
from tui.screens.course import LearningCurve, News, accuracies, losses, read_course
from tui.screens.run_text import (
    TABS,
    paint_compare,
    paint_config,
    paint_course,
    paint_head,
    paint_log,
    paint_predictions,
)
from tui.screens.view import View
from tui.text import one_line, say, state_word
from tui.widgets.block import Block
from tui.widgets.loss_plot import Line, LinePlot
from tui.widgets.row_list import Column, RowList, Table

COLUMNS = (
    Column("run", 4, "right"),
    Column("student, task", 0),
    Column("", 1, most=49),
    Column("state", 10, least=50),
    Column("at", 4, "right", least=50),
    Column("test", 4, "right", least=26),
)
ORDERS = ("newest", "accuracy", "student", "task")
PAGE = 50


@dataclass(frozen=True, slots=True)
class Found:
    """What one reading brought: the run under the cursor, the marked one, and what the tab shows."""

    news: News
    marked: News | None
    log: str | None
    predictions: list[PredictionRow] | None


class Runs(View):
    """All runs, and one of them in detail."""

    number = "5"
    filter_hint = "task:NAME, or words of student, task or state"

    def __init__(self) -> None:
        super().__init__()
        self.order = 0
        self.tab = TABS[0]
        self.course = LearningCurve()
        self.other = LearningCurve()  # of the marked run
        self.log_text = ""
        self.answers: list[PredictionRow] = []
        self.limit = PAGE
        self.wrong_only = False

    def body(self) -> ComposeResult:
        """List, plot and tabs."""
        with Horizontal(classes="split"):
            rows = Table(COLUMNS, id="list")
            rows.leaving = self.monitor.hold
            yield rows
            with Vertical(id="run"):
                yield Block(id="head")
                with VerticalScroll(classes="detail", can_focus=False):
                    with Container(id="plots"):
                        yield LinePlot(id="loss")
                        yield LinePlot(id="accuracy", unit=True, over="epoch")
                    yield Block(id="tab")

    @property
    def table(self) -> Table:
        """The list."""
        return self.query_one(Table)

    def wish(self) -> Wish:
        """The run under the cursor, what is new of its metrics, and what its tab shows."""
        key = self.table.key
        number = key if isinstance(key, int) else -1
        after, tab, base = self.course.after(number), self.tab, self.monitor.path.parent
        wrong_only, limit = self.wrong_only, self.limit
        mark = self.monitor.marked if tab == "compare" and self.monitor.marked != number else None
        mark_after = self.other.after(mark) if mark is not None else -1

        def read(connection: Connection) -> Found:
            news = read_course(connection, number, after)
            return Found(
                news,
                read_course(connection, mark, mark_after) if mark is not None else None,
                tail(base, news.run.directory) if tab == "log" and news.run is not None else None,
                predictions(connection, number, wrong_only=wrong_only, limit=limit)
                if tab == "predictions"
                else None,
            )

        return Wish(("runs", number, mark, tab, wrong_only, limit), read)

    def learn(self, payload: Any) -> None:
        """Takes it, where it is still the run under the cursor."""
        found: Found = payload
        if found.marked is not None and found.marked.run is not None:
            if found.marked.run.id == self.monitor.marked:
                self.other.learn(found.marked)
        if found.news.run is None or found.news.run.id != self.table.key:
            return
        self.course.learn(found.news)
        self.log_text = found.log if found.log is not None else self.log_text
        self.answers = found.predictions if found.predictions is not None else self.answers

    def new_database(self) -> None:
        """Other runs."""
        self.course.forget()
        self.other.forget()
        self.monitor.marked = None
        self.answers, self.log_text = [], ""

    def show(self, status: Status) -> None:
        """List, then the tab of the run under the cursor."""
        found = [run for run in status.runs if _fits(run, self.words)]
        if self.faults:
            found = [run for run in found if run.state == "failed" or run.error]
        found.sort(key=lambda run: _order(run, ORDERS[self.order]))
        self.table.explain(_hint(status, bool(self.words or self.faults)))
        marked = self.monitor.marked
        self.table.show([(run.id, _cells(run, run.id == marked)) for run in found])
        known = self.course.run
        run = known if known is not None and known.id == self.table.key else None
        self.query_one("#run").display = run is not None or bool(found)
        if run is None:
            if not found:
                self.query_one("#head", Block).write(say())
                self.query_one("#tab", Block).write(say())
            return
        tab = self.tab
        self.query_one("#head", Block).paint(lambda width: paint_head(run, tab, width))
        curves: list[Line] = []
        beside: list[Line] = []
        if tab == "course":
            curves, beside = losses(self.course), accuracies(run)
        elif tab == "compare" and self.other.run is not None and self.other.run.id == marked != run.id:
            curves = losses(self.other, "other", f"run {marked} (marked)", raw=False)
            curves += losses(self.course, "one", f"run {run.id}", raw=False)
        self._plot("#loss", run.id, curves)
        self._plot("#accuracy", run.id, beside)
        self.query_one("#tab", Block).paint(self._painter(run))

    def _plot(self, name: str, key: int, curves: list[Line]) -> None:
        plot = self.query_one(name, LinePlot)
        fits = self.size.height >= (20 if name == "#loss" or self.has_class("-three") else 36)
        plot.display = fits and any(curve.x for curve in curves)
        if plot.display:
            self.call_after_refresh(plot.draw, (key, self.tab), curves)

    def _painter(self, run: RunDetail) -> Any:
        tab, metrics, log, answers = self.tab, self.course.metrics, self.log_text, self.answers
        if tab == "compare":
            other = self.other.run if self.other.run and self.other.run.id == self.monitor.marked else None
            key = shown(next(key for key in KEYS if key.id == "mark"), self.monitor.remapped)
            return lambda width: paint_compare(run, other, key, width)
        if tab == "config":
            return lambda width: paint_config(run)
        if tab == "log":
            return lambda width: paint_log(log, run.directory)
        if tab == "predictions":
            more = len(answers) >= self.limit
            return lambda width: paint_predictions(answers, self.wrong_only, more)
        return lambda width: paint_course(run, metrics, width)

    def on_row_list_moved(self) -> None:
        """Another run."""
        self.limit = PAGE
        self.draw()
        self.monitor.ask()

    def on_row_list_chosen(self, message: RowList.Chosen) -> None:
        """A click on the run."""
        self.opened()

    def next_tab(self, step: int) -> None:
        """Another tab, from its top; a log from its end."""
        self.tab = TABS[(TABS.index(self.tab) + step) % len(TABS)]
        self.limit = PAGE
        self.draw()
        if self.detail is not None:
            self.detail.scroll_to(y=0, animate=False)

    def toggle_faults(self) -> None:
        """Failed runs only; on the predictions tab, wrong answers only."""
        if self.tab == "predictions":
            self.wrong_only = not self.wrong_only
        else:
            super().toggle_faults()

    def at_bottom(self) -> None:
        """More predictions, where there are."""
        if self.tab == "predictions" and len(self.answers) >= self.limit:
            self.limit += PAGE
            self.monitor.ask()

    def sorted_next(self) -> None:
        """Another order."""
        self.order = (self.order + 1) % len(ORDERS)
        self.monitor.tell(f"sorted by {ORDERS[self.order]}")
        self.draw()

    def mark(self) -> None:
        """Marks the run under the cursor, or takes its mark away."""
        run = self._under_cursor()
        if run is None:
            return
        if self.monitor.marked == run.id:
            self.monitor.marked = None
        else:
            self.monitor.marked = run.id
            self.monitor.tell(f"run {run.id} is marked: open another, and the tab compare ([ and ])")
        self.draw()
        self.monitor.ask()

    def hints(self) -> list[tuple[str, str]]:
        """What can be done with runs."""
        run, at = self._under_cursor(), self.tab
        found = [("help", "help"), ("next_tab", TABS[(TABS.index(at) + 1) % len(TABS)])]
        if at == "predictions":
            found.append(("faults", "all" if self.wrong_only else "wrong only"))
        if run is not None and (run.active or run.state == "queued"):
            found.append(("stop_run", "stop"))
        elif run is not None and run.task != "joint":
            found.append(("train", "train again"))
        found.append(("mark", "mark" if run is None or run.id != self.monitor.marked else "unmark"))
        found += [("open", "read") if not self.inside else ("back", "list"), ("filter", "filter")]
        found += [("sort", f"by {ORDERS[self.order]}"), ("detail_down", "scroll"), ("copy", "copy")]
        return [*found, ("quit", "leave")]

    def crumbs(self) -> list[str]:
        """The run under the cursor, and its tab."""
        here: list[str] = []
        if isinstance(self.table.key, int):
            here = [f"run {self.table.key}", self.tab]
            if self.tab == "compare" and self.monitor.marked is not None:
                here[-1] += f" with run {self.monitor.marked}"
        return self.way(here)

    def subject_task(self) -> str | None:
        """The run's task."""
        run = self._under_cursor()
        return run.task if run is not None and run.task != "joint" else None

    def subject_student(self) -> str | None:
        """The run's student."""
        run = self._under_cursor()
        return run.student if run is not None else None

    def subject_run(self) -> RunStatus | None:
        """The run, where it can be stopped."""
        run = self._under_cursor()
        return run if run is not None and (run.active or run.state == "queued") else None

    def _under_cursor(self) -> RunStatus | None:
        runs = self.status.runs if self.status else ()
        return next((run for run in runs if run.id == self.table.key), None)


def _fits(run: RunStatus, words: str) -> bool:
    text = f"{run.id} {run.student} {run.state} {run.method}".lower()
    for word in words.lower().split():
        key, _, value = word.partition(":")
        if key == "task" and value:
            if run.task not in (value, "joint"):
                return False
        elif word not in text and word not in run.task.lower():
            return False
    return True


def _order(run: RunStatus, by: str) -> Any:
    return {
        "newest": -run.id,
        "accuracy": -(run.accuracy if run.accuracy is not None else -1.0),
        "student": (run.student, -run.id),
        "task": (run.task, -run.id),
    }[by]


def _hint(status: Status, filtered: bool) -> str:
    if filtered and status.runs:
        return "no run fits; esc shows all"
    return "No run yet: one starts when a task has enough accepted samples (2 Tasks shows how many)."


def _cells(run: RunStatus, marked: bool) -> list[Text]:
    return [
        say(("*", "bold yellow") if marked else "", str(run.id)),
        say(one_line(run.student), (f" {one_line(run.task)}", "dim")),
        state_word(run.state)[:1],
        state_word(run.state),
        say(percent(run.step / run.steps) if run.active and run.steps else ""),
        say(percent(run.accuracy)),
    ]
