"""2 Tasks: how much of each task is sampled, how much of it is correct, and what its students reach."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from rich.text import Text
from textual.app import ComposeResult
from textual.containers import Horizontal, VerticalScroll

from state.views.alerts import bound_by
from state.views.costs import usd_per_correct
from state.views.format import (
    ACCURACY_CELLS,
    accuracy_cell,
    accuracy_words,
    count,
    duration,
    per_thousand,
    percent,
    short,
)
from state.views.status_records import Status, TaskStatus
from tui.messages import TaskSamplesRequested
from tui.screens.base_screen import MonitorScreen
from tui.text import fields, one_line, say, sections, shortened, state_word, title
from tui.widgets.columns import Column
from tui.widgets.row_list import RowList, Table
from tui.widgets.text_block import TextBlock

RUNS_SHOWN = 12


@dataclass(frozen=True, slots=True)
class TaskRow:
    """A task and the status it is part of."""

    status: Status
    task: TaskStatus

    @property
    def usd_per_correct(self) -> float | None:
        """Dollars per correct train sample."""
        plans = self.status.plans
        return usd_per_correct(
            plan for plan in plans if plan.task == self.task.name and plan.split == "train"
        )

    @property
    def has_problem(self) -> bool:
        """Whether it is paused, mostly wrong, or has a failed run."""
        failed = {alert.subject for alert in self.status.alerts}
        return (
            self.task.paused
            or (self.task.correct_share or 1.0) < 0.5
            or any(f"run:{run.id}" in failed for run in self.status.runs if run.task == self.task.name)
        )


COLUMNS: tuple[Column[TaskRow], ...] = (
    Column(
        "task",
        0,
        lambda row: say(one_line(row.task.name), (" ‖", "attention") if row.task.paused else ""),
        sort_by={"name": lambda row: row.task.name},
    ),
    Column("sampled", 7, lambda row: short(row.task.stored), "right", from_width=40),
    Column(
        "correct",
        7,
        lambda row: percent(row.task.correct_share, 1),
        "right",
        sort_by={"correct": lambda row: -(row.task.correct_share or 0.0)},
    ),
    Column(
        "next",
        11,
        lambda row: _next(row.task),
        "right",
        sort_by={"next": lambda row: row.task.trigger.remaining if row.task.trigger else 10**12},
    ),
    Column(
        "best",
        ACCURACY_CELLS,
        lambda row: accuracy_cell(row.task.best),
        "right",
        from_width=64,
        sort_by={"best": lambda row: -(row.task.best.accuracy if row.task.best is not None else 0.0)},
    ),
    Column("teacher", ACCURACY_CELLS, lambda row: accuracy_cell(row.task.teacher), "right", from_width=92),
    Column("$/1k correct", 12, lambda row: per_thousand(row.usd_per_correct), "right", from_width=106),
    Column("ETA", 6, lambda row: duration(row.task.eta_s), "right", from_width=70),
)


def _next(task: TaskStatus) -> Text:
    trigger = task.trigger
    return say(trigger.progress.text(short, unit=False)) if trigger else say(("–", "muted"))


class TasksScreen(MonitorScreen):
    """All tasks, and the details of one."""

    number = "2"

    def compose_body(self) -> ComposeResult:
        """List and details."""
        with Horizontal(classes="split wide"):
            yield Table(COLUMNS, key=lambda row: row.task.name, order="as configured", id="list")
            with VerticalScroll(classes="detail", can_focus=False):
                yield TextBlock(id="task")

    @property
    def table(self) -> Table[TaskRow]:
        """The list."""
        return self.query_one(Table)

    @property
    def selected(self) -> TaskStatus | None:
        """The task under the cursor."""
        row = self.table.selected
        return row.task if row is not None else None

    def key_hints(self) -> list[tuple[str, str]]:
        """What you can do with tasks."""
        paused = self.selected is not None and self.selected.paused
        return [
            ("help", "help"),
            ("open", "samples"),
            ("train", "train now"),
            ("pause", "resume" if paused else "pause"),
            ("filter", "filter"),
            ("faults", "problems"),
            ("sort", f"by {self.table.order}"),
            ("copy", "copy"),
            ("budget", "budget"),
            ("quit", "quit"),
        ]

    def breadcrumbs(self) -> list[str]:
        """The task under the cursor."""
        return self.breadcrumb_path([f"task {self.selected.name}"] if self.selected else [])

    def on_row_list_moved(self) -> None:
        """Another task."""
        self.draw()

    def on_row_list_chosen(self, message: RowList.Chosen) -> None:
        """A click on the task."""
        self.open_selected()

    def show(self, status: Status) -> None:
        """Draws list and details."""
        rows = [
            TaskRow(status, task) for task in status.tasks if self.filter_text.lower() in task.name.lower()
        ]
        if self.problems_only:
            rows = [row for row in rows if row.has_problem]
        if status.tasks and (self.filter_text or self.problems_only):
            self.table.show_when_empty("No task matches; esc shows all.")
        else:
            self.table.show_when_empty(
                "No tasks yet: add [tasks.NAME] to config.toml, then start `coterie run`."
            )
        self.table.show(rows)
        row = self.table.selected
        self.query_one("#task", TextBlock).paint(lambda width: paint_task(row, width))

    def sort_next(self) -> None:
        """Sorts by the next column."""
        self.notice(f"sorted by {self.table.sort_next()}")
        self.draw()

    def open_selected(self) -> None:
        """Shows the task's samples, and filters the runs by it."""
        if self.selected is not None:
            self.post_message(TaskSamplesRequested(self.selected.name))

    def target_task(self) -> str | None:
        """The task under the cursor."""
        return self.selected.name if self.selected else None


def paint_task(row: TaskRow | None, width: int) -> Text:
    """One task: questions, plans, triggers, runs."""
    if row is None:
        return say()
    shown = count if width >= 44 else short
    return sections(
        (title(one_line(row.task.name)), _about(row)),
        (title("plans"), _plans(row, shown)),
        (title("triggers"), _triggers(row.task, shown)),
        (title("runs"), _runs(row)),
    )


def _about(row: TaskRow) -> list[Text]:
    task, price, limit = row.task, row.usd_per_correct, bound_by(row.status, row.task)
    resume = f"; resume with P or `coterie resume --task {one_line(task.name)}`"
    return fields(
        ("source", one_line(task.source)),
        ("answers", task.answer_format),
        ("questions", f"{count(task.train)}/{count(task.dev)}/{count(task.test)} train/dev/test"),
        ("sampled", f"{count(task.stored)} of {count(task.wanted)}"),
        ("correct", f"{count(task.accepted)} ({percent(task.correct_share, 1)})"),
        ("best", f"run {task.best.run} by dev; on test {accuracy_words(task.best)}")
        if task.best is not None
        else None,
        ("teacher", f"on test {accuracy_words(task.teacher)}") if task.teacher is not None else None,
        ("cost", f"{per_thousand(price)} per 1,000 correct") if price is not None else None,
        ("ETA", duration(task.eta_s), (f", limited by {limit}" if limit else "", "muted"))
        if task.eta_s is not None
        else None,
        ("state", ("‖ paused", "attention"), resume) if task.paused else None,
    )


def _plans(row: TaskRow, shown: Callable[[float], str]) -> list[Text]:
    found: list[Text] = []
    for plan in (plan for plan in row.status.plans if plan.task == row.task.name):
        numbers = f"{plan.split:<5}  {shown(plan.stored)}/{shown(plan.wanted)}"
        found += [
            say((f"{shortened(plan.name, 18):<18} ", "bold"), numbers),
            say(
                (f"  ✓ {count(plan.accepted)}", "good"),
                (f"  ✗ {count(plan.rejected)}", "bad"),
                (f"  ! {count(plan.failed)} failed", "bad") if plan.failed else "",
                (f"  ◌ {count(plan.in_flight)} open", "muted") if plan.in_flight else "",
            ),
        ]
    return found


def _triggers(task: TaskStatus, shown: Callable[[float], str]) -> list[Text]:
    found = [
        say(
            ("✓ ", "good") if trigger.progress.reached else ("◌ ", "attention"),
            f"{one_line(trigger.student)} @{trigger.name}",
            (f"  {trigger.progress.text(shown, unit=False)}", "muted"),
        )
        for trigger in task.triggers
    ]
    return found or [say(("none: add [[students]] to config.toml", "muted"))]


def _runs(row: TaskRow) -> list[Text]:
    runs = [run for run in row.status.runs if run.task == row.task.name]
    return [
        say(
            (f"run {run.id} ", "bold"),
            one_line(f"{run.student} @{run.trigger} "),
            state_word(run.state),
            f" {accuracy_words(run.test)}" if run.test is not None else "",
        )
        for run in runs[-RUNS_SHOWN:]
    ]
