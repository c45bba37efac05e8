"""5 Runs: how each student's loss falls, and what it reaches beside its baselines."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from textual.app import ComposeResult
from textual.containers import Container, Horizontal, Vertical, VerticalScroll

from state.sqlite import Connection
from state.views.format import ACCURACY_CELLS, accuracy_cell, percent
from state.views.runs import PredictionRow, RunDetail, predictions
from state.views.status_records import RunStatus, Status
from tui.context import Context
from tui.database_reader import Query
from tui.key_bindings import KEYS, key_label
from tui.plots import Line
from tui.screens.base_screen import MonitorScreen
from tui.screens.run_history import (
    RunHistory,
    RunUpdate,
    accuracy_curves,
    log_tail,
    loss_curves,
    read_history,
)
from tui.screens.run_text import (
    TABS,
    paint_compare,
    paint_config,
    paint_curves,
    paint_head,
    paint_log,
    paint_predictions,
)
from tui.text import one_line, say, state_word
from tui.widgets.columns import Column
from tui.widgets.line_plot import LinePlot
from tui.widgets.row_list import RowList, Table
from tui.widgets.text_block import Painter, TextBlock

PAGE = 50


@dataclass(frozen=True, slots=True)
class RunRow:
    """A run, and whether it is marked."""

    run: RunStatus
    marked: bool

    def matches(self, words: str) -> bool:
        """Whether it matches a filter."""
        run = self.run
        text = f"{run.id} {run.student} {run.state} {run.method}".lower()
        for word in words.lower().split():
            key, _, value = word.partition(":")
            if key == "task" and value:
                if run.task not in (value, "joint"):
                    return False
            elif word not in text and word not in run.task.lower():
                return False
        return True


COLUMNS: tuple[Column[RunRow], ...] = (
    Column(
        "run", 4, lambda row: say(("*", "bold attention") if row.marked else "", str(row.run.id)), "right"
    ),
    Column(
        "student, task",
        0,
        lambda row: say(one_line(row.run.student), (f" {one_line(row.run.task)}", "muted")),
        sort_by={
            "student": lambda row: (row.run.student, -row.run.id),
            "task": lambda row: (row.run.task, -row.run.id),
        },
    ),
    Column("", 1, lambda row: state_word(row.run.state)[:1], to_width=69),
    Column("state", 10, lambda row: state_word(row.run.state), from_width=70),
    Column("done", 5, lambda row: _progress(row.run), "right", from_width=50),
    Column(
        "test",
        ACCURACY_CELLS,
        lambda row: accuracy_cell(row.run.test),
        "right",
        from_width=50,
        sort_by={"accuracy": lambda row: -(row.run.accuracy if row.run.accuracy is not None else -1.0)},
    ),
)


def _progress(run: RunStatus) -> str:
    return percent(run.step / run.steps) if (run.active or run.early) and run.steps else ""


@dataclass(frozen=True, slots=True)
class RunsPayload:
    """The result of one reading: the run under the cursor, the marked run, and the data of the tab."""

    run: RunUpdate
    marked: RunUpdate | None
    log: str | None
    predictions: list[PredictionRow] | None


class RunsScreen(MonitorScreen):
    """All runs, and the details of one."""

    number = "5"
    filter_hint = "task:NAME, or words of student, task or state"

    def __init__(self, context: Context) -> None:
        super().__init__(context)
        self.tab = TABS[0]
        self.history = RunHistory()
        self.marked: int | None = None  # the run that others are compared with
        self.marked_history = RunHistory()
        self.log_text = ""
        self.predictions: list[PredictionRow] = []
        self.limit = PAGE
        self.wrong_only = False

    def compose_body(self) -> ComposeResult:
        """List, plots and tabs."""
        with Horizontal(classes="split"):
            table = Table(COLUMNS, key=lambda row: row.run.id, order="newest", id="list")
            table.before_move = self.context.hold_frame
            yield table
            with Vertical(id="run"):
                yield TextBlock(id="head")
                with VerticalScroll(classes="detail", can_focus=False):
                    with Container(id="plots"):
                        yield LinePlot(id="loss")
                        yield LinePlot(id="accuracy", unit=True, x_unit="epoch")
                    yield TextBlock(id="tab")

    @property
    def table(self) -> Table[RunRow]:
        """The list."""
        return self.query_one(Table)

    @property
    def selected(self) -> RunStatus | None:
        """The run under the cursor."""
        row = self.table.selected
        return row.run if row is not None else None

    def data_query(self) -> Query:
        """The run under the cursor, its new metrics, and the data of its tab."""
        number = self.selected.id if self.selected is not None else -1
        after, tab, base = self.history.last_step(number), self.tab, self.context.path.parent
        wrong_only, limit = self.wrong_only, self.limit
        mark = self.marked if tab == "compare" and self.marked != number else None
        mark_after = self.marked_history.last_step(mark) if mark is not None else -1

        def read(connection: Connection) -> RunsPayload:
            found = read_history(connection, number, after)
            return RunsPayload(
                found,
                read_history(connection, mark, mark_after) if mark is not None else None,
                log_tail(base, found.run.directory) if tab == "log" and found.run is not None else None,
                predictions(connection, number, wrong_only=wrong_only, limit=limit)
                if tab == "predictions"
                else None,
            )

        return Query(("runs", number, mark, tab, wrong_only, limit), read)

    def receive(self, payload: Any) -> None:
        """Takes the result, if its run is still under the cursor."""
        found: RunsPayload = payload
        if found.marked is not None and found.marked.run is not None:
            if found.marked.run.id == self.marked:
                self.marked_history.update(found.marked)
        if found.run.run is None or found.run.run.id != self.table.key:
            return
        self.history.update(found.run)
        self.log_text = found.log if found.log is not None else self.log_text
        self.predictions = found.predictions if found.predictions is not None else self.predictions

    def reset(self) -> None:
        """Forgets the runs."""
        self.history.clear()
        self.marked_history.clear()
        self.marked = None
        self.predictions, self.log_text = [], ""

    def show(self, status: Status) -> None:
        """Draws the list, then the tab of the run under the cursor."""
        rows = [RunRow(run, run.id == self.marked) for run in status.runs[::-1]]
        rows = [row for row in rows if row.matches(self.filter_text)]
        if self.problems_only:
            rows = [row for row in rows if row.run.state == "failed" or row.run.error]
        self.table.show_when_empty(
            "No run matches; esc shows all."
            if status.runs and (self.filter_text or self.problems_only)
            else "No runs yet: one starts when a task has enough correct samples (see screen 2)."
        )
        self.table.show(rows)
        known = self.history.run
        run = known if known is not None and known.id == self.table.key else None
        self.query_one("#run").display = run is not None or bool(rows)
        if run is not None:
            self._show_run(run)
        elif not rows:
            self.query_one("#head", TextBlock).write(say())
            self.query_one("#tab", TextBlock).write(say())

    def _show_run(self, run: RunDetail) -> None:
        tab, marked = self.tab, self.marked_history
        self.query_one("#head", TextBlock).paint(lambda width: paint_head(run, tab, width))
        losses: list[Line] = []
        accuracies: list[Line] = []
        if tab == "curves":
            losses, accuracies = loss_curves(self.history), accuracy_curves(run)
        elif tab == "compare" and marked.run is not None and marked.run.id == self.marked != run.id:
            losses = loss_curves(marked, "teacher", f"run {self.marked} (marked)", raw=False)
            losses += loss_curves(self.history, "accent", f"run {run.id}", raw=False)
        self._plot("#loss", run.id, losses)
        self._plot("#accuracy", run.id, accuracies)
        self.query_one("#tab", TextBlock).paint(self._painter(run))

    def _plot(self, name: str, key: int, curves: list[Line]) -> None:
        plot = self.query_one(name, LinePlot)
        fits = self.size.height >= (20 if name == "#loss" or self.has_class("-three") else 36)
        plot.display = fits and any(curve.x for curve in curves)
        if plot.display:
            self.call_after_refresh(plot.draw, (key, self.tab), curves)

    def _painter(self, run: RunDetail) -> Painter:
        metrics, log, found = self.history.metrics, self.log_text, self.predictions
        if self.tab == "compare":
            marked = self.marked_history.run
            other = marked if marked is not None and marked.id == self.marked else None
            key = key_label(next(key for key in KEYS if key.id == "mark"), self.context.remapped)
            return lambda width: paint_compare(run, other, key, width)
        if self.tab == "config":
            return lambda width: paint_config(run)
        if self.tab == "log":
            return lambda width: paint_log(log, run.directory)
        if self.tab == "predictions":
            more = len(found) >= self.limit
            return lambda width: paint_predictions(found, self.wrong_only, more)
        return lambda width: paint_curves(run, metrics, width)

    def on_row_list_moved(self) -> None:
        """Another run."""
        self.limit = PAGE
        self.draw()
        self.request_read()

    def on_row_list_chosen(self, message: RowList.Chosen) -> None:
        """A click on the run."""
        self.open_selected()

    def next_tab(self, step: int) -> None:
        """Shows another tab, from its top."""
        self.tab = TABS[(TABS.index(self.tab) + step) % len(TABS)]
        self.limit = PAGE
        self.draw()
        if self.detail is not None:
            self.detail.scroll_to(y=0, animate=False)

    def toggle_problems(self) -> None:
        """Shows failed runs only; on the predictions tab, wrong answers only."""
        if self.tab == "predictions":
            self.wrong_only = not self.wrong_only
        else:
            super().toggle_problems()

    def reached_bottom(self) -> None:
        """Reads more predictions, if there are any."""
        if self.tab == "predictions" and len(self.predictions) >= self.limit:
            self.limit += PAGE
            self.request_read()

    def sort_next(self) -> None:
        """Sorts by the next column."""
        self.notice(f"sorted by {self.table.sort_next()}")
        self.draw()

    def toggle_mark(self) -> None:
        """Marks the run under the cursor, or removes its mark."""
        run = self.selected
        if run is None:
            return
        if self.marked == run.id:
            self.marked = None
        else:
            self.marked = run.id
            self.notice(f"Run {run.id} is marked: select another run, then the compare tab ([ and ]).")
        self.draw()
        self.request_read()

    def key_hints(self) -> list[tuple[str, str]]:
        """What you can do with runs."""
        run, tab = self.selected, self.tab
        found = [("help", "help"), ("next_tab", TABS[(TABS.index(tab) + 1) % len(TABS)])]
        if tab == "predictions":
            found.append(("faults", "all" if self.wrong_only else "wrong only"))
        if run is not None and (run.active or run.state == "queued"):
            found.append(("stop_run", "stop"))
        elif run is not None and run.task != "joint":
            found.append(("train", "train again"))
        found.append(("mark", "mark" if run is None or run.id != self.marked else "unmark"))
        found += [("open", "details") if not self.in_detail else ("back", "list"), ("filter", "filter")]
        found += [("sort", f"by {self.table.order}"), ("detail_down", "scroll"), ("copy", "copy")]
        return [*found, ("quit", "quit")]

    def breadcrumbs(self) -> list[str]:
        """The run under the cursor, and its tab."""
        if self.selected is None:
            return self.breadcrumb_path([])
        compared = self.tab == "compare" and self.marked is not None
        tab = f"compare with run {self.marked}" if compared else self.tab
        return self.breadcrumb_path([f"run {self.selected.id}", tab])

    def target_task(self) -> str | None:
        """The run's task."""
        run = self.selected
        return run.task if run is not None and run.task != "joint" else None

    def target_student(self) -> str | None:
        """The run's student."""
        return self.selected.student if self.selected is not None else None

    def target_run(self) -> RunStatus | None:
        """The run, if it can be stopped."""
        run = self.selected
        return run if run is not None and (run.active or run.state == "queued") else None
