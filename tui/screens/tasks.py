"""2 Tasks: how much of each was sampled, how much of it is right, what its students reach."""

from __future__ import annotations

from typing import Any

from rich.text import Text
from textual.app import ComposeResult
from textual.containers import Horizontal, VerticalScroll

from state.views.alerts import bound_by
from state.views.costs import usd_per_correct
from state.views.format import count, dollars, duration, percent, short
from state.views.status_records import Status, TaskStatus
from tui.screens.view import View, sections
from tui.text import one_line, say, shortened, state_word, title
from tui.widgets.block import Block
from tui.widgets.row_list import Column, RowList, Table

COLUMNS = (
    Column("task", 0),
    Column("sampled", 7, "right", least=40),
    Column("right", 5, "right"),
    Column("next", 11, "right"),
    Column("best", 5, "right", least=48),
    Column("teacher", 7, "right", least=56),
    Column("$/right", 10, "right", least=72),
    Column("ETA", 6, "right", least=64),
)

ORDERS = ("as configured", "name", "right", "next", "best")


class Tasks(View):
    """All tasks, and one of them in detail."""

    number = "2"

    def __init__(self) -> None:
        super().__init__()
        self.order = 0

    def body(self) -> ComposeResult:
        """List and detail."""
        with Horizontal(classes="split wide"):
            yield Table(COLUMNS, id="list")
            with VerticalScroll(classes="detail", can_focus=False):
                yield Block(id="task")

    @property
    def table(self) -> Table:
        """The list."""
        return self.query_one(Table)

    @property
    def selected(self) -> TaskStatus | None:
        """The task under the cursor."""
        return (
            next((task for task in self.status.tasks if task.name == self.table.key), None)
            if self.status
            else None
        )

    def hints(self) -> list[tuple[str, str]]:
        """What can be done with tasks."""
        paused = self.selected is not None and self.selected.paused
        return [
            ("help", "help"),
            ("open", "its samples"),
            ("train", "train now"),
            ("pause", "resume" if paused else "pause"),
            ("filter", "filter"),
            ("faults", "faults"),
            ("sort", f"by {ORDERS[self.order]}"),
            ("copy", "copy"),
            ("budget", "budget"),
            ("quit", "leave"),
        ]

    def crumbs(self) -> list[str]:
        """The task under the cursor."""
        return self.way([f"task {self.selected.name}"] if self.selected else [])

    def on_row_list_moved(self) -> None:
        """Another task."""
        self.draw()

    def on_row_list_chosen(self, message: RowList.Chosen) -> None:
        """A click on the task."""
        self.opened()

    def show(self, status: Status) -> None:
        """List and detail."""
        tasks = [task for task in status.tasks if self.words.lower() in task.name.lower()]
        if self.faults:
            failed = {
                run.task
                for run in status.runs
                if any(item.subject == f"run:{run.id}" for item in status.alerts)
            }
            tasks = [
                task
                for task in tasks
                if task.paused or task.name in failed or (task.correct_share or 1.0) < 0.5
            ]
        tasks.sort(key=lambda task: _order(task, ORDERS[self.order]))
        self.table.explain(_hint(status, self.words, self.faults))
        self.table.show([(task.name, _cells(task, _price(status, task))) for task in tasks])
        chosen = self.selected
        self.query_one("#task", Block).paint(lambda width: paint_task(status, chosen, width))

    def sorted_next(self) -> None:
        """Another order."""
        self.order = (self.order + 1) % len(ORDERS)
        self.monitor.tell(f"sorted by {ORDERS[self.order]}")
        self.draw()

    def opened(self) -> None:
        """The task's samples; its runs are filtered too."""
        if self.selected is not None:
            self.run_worker(self.monitor.open_task(self.selected.name))

    def subject_task(self) -> str | None:
        """The task under the cursor."""
        return self.selected.name if self.selected else None


def _hint(status: Status, words: str, faults: bool) -> str:
    if status.tasks and (words or faults):
        return "no task fits; esc shows all"
    return "No task yet: write [tasks.NAME] in config.toml, then `coterie run`."


def _order(task: TaskStatus, by: str) -> Any:
    return {
        "as configured": task.id,
        "name": task.name,
        "right": -(task.correct_share or 0.0),
        "next": task.trigger.remaining if task.trigger else 10**12,
        "best": -(task.best_accuracy or 0.0),
    }[by]


def _price(status: Status, task: TaskStatus) -> float | None:
    """Dollars an accepted train sample of the task."""
    own = (plan for plan in status.plans if plan.task == task.name and plan.split == "train")
    return usd_per_correct(own)


def _cells(task: TaskStatus, price: float | None) -> list[Text]:
    trigger = task.trigger
    return [
        say(one_line(task.name), (" ‖", "yellow") if task.paused else ""),
        say(short(task.stored)),
        say(percent(task.correct_share)),
        say(trigger.progress.text(short, unit=False)) if trigger else say(("–", "dim")),
        say(percent(task.best_accuracy)),
        say(percent(task.teacher_accuracy)),
        say(dollars(price)),
        say(duration(task.eta_s)),
    ]


def paint_task(status: Status, task: TaskStatus | None, width: int) -> Text:
    """One task: questions, plans, triggers, students."""
    if task is None:
        return say()
    about = [
        say(("source     ", "dim"), one_line(task.source)),
        say(("answers    ", "dim"), task.answer_format),
        say(("train/dev/test  ", "dim"), f"{count(task.train)}/{count(task.dev)}/{count(task.test)}"),
        say(("sampled    ", "dim"), f"{count(task.stored)} of {count(task.wanted)}"),
        say(("correct    ", "dim"), f"{count(task.accepted)} ({percent(task.correct_share)})"),
        say(
            ("best       ", "dim"),
            f"{percent(task.best_accuracy)} on test; teacher {percent(task.teacher_accuracy)}",
        ),
    ]
    price = _price(status, task)
    if price is not None:
        about.append(say(("cost       ", "dim"), f"{dollars(price)} a correct sample"))
    if task.eta_s is not None:
        bound = bound_by(status, task)
        about.append(
            say(("ETA        ", "dim"), duration(task.eta_s), (f", bound by {bound}" if bound else "", "dim"))
        )
    if task.paused:
        about.append(
            say(("‖ paused", "yellow"), f"; P goes on (`coterie resume --task {one_line(task.name)}`)")
        )
    plans: list[Text] = []
    shown = count if width >= 44 else short
    for plan in (plan for plan in status.plans if plan.task == task.name):
        numbers = f"{plan.split:<5}  {shown(plan.stored)}/{shown(plan.wanted)}"
        plans += [
            say((f"{shortened(plan.name, 18):<18} ", "bold"), numbers),
            say(
                (f"  ✓ {count(plan.accepted)}", "green"),
                (f"  ✗ {count(plan.rejected)}", "red"),
                (f"  ! {count(plan.failed)} failed", "red") if plan.failed else "",
                (f"  ◌ {plan.in_flight} open", "dim") if plan.in_flight else "",
            ),
        ]
    waiting = [
        say(
            ("✓ " if trigger.progress.reached else "◌ ", "green" if trigger.progress.reached else "yellow"),
            f"{one_line(trigger.student)} @{trigger.name}",
            (f"  {trigger.progress.text(shown, unit=False)}", "dim"),
        )
        for trigger in task.triggers
    ]
    runs = [
        say(
            (f"run {run.id} ", "bold"),
            one_line(f"{run.student} @{run.trigger} "),
            state_word(run.state),
            f" {percent(run.accuracy)}" if run.accuracy is not None else "",
        )
        for run in status.runs
        if run.task == task.name
    ][-12:]
    nothing = [say(("none; [[students]] in config.toml", "dim"))]
    return sections(
        (title(one_line(task.name)), about),
        (title("plans"), plans),
        (title("students wait for"), waiting or nothing),
        (title("runs"), runs),
    )
