"""5 Runs: whether it got better. The curves of a run over those of others, and what it won and lost, question by question."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any

from rich.text import Text
from textual.app import ComposeResult
from textual.containers import Horizontal, Vertical, VerticalScroll

from state.sqlite import Connection
from state.views.format import age
from state.views.frontier import CostPoint
from state.views.paired import Paired
from state.views.runs import PredictionRow, RunDetail
from state.views.status_records import RunStatus, Status
from tui.context import Context
from tui.database_reader import Query
from tui.key_bindings import KEYS, key_label
from tui.screens.base_screen import MonitorScreen
from tui.screens.run_columns import COLUMNS, RunRow
from tui.screens.run_frontier import paint_frontier
from tui.screens.run_history import (
    RunHistory,
    accuracy_curves,
    loss_curves,
    planned,
    weight_curves,
)
from tui.screens.run_panels import (
    against_summary,
    against_title,
    curve_names,
    head_summary,
    levels_note,
    on_test_legend,
    paint_accuracy,
    paint_against,
    paint_best,
    paint_head,
    paint_loss,
    paint_on_test,
)
from tui.screens.run_phases import Phase
from tui.screens.run_reading import RunsPayload, read_runs
from tui.screens.run_text import (
    TABS,
    paint_compare,
    paint_config,
    paint_log,
    paint_predictions,
    paint_questions,
    paint_results,
    tab_names,
)
from tui.text import Part, one_line, say
from tui.widgets.panel import Panel
from tui.widgets.row_list import RowList, Table
from tui.widgets.text_block import Painter, TextBlock

PAGE = 50
MOST_MARKED = 3
"""Runs that are drawn over another one."""


class RunsScreen(MonitorScreen):
    """All runs, and the details of one."""

    number = "5"
    filter_hint = "task:NAME, or words of student, task or state"

    def __init__(self, context: Context) -> None:
        super().__init__(context)
        self.tab = TABS[0]
        self.history = RunHistory()
        self.marked: list[int] = []  # runs that others are compared with, the latest mark last
        self.others: dict[
            int, RunHistory
        ] = {}  # the marked ones, and the one that it is compared with by itself
        self.paired: Paired | None = None
        self.phases: tuple[Phase, ...] = ()
        self.curves_shown: object = None  # what the plots were drawn from: they cost most of a frame
        self.log_text = ""
        self.predictions: list[PredictionRow] = []
        self.frontier: tuple[CostPoint, ...] | None = None
        self.frontier_of = -1  # finished runs at that time
        self.limit = PAGE
        self.wrong_only = False

    def compose_body(self) -> ComposeResult:
        """The list above all results on the task; the run, its curves, its questions; or the text of a tab."""
        with Horizontal(id="runs-body"):
            with Vertical(id="runs-left"):
                with Panel(id="runs-list", classes="list"):
                    table = Table(COLUMNS, key=lambda row: row.run.id, order="newest", id="list")
                    table.before_move = self.context.hold_frame
                    yield table
                yield Panel(id="best")
                yield Panel(id="on-test")
            with Vertical(id="run"):
                yield Panel(id="run-head")
                with Horizontal(id="plots"):
                    yield Panel(id="accuracy")
                    yield Panel(id="loss")
                yield Panel(id="against")
                with Panel(id="run-tab"), VerticalScroll(classes="detail", can_focus=False):
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
        """The run under the cursor, its new metrics, the runs that it is compared with, and the data of its tab."""
        number = self.selected.id if self.selected is not None else -1
        after, tab, base = self.history.last_step(number), self.tab, self.context.path.parent
        wrong_only, limit, now = self.wrong_only, self.limit, self.context.clock()
        marks = tuple(run for run in self.marked[::-1] if run != number)
        known = {run: history.last_step(run) for run, history in self.others.items()}
        # It reads the samples, so it is read again only when another run is done.
        wants_frontier = tab == "frontier" and self.frontier_of != self._finished()

        def read(connection: Connection) -> RunsPayload:
            return read_runs(
                connection,
                base,
                now,
                run=number,
                after=after,
                marks=marks,
                known=known,
                tab=tab,
                wrong_only=wrong_only,
                limit=limit,
                frontier=wants_frontier,
            )

        return Query(("runs", number, marks, tab, wrong_only, limit, wants_frontier), read)

    def receive(self, payload: Any) -> None:
        """Takes the result, if its run is still under the cursor."""
        found: RunsPayload = payload
        if found.run.run is None or found.run.run.id != self.table.key:
            return
        self.history.update(found.run)
        others: dict[int, RunHistory] = {}
        for each in found.others:
            if each.run is not None:
                others[each.run.id] = self.others.get(each.run.id, RunHistory())
                others[each.run.id].update(each)
        self.others, self.paired, self.phases = others, found.paired, found.phases
        self.log_text = found.log if found.log is not None else self.log_text
        self.predictions = found.predictions if found.predictions is not None else self.predictions
        if found.frontier is not None:
            self.frontier, self.frontier_of = found.frontier, self._finished()

    def reset(self) -> None:
        """Forgets the runs."""
        self.history.clear()
        self.others, self.marked, self.paired, self.phases = {}, [], None, ()
        self.predictions, self.log_text = [], ""
        self.frontier, self.frontier_of = None, -1

    def _finished(self) -> int:
        return sum(run.state == "done" for run in self.status.runs) if self.status is not None else 0

    def moment(self) -> tuple[str, ...]:
        """The age of a phase that goes on."""
        now = self.context.clock()
        return tuple(age((now - phase.at) / 1000) for phase in self.phases if phase.seconds is None)

    def show(self, status: Status) -> None:
        """Draws the list, then the run under the cursor."""
        rows = [RunRow(run, run.id in self.marked) for run in status.runs[::-1]]
        rows = [row for row in rows if row.matches(self.filter_text)]
        if self.problems_only:
            rows = [row for row in rows if row.run.state == "failed" or row.run.error]
        self.table.show_when_empty(
            "No run matches; esc shows all."
            if status.runs and (self.filter_text or self.problems_only)
            else "No runs yet: one starts when a task has enough correct samples (see screen 2)."
        )
        self.table.show(rows)
        listed = self.query_one("#runs-list", Panel)
        listed.head("runs", self._summary(status.runs, len(rows)), (" · ".join(self.filters), "attention"))
        listed.activate(not self.in_detail)
        known = self.history.run
        run = known if known is not None and known.id == self.table.key else None
        self.query_one("#run").visible = self.query_one("#on-test").visible = bool(rows)
        self._draw_best(status, len(rows))
        if run is not None:
            self._show_run(run)

    def _summary(self, runs: Sequence[RunStatus], shown: int) -> Text:
        if self.filter_text or self.problems_only or self.size.width < 120:
            return say((f"{shown:,}", "strong"))
        parts: list[Part] = []
        for words, role, number in (
            ("training", "accent", sum(run.active for run in runs)),
            ("queued", "attention", sum(run.state == "queued" for run in runs)),
            ("failed", "bad", sum(run.state == "failed" for run in runs)),
        ):
            parts += [(" · " if parts else "", "faint"), (f"{number} {words}", role)] if number else []
        return say(*parts) if parts else say((f"{shown:,}", "strong"))

    def _show_run(self, run: RunDetail) -> None:
        curves = self.tab == TABS[0]
        head, tab = self.query_one("#run-head", Panel), self.query_one("#run-tab", Panel)
        rows = 3 if self.has_class("-three") else 2 if self.size.height >= 20 else 1
        rows += bool(run.error)
        head.styles.height = rows + (2 if head.framed else 0)
        head.head(f"run {run.id}", head_summary(run), tab_names(self.tab, head.outer_size.width - 8))
        now = self.context.clock() if self.moment() else 0
        head.paint(partial(paint_head, run, self.paired, self.phases, now))
        head.activate(self.in_detail)
        self.query_one("#plots").display = curves
        against = self.query_one("#against", Panel)
        against.display = curves and self.size.height >= 18
        tab.display = not curves
        if curves:
            self._draw_curves(run)
            against.head(against_title(self.paired), against_summary(self.paired, against.size.width))
            against.paint(partial(paint_against, self.paired))
        else:
            tab.head(against_title(self.paired) if self.tab == "questions" else self.tab)
            tab.activate(self.in_detail)
            self.query_one("#tab", TextBlock).paint(self._painter(run))
        on_test = self.query_one("#on-test", Panel)
        results = sum(item.run is not None and not item.untrained for item in run.baselines) + (
            run.test is not None
        )
        on_test.styles.height = max(4, min(results + 3, self.size.height // 3))
        on_test.head(f"{one_line(run.task, 20)} on test", on_test_legend(run))
        on_test.paint(partial(paint_on_test, run))

    def _draw_best(self, status: Status, rows: int) -> None:
        """The best student of each task, where the list leaves room."""
        tested = sum(task.best is not None for task in status.tasks)
        below = self.query_one("#on-test").outer_size.height
        free = self.query_one("#runs-left").size.height - (rows + 3) - below
        best = self.query_one("#best", Panel)
        best.display = self.has_class("-three") and tested > 1 and free >= 6
        if best.display:
            best.styles.height = min(tested + 3, free)
            best.head("best of each task", say(("◆ ", "teacher"), ("teacher", "muted")))
            best.paint(partial(paint_best, status.tasks))

    def _draw_curves(self, run: RunDetail) -> None:
        others = [each for each in self.others.values() if each.run is not None][:MOST_MARKED]
        known = [(each.run, len(each.metrics)) for each in (self.history, *others)]
        key = known, self.query_one("#accuracy").size
        if self.curves_shown == key:
            return
        self.curves_shown = key
        steps, epochs = planned(run, self.history.metrics)
        dev = accuracy_curves(run, [each.run for each in others if each.run is not None])
        loss = loss_curves(self.history, others)
        weights = weight_curves(self.history)
        dev = [*weights, *dev]
        for name, title, lines, paint in (
            (
                "#accuracy",
                "dev accuracy, weights of teachers" if weights else "dev accuracy",
                dev,
                partial(paint_accuracy, dev, epochs),
            ),
            ("#loss", "loss", loss, partial(paint_loss, loss, steps)),
        ):
            panel = self.query_one(name, Panel)
            panel.head(title, curve_names(lines, panel.size.width), levels_note(lines))
            panel.paint(paint)

    def _painter(self, run: RunDetail) -> Painter:
        metrics, log, found, pairs = self.history.metrics, self.log_text, self.predictions, self.paired
        if self.tab == "compare":
            other = next((each.run for each in self.others.values()), None)
            key = key_label(next(key for key in KEYS if key.id == "mark"), self.context.remapped)
            marked = other is not None and other.id in self.marked
            return lambda width: paint_compare(run, other, key, width, marked=marked)
        if self.tab == "config":
            return lambda width: paint_config(run)
        if self.tab == "log":
            return lambda width: paint_log(log, run.directory)
        if self.tab == "frontier":
            points, chosen, runs = self.frontier, self.selected, self.status.runs if self.status else ()
            return lambda width: paint_frontier(points, chosen, runs, width) if chosen is not None else say()
        if self.tab == "predictions":
            more = len(found) >= self.limit
            return lambda width: paint_predictions(found, self.wrong_only, more)
        if self.tab == "questions":
            full = pairs is not None and len(pairs.page) >= self.limit
            return lambda width: paint_questions(pairs, width, self.wrong_only, full)
        return lambda width: paint_results(run, metrics, width)

    def restyle(self) -> None:
        """Other colours."""
        self.curves_shown = None
        super().restyle()

    def on_panel_pointer_clicked(self, message: Panel.PointerClicked) -> None:
        """A click on the tabs."""
        self.next_tab(1)
        self.request_read()

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

    def toggle_differences(self) -> None:
        """What differs between the run and the one it is compared with, or the curves again."""
        self.tab = "compare" if self.tab != "compare" else TABS[0]
        self.draw()
        self.request_read()

    def toggle_problems(self) -> None:
        """Shows failed runs only; on the tabs of predictions and questions, wrong answers or those that differ."""
        if self.tab in ("predictions", "questions"):
            self.wrong_only = not self.wrong_only
        else:
            super().toggle_problems()

    def reached_bottom(self) -> None:
        """Reads more predictions, if there are any."""
        shown = len(self.paired.page) if self.tab == "questions" and self.paired is not None else 0
        shown = len(self.predictions) if self.tab == "predictions" else shown
        if shown >= self.limit:
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
        if run.id in self.marked:
            self.marked.remove(run.id)
        else:
            self.marked = [*self.marked, run.id][-MOST_MARKED:]
            self.notice(
                f"Run {run.id} is marked: it is drawn over the run under the cursor, and compared with it."
            )
        self.draw()
        self.request_read()

    def key_hints(self) -> list[tuple[str, str]]:
        """What you can do with runs."""
        run, tab = self.selected, self.tab
        found = [("help", "help"), ("next_tab", TABS[(TABS.index(tab) + 1) % len(TABS)])]
        if tab == "predictions":
            found.append(("faults", "all" if self.wrong_only else "wrong only"))
        elif tab == "questions":
            found.append(("faults", "all" if self.wrong_only else "only what differs"))
        found.append(("mark", "overlay" if run is None or run.id not in self.marked else "no overlay"))
        found.append(("differences", "differences" if tab != "compare" else TABS[0]))
        if run is not None and (run.active or run.state == "queued"):
            found.append(("stop_run", "stop"))
        elif run is not None and run.task != "joint":
            found.append(("train", "train again"))
        found += [("open", "details") if not self.in_detail else ("back", "list"), ("filter", "filter")]
        found += [("sort", f"by {self.table.order}"), ("pager", "pager"), ("detail_down", "scroll")]
        return [*found, ("copy", "copy")]

    def breadcrumbs(self) -> list[str]:
        """The run under the cursor, and its tab."""
        if self.selected is None:
            return self.breadcrumb_path([])
        return self.breadcrumb_path([f"run {self.selected.id}", self.tab])

    def text_to_copy(self) -> str:
        """The text of the tab; of the curves, the results."""
        run = self.history.run
        if run is None:
            return ""
        about = "\n".join(
            line.plain for line in paint_head(run, self.paired, self.phases, self.context.clock(), 200, 9)
        )
        body = self._painter(run)(120).plain
        return f"run {run.id}\n{about}\n\n{body}"

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
