"""1 Overview: is it going, what will it cost and when is it done, who needs you, what came out so far."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Hashable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from textual.app import ComposeResult
from textual.containers import Horizontal, Vertical

from state.sqlite import Connection
from state.views.accuracies import BASE, RunNow, TestResult, runs_now, test_results
from state.views.events import EventRow, newest_events
from state.views.format import age
from state.views.sample_history import SampleHistory, continue_history
from state.views.samples import SampleRow, id_range, sample_rows
from state.views.status_records import Alert, RunStatus, Status
from state.views.teacher_counts import TeacherCounts, continue_counting
from tui.context import Context
from tui.database_reader import Query
from tui.messages import ActionRequested, RowRequested
from tui.screens import overview_accuracy, overview_panels, overview_results, overview_work
from tui.screens.base_screen import WIDE, MonitorScreen
from tui.screens.overview_panels import RECENT_MS, Overview, Shown
from tui.widgets.panel import Panel

EVENTS = 60
ANSWERS = 30
READ_S = 0.03
"""Seconds that one reading spends on history, and as many on counts."""
RESULTS_S = 5.0
"""Results of runs are read again after this time."""
LONG_BUCKETS = 240
"""The most buckets of the graph of a sampling that has ended."""
ROWS, COLUMNS = 3, 2


@dataclass(frozen=True, slots=True, kw_only=True)
class Payload:
    """One reading."""

    events: list[EventRow]
    history: SampleHistory
    counts: TeacherCounts
    results: list[TestResult]
    runs: list[RunNow]
    answers: list[SampleRow]
    report: str
    size: int


Line = tuple[int, tuple[tuple[str, int], ...]]
"""Rows of the terminal, and the panels beside each other with their cells (0: what is left)."""


PANELS: dict[str, Callable[[Overview], Shown]] = {
    "sampling": overview_panels.sampling,
    "teachers": overview_panels.teachers,
    "tasks": overview_work.tasks,
    "training": overview_work.training,
    "events": overview_work.events,
    "accuracy": overview_accuracy.accuracy,
    "comparison": overview_accuracy.comparison,
    "starting": overview_results.starting,
    "trouble": overview_results.trouble,
    "possessions": overview_results.possessions,
    "cost": overview_results.cost,
    "answers": overview_results.answers,
}


class OverviewScreen(MonitorScreen):
    """The first screen."""

    number = "1"

    def __init__(self, context: Context) -> None:
        super().__init__(context)
        self.reset()

    def reset(self) -> None:
        """Forgets what was read."""
        self.payload: Payload | None = None
        self.results: list[TestResult] = []
        self.losses: dict[int, list[tuple[int, float]]] = {}
        self.history, self.counts = SampleHistory(), TeacherCounts()
        self._results_at = 0.0
        self._arranged: tuple[Line, ...] = ()
        self._targets: dict[str, Sequence[object]] = {}

    def compose_body(self) -> ComposeResult:
        """Three rows of two panels; what they show depends on the stage and on the room."""
        with Vertical(id="overview"):
            for row in range(ROWS):
                with Horizontal(id=f"row{row}"):
                    for column in range(COLUMNS):
                        yield Panel(id=f"panel{row}{column}")

    # Reading

    def data_query(self) -> Query:
        """Events, samples by time, results, the losses of the runs that train."""
        status, first = self.status, self.payload is None
        history, counts, since = self.history, self.counts, self._since()
        if history.bucket_ms != self._bucket():
            history = SampleHistory(bucket_ms=self._bucket())
        active = status.active_runs if status is not None else ()
        after = {run.id: self.losses[run.id][-1][0] if self.losses.get(run.id) else -1 for run in active}
        wants_results = time.monotonic() - self._results_at > RESULTS_S
        newest = status is not None and not status.runs
        path, known = self.context.path, self.results

        def read(connection: Connection) -> Payload:
            high = (id_range(connection) or (0, 0))[1]
            return Payload(
                events=newest_events(connection, limit=EVENTS),
                # The first frame does not wait for what takes long with many samples.
                history=history if first else continue_history(connection, history, since, READ_S),
                counts=counts if first else continue_counting(connection, counts, READ_S),
                results=test_results(connection) if wants_results else known,
                runs=runs_now(connection, after),
                answers=_newest(connection, high) if newest else [],
                **_files(path),
            )

        progress = (history.low, history.whole, counts.upto, counts.whole, history.bucket_ms)
        return Query(("overview", first, tuple(after)), read, progress)

    def receive(self, payload: Any) -> None:
        """Takes the reading."""
        found: Payload = payload
        self.payload = found
        self.history, self.counts = found.history, found.counts
        if found.results is not self.results or time.monotonic() - self._results_at > RESULTS_S:
            self.results, self._results_at = found.results, time.monotonic()
        for run in found.runs:
            known = self.losses.setdefault(run.run, [])
            if run.losses and known and run.losses[0][0] <= known[-1][0]:  # it began again
                known.clear()
            known += run.losses

    def _since(self) -> int:
        """From when on samples are shown: the last minutes; once all is sampled, all of this session."""
        status = self.status
        if status is None:
            return 0
        daemon = status.daemon
        last = daemon.heartbeat_at or daemon.ended_at
        seen = status.at if daemon.alive or last is None else last
        return seen - (round((daemon.uptime_s or 0.0) * 1_000) if status.sampled else RECENT_MS)

    def _bucket(self) -> int:
        """The length of a bucket of the history, in milliseconds."""
        status = self.status
        if status is None or not status.sampled:
            return SampleHistory().bucket_ms
        shortest = (status.daemon.uptime_s or 1.0) / LONG_BUCKETS
        doubled = max(0, math.ceil(math.log2(shortest)))  # another length reads all samples again
        return 1_000 << doubled

    # Drawing

    def moment(self) -> Hashable:
        """The bucket of the graphs; the second while something starts or has just stopped."""
        status = self.status
        if status is None:
            return None
        daemon, starts = status.daemon, any(not run.step for run in status.active_runs)
        if not daemon.alive:
            last = daemon.heartbeat_at or daemon.ended_at or 0
            return age((status.at - last) / 1000)
        stored = any(plan.stored for plan in status.plans)
        return status.at // (self.history.bucket_ms if stored and not starts else 1_000)

    def show(self, status: Status) -> None:
        """Arranges the panels and draws them."""
        found = self.payload
        view = Overview(
            status=status,
            history=self.history,
            counts=self.counts,
            events=found.events if found is not None else (),
            results=self.results,
            runs={run.run: run for run in found.runs} if found is not None else {},
            losses={run: [loss for _, loss in known] for run, known in self.losses.items()},
            answers=found.answers if found is not None else (),
            report=found.report if found is not None else "",
            size=found.size if found is not None else 0,
        )
        lines = self._arrange(view)
        if lines != self._arranged:
            self._arranged = lines
            self._lay_out(lines)
        for row, (_, beside) in enumerate(lines):
            for column, (name, _) in enumerate(beside):
                panel = self.query_one(f"#panel{row}{column}", Panel)
                shown = self._shown(name, view)
                panel.head(shown.title, shown.summary, shown.pointer)
                panel.paint(shown.paint)
                self._targets[f"panel{row}{column}"] = shown.targets

    def _shown(self, name: str, view: Overview) -> Shown:
        if name == "bare":
            return Shown("", "", lambda width, height: overview_results.bare(view, width, height))
        if name == "whole_sampling":
            daemon = view.status.daemon
            since = view.seen - round((daemon.uptime_s or 0.0) * 1_000)
            return overview_results.whole_sampling(view, since)
        return PANELS[name](view)

    def _arrange(self, view: Overview) -> tuple[Line, ...]:
        """The rows of panels for this stage and this terminal."""
        width, height = self.size
        height -= 3 + (self.query_one("#banner").size.height if self.query_one("#banner").display else 0)
        if self.has_class("-bare"):
            return ((0, (("bare", 0),)),)
        stage = overview_results.stage_of(view)
        tasks = max(1, len(view.status.tasks))
        first = "whole_sampling" if stage == "middle" and view.status.sampled else "sampling"
        first = stage if stage in ("starting", "trouble") else first
        if width < 110:
            return self._narrow(stage, first, tasks, width, height)
        if stage == "end":
            done = len({each.task for each in view.results if each.method != BASE})
            top = min((done or tasks) + 5, height - 18)
            best = "comparison" if done else "tasks"
            middle = min(10, max(9, (height - top) // 2))
            half = width // 2
            return (
                (top, ((best, 0),)),
                (middle, (("possessions", half), ("cost", 0))),
                (0, (("whole_sampling", half), ("events", 0))),
            )
        left = round(width * (0.415 if width >= WIDE else 0.45))
        wide = round(width * 0.61) if width >= WIDE else round(width * 0.6)
        beside = (("tasks", 0),) if stage == "sampling" else (("tasks", wide), ("training", 0))
        below = "answers" if stage == "sampling" else "accuracy"
        middle = min(tasks + 4, height // 3 + 2)
        middle = max(middle, 9 if len(beside) > 1 else 5)
        # What tables do not need goes to the graph.
        finished = [each for each in view.results if each.method != BASE]
        needed = max(12, min(len(finished) + 4, height // 3))
        top = max(8, min(height - middle - needed, 18))
        return (
            (top, ((first, left), ("teachers", 0))),
            (middle, beside),
            (0, ((below, wide), ("events", 0))),
        )

    def _narrow(self, stage: str, first: str, tasks: int, width: int, height: int) -> tuple[Line, ...]:
        half = round(width * 0.475)
        if stage == "end":
            done = len({each.task for each in self.results if each.method != BASE})
            top = min((done or tasks) + 4, height - 8)
            return (
                (top, (("comparison" if done else "tasks", 0),)),
                (0, (("possessions", half), ("cost", 0))),
            )
        rest = height - min(tasks + 2, height - 11)
        top = max(7, rest - max(4, rest // 3))
        below = (
            (("answers", half), ("events", 0)) if stage == "sampling" else (("training", half), ("events", 0))
        )
        lines = [(top, ((first, half), ("teachers", 0))), (height - rest, (("tasks", 0),)), (0, below)]
        return tuple(lines)

    def _lay_out(self, lines: tuple[Line, ...]) -> None:
        for row in range(ROWS):
            place = self.query_one(f"#row{row}")
            place.display = row < len(lines)
            if row >= len(lines):
                continue
            height, beside = lines[row]
            place.styles.height = height or "1fr"
            for column in range(COLUMNS):
                panel = self.query_one(f"#panel{row}{column}", Panel)
                panel.display = column < len(beside)
                if column < len(beside):
                    panel.styles.width = beside[column][1] or "1fr"

    def banner_alerts(self, alerts: Sequence[Alert]) -> list[Alert]:
        """A daemon that is gone has a panel here."""
        found = super().banner_alerts(alerts)
        if self.has_class("-bare") or self.status is None or self.status.daemon.alive:
            return found
        return [alert for alert in found if alert.subject]

    # Keys and mouse

    def key_hints(self) -> list[tuple[str, str]]:
        """What you can do here."""
        halted = self.status is not None and self.status.daemon.state == "paused"
        return [
            ("help", "help"),
            ("palette", "go to"),
            ("pause", "resume all" if halted else "pause all"),
            ("budget", "budget"),
            ("freeze", "unfreeze" if self.context.frozen else "freeze"),
            ("theme", "theme"),
            ("copy", "copy"),
        ]

    def on_panel_clicked(self, message: Panel.Clicked) -> None:
        """A click on a line goes to what it is about."""
        targets = self._targets.get(message.panel.id or "", ())
        target = targets[message.row] if 0 <= message.row < len(targets) else None
        self._go(target)

    def on_panel_pointer_clicked(self, message: Panel.PointerClicked) -> None:
        """A click on the words at the lower right."""
        targets = self._targets.get(message.panel.id or "", ())
        target = next((each for each in targets if each is not None), None)
        self._go(target[0] if isinstance(target, tuple) else target)

    def _go(self, target: object) -> None:
        if isinstance(target, tuple):
            self.post_message(RowRequested(*target))
        elif isinstance(target, str):
            self.post_message(ActionRequested(f"go('{target}')"))

    def text_to_copy(self) -> str:
        """The panels' text."""
        return "\n\n".join(panel.plain for panel in self.query(Panel) if panel.display and panel.plain)

    def target_task(self) -> str | None:
        """The task, if there is only one."""
        tasks = self.status.tasks if self.status else ()
        return tasks[0].name if len(tasks) == 1 else None

    def target_run(self) -> RunStatus | None:
        """The active run, if there is only one."""
        runs = self.status.active_runs if self.status else ()
        return runs[0] if len(runs) == 1 else None


def _newest(connection: Connection, high: int) -> list[SampleRow]:
    found = sample_rows(connection, range(max(1, high - 2 * ANSWERS), high + 1))
    return [found[key] for key in sorted(found, reverse=True) if found[key].state == "stored"]


def _files(path: Path) -> dict[str, Any]:
    """The report beside the database, and the database's size."""
    report, size = path.parent / "report" / "report.html", 0
    with suppress(OSError):
        size = path.stat().st_size
        return {"report": "report/report.html" if report.is_file() else "", "size": size}
    return {"report": "", "size": size}
