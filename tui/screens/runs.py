"""5 Runs: each student's training, how its loss falls, what it reaches, beside what it must beat."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from rich.text import Text
from textual.app import ComposeResult
from textual.containers import Horizontal, Vertical, VerticalScroll

from state.sqlite import Connection
from state.views.glance import RunStatus, Status
from state.views.line import percent
from state.views.runs import MetricRow, PredictionRow, RunDetail, predictions, run_detail, run_metrics
from tui.feed import Wish
from tui.run_log import tail
from tui.screens.run_text import TABS, paint_config, paint_course, paint_head, paint_predictions
from tui.screens.view import View
from tui.text import one_line, say, state_word
from tui.widgets.block import Block
from tui.widgets.loss_plot import LossPlot
from tui.widgets.row_list import Column, RowList, Table

COLUMNS = (
    Column("run", 3, "right"),
    Column("student, task", 0),
    Column("state", 10),
    Column("at", 4, "right", least=50),
    Column("test", 4, "right", least=26),
)
ORDERS = ("newest", "accuracy", "student", "task")
PAGE = 50


@dataclass(frozen=True, slots=True)
class Found:
    """What one reading brought."""

    run: RunDetail | None
    metrics: list[MetricRow]
    after: int  # the metrics are those after this step
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
        self.run_shown: RunDetail | None = None
        self.metrics: list[MetricRow] = []
        self.log_text = ""
        self.answers: list[PredictionRow] = []
        self.limit = PAGE
        self.wrong_only = False

    def body(self) -> ComposeResult:
        """List, plot and tabs."""
        with Horizontal(classes="split"):
            yield Table(COLUMNS, id="list")
            with Vertical(id="run"):
                yield Block(id="head")
                with VerticalScroll(classes="detail", can_focus=False):
                    yield LossPlot()
                    yield Block(id="tab")

    @property
    def table(self) -> Table:
        """The list."""
        return self.query_one(Table)

    def wish(self) -> Wish:
        """The run under the cursor, what is new of its metrics, and what its tab shows."""
        key = self.table.key
        number = key if isinstance(key, int) else -1
        same = self.run_shown is not None and self.run_shown.id == number
        after = self.metrics[-1].step if same and self.metrics else -1
        tab, base, wrong_only, limit = self.tab, self.monitor.path.parent, self.wrong_only, self.limit

        def read(connection: Connection) -> Found:
            run = run_detail(connection, number)
            if run is not None and run.step < after:  # it was started again from the beginning
                return Found(run, run_metrics(connection, number), -1, None, None)
            return Found(
                run,
                run_metrics(connection, number, after),
                after,
                tail(base, run.directory) if tab == "log" and run is not None else None,
                predictions(connection, number, wrong_only=wrong_only, limit=limit)
                if tab == "predictions"
                else None,
            )

        return Wish(("runs", number, tab, wrong_only, limit), read)

    def learn(self, payload: Any) -> None:
        """Takes it, where it is still the run under the cursor."""
        found: Found = payload
        if found.run is None or found.run.id != self.table.key:
            return
        if self.run_shown is None or self.run_shown.id != found.run.id or found.after < 0:
            self.metrics = list(found.metrics)
        elif not self.metrics or self.metrics[-1].step == found.after:
            self.metrics += found.metrics
        self.run_shown = found.run
        self.log_text = found.log if found.log is not None else self.log_text
        self.answers = found.predictions if found.predictions is not None else self.answers

    def new_database(self) -> None:
        """Other runs."""
        self.run_shown, self.metrics, self.answers, self.log_text = None, [], [], ""

    def show(self, status: Status) -> None:
        """List, then the tab of the run under the cursor."""
        found = [run for run in status.runs if _fits(run, self.words)]
        if self.faults:
            found = [run for run in found if run.state == "failed" or run.error]
        found.sort(key=lambda run: _order(run, ORDERS[self.order]))
        self.table.empty = say(_hint(status, bool(self.words or self.faults)))
        self.table.show([(run.id, _cells(run)) for run in found])
        run = self.run_shown if self.run_shown is not None and self.run_shown.id == self.table.key else None
        self.query_one("#run").display = run is not None or bool(found)
        if run is None:
            if not found:
                self.query_one("#head", Block).write(say())
                self.query_one("#tab", Block).write(say())
            return
        tab, metrics = self.tab, self.metrics
        self.query_one("#head", Block).paint(lambda width: paint_head(run, tab))
        plot = self.query_one(LossPlot)
        plot.display = tab == "course" and len(metrics) > 1 and self.size.height >= 20
        if plot.display:
            self.call_after_refresh(
                plot.draw, run.id, [item.step for item in metrics], [item.loss for item in metrics]
            )
        self.query_one("#tab", Block).paint(self._painter(run))

    def _painter(self, run: RunDetail) -> Any:
        tab, metrics, log, answers = self.tab, self.metrics, self.log_text, self.answers
        if tab == "config":
            return lambda width: paint_config(run)
        if tab == "log":
            return lambda width: say(log)
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


def _cells(run: RunStatus) -> list[Text]:
    return [
        say(str(run.id)),
        say(one_line(run.student), (f" {one_line(run.task)}", "dim")),
        state_word(run.state),
        say(percent(run.step / run.steps) if run.active and run.steps else ""),
        say(percent(run.accuracy)),
    ]
