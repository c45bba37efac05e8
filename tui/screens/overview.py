"""1 Overview: is it running, what does it cost, how far is it, what happened last."""

from __future__ import annotations

import textwrap
from typing import Any

from rich.text import Text
from textual.app import ComposeResult
from textual.containers import Vertical, VerticalScroll

from state.sqlite import Connection
from state.views.alerts import bound_by
from state.views.events import EventRow, newest_events
from state.views.format import count, duration, percent, short
from state.views.status_records import RunStatus, Status, TaskStatus, TeacherStatus
from tui.feed import Wish
from tui.meter import bar, spark
from tui.screens.frame import cut, fitted
from tui.screens.view import View
from tui.text import level_word, lines, one_line, say, shortened, state_word, title
from tui.widgets.block import Block

EVENTS = 20
AGE = 8
"""Cells before the mark of an event's level, and the one behind it."""


class Overview(View):
    """The first screen."""

    number = "1"

    def __init__(self) -> None:
        super().__init__()
        self.events: list[EventRow] = []

    def body(self) -> ComposeResult:
        """Three groups, one, two or three columns by the width."""
        with VerticalScroll(id="overview", classes="detail", can_focus=False):
            with Vertical(id="left"):
                yield Block(id="tasks")
                yield Block(id="runs")
            with Vertical(id="middle"):
                yield Block(id="rates")
                yield Block(id="teachers")
            with Vertical(id="right"):
                yield Block(id="events")

    def wish(self) -> Wish:
        """The last events."""
        return Wish("overview", _events)

    def learn(self, payload: Any) -> None:
        """Takes the events."""
        self.events = payload

    def new_database(self) -> None:
        """Other events."""
        self.events = []

    def show(self, status: Status) -> None:
        """Every block."""
        beside = self.has_class("-three")
        fitting = max(6, self.size.height - 6) if beside else 8
        self.query_one("#tasks", Block).paint(lambda width: paint_tasks(status, width))
        self.query_one("#runs", Block).paint(lambda width: paint_runs(status, width))
        self.query_one("#rates", Block).paint(lambda width: paint_rates(status, width))
        self.query_one("#teachers", Block).paint(lambda width: paint_teachers(status, width))
        self.query_one("#events", Block).paint(
            lambda width: paint_events(self.events[:fitting], status.at, width, fitting if beside else 0)
        )

    def hints(self) -> list[tuple[str, str]]:
        """What can be done from here."""
        halted = self.status is not None and self.status.daemon.state == "paused"
        return [
            ("help", "help"),
            ("palette", "go to a task, run, teacher"),
            ("pause", "resume all" if halted else "pause all"),
            ("budget", "budget"),
            ("freeze", "go on" if self.monitor.frozen else "freeze"),
            ("theme", "theme"),
            ("quit", "leave"),
        ]

    def subject_task(self) -> str | None:
        """The only task, where there is only one."""
        tasks = self.status.tasks if self.status else ()
        return tasks[0].name if len(tasks) == 1 else None

    def subject_run(self) -> RunStatus | None:
        """The only run under way."""
        runs = self.status.active_runs if self.status else ()
        return runs[0] if len(runs) == 1 else None


def _events(connection: Connection) -> list[EventRow]:
    return newest_events(connection, limit=EVENTS)


def paint_tasks(status: Status, width: int) -> Text:
    """A bar for each task: accepted samples against what its next student waits for."""
    if not status.tasks:
        hint = "No task yet: write [tasks.NAME] in config.toml, then `coterie run`."
        return lines([title("tasks"), say((hint, "dim"))])
    parts: list[Text | str] = [title("tasks")]
    for task in status.tasks:
        parts += _task(status, task, width)
    return lines(parts)


def _task(status: Status, task: TaskStatus, width: int) -> list[Text]:
    trigger = task.trigger
    run = next((run for run in status.runs if run.id == task.run_id), None)
    if trigger is not None:
        shown = count if width >= 56 else short
        numbers = trigger.text(shown, unit=width >= 56)
        share = trigger.have / trigger.goal if trigger.goal else 1.0
    else:
        share = 1.0
        numbers = f"{count(task.accepted)} accepted" if task.triggers or task.accepted else "no student"
    correct = "correct" if width >= 48 else "✓"
    notes = f"  {correct} {percent(task.correct_share)}" if task.accepted else ""
    if task.paused:
        notes += "  paused"
    elif task.eta_s is not None and (trigger is None or trigger.progress.unit != "seconds"):
        bound = bound_by(status, task)
        notes += f"  ETA {duration(task.eta_s)}" + (f" ({bound})" if bound and width >= 64 else "")
    ready = ""
    if run is not None:
        ready = f"  → run {run.id}" + (
            " queued" if not run.active else f" {run.step}/{run.steps}" if run.steps else " begins"
        )
    if width >= 80:
        room = max(8, min(30, width - 64))
        head = say(
            (f"{shortened(task.name, 14):<14} ", "bold"), (bar(share, room), "green"), f" {numbers:<15}"
        )
        return [cut(say(head, (notes + ready, "dim")), width)]
    name = shortened(task.name, max(8, width - len(numbers) - len(notes) - 2))
    head = say((f"{name}  ", "bold"), numbers, (notes, "dim"))
    room = max(6, width - 2 - (20 if ready else 0))
    return [cut(head, width), cut(say((bar(share, room), "green"), (ready, "cyan")), width)]


def paint_runs(status: Status, width: int) -> Text:
    """The runs that are under way, or the last that ended."""
    active = list(status.active_runs)
    heading = "running now" if status.daemon.alive else "under way when the daemon ended"
    if not active:
        heading = "last run"
        active = [run for run in status.runs if run.state in ("done", "failed", "stopped")][-1:]
    if not active:
        if status.tasks and not any(task.students for task in status.tasks):
            hint = "No student yet: write [[students]] in config.toml to train on what is sampled."
        else:
            hint = (
                "No run yet: one starts when a task has enough accepted samples; t on 2 Tasks starts it now."
            )
        return lines([title("runs"), say((hint, "dim"))])
    parts: list[Text | str] = [title(heading)]
    for run in active:
        parts += [cut(text, width) for text in _run(run, width)]
    return lines(parts)


def _run(run: RunStatus, width: int) -> list[Text]:
    number, state = f"run {run.id} ", state_word(run.state)
    about = shortened(f"{run.student} on {run.task}", max(8, width - len(number) - state.cell_len - 2))
    head = say((number, "bold"), f"{about}  ", state)
    if not run.active:
        tail = say(f"  test accuracy {percent(run.accuracy)}" if run.accuracy is not None else "")
        return [head, say(("  " + one_line(run.error), "red")) if run.error else tail]
    share = run.step / run.steps if run.steps else 0.0
    numbers = f" {run.step}/{run.steps}" if run.steps else " begins"
    numbers += f"  loss {run.loss:.3f}" if run.loss is not None else ""
    numbers += f"  ETA {duration(run.eta_s)}" if run.eta_s is not None else ""
    room = max(6, min(width // 4, width - len(numbers)))
    return [head, say((bar(share, room), "green"), numbers)]


def paint_rates(status: Status, width: int) -> Text:
    """The last minute as sparklines."""
    heartbeat = status.heartbeat
    if not status.daemon.alive:
        hint = "No daemon is running. `coterie run` starts it, and goes on where it stopped."
        return lines([title("rates"), say((hint, "dim"))])
    room = max(8, width - 22)
    rows = (
        ("requests/s", f"{heartbeat.requests_per_second:.1f}", heartbeat.requests, "green"),
        ("tokens/s", short(heartbeat.tokens_per_second), heartbeat.tokens, "cyan"),
        ("429s", percent(heartbeat.share_429, 1), heartbeat.limited, "yellow"),
        ("retries/s", f"{heartbeat.retries_per_second:.1f}", heartbeat.retries, "magenta"),
    )
    if _idle(status):
        done = "Everything is sampled, and no run is due: `coterie stop` ends the daemon, t on 2 Tasks trains again."
        return lines([title("nothing to do"), say((done, "dim"))])
    parts: list[Text | str] = [title("rates, the last minute")]
    parts += [
        cut(say(f"{name:<11}", (f"{now:>7}  ", "bold"), (spark(values, room), style)), width)
        for name, now, values, style in rows
    ]
    return lines(parts)


def _idle(status: Status) -> bool:
    """Whether a daemon that runs waits for nothing but a person."""
    sampled = all(plan.stored + plan.failed + plan.skipped >= plan.wanted for plan in status.plans)
    busy = any(run.active or run.state == "queued" for run in status.runs)
    still = status.heartbeat.requests_per_second == 0
    return status.daemon.state == "running" and bool(status.plans) and sampled and still and not busy


def paint_teachers(status: Status, width: int) -> Text:
    """Each teacher in a line, and why it waits."""
    if not status.teachers:
        return lines([title("teachers"), say(("No teacher yet: [teachers.NAME] in config.toml.", "dim"))])
    parts: list[Text | str] = [title("teachers")]
    parts += [_teacher(status, teacher, width) for teacher in status.teachers]
    return lines(parts)


def _teacher(status: Status, teacher: TeacherStatus, width: int) -> Text:
    head = say((f"{one_line(teacher.name)[:16]} ", "bold"), state_word(teacher.state))
    if teacher.reason:
        return cut(say(head, "  ", one_line(teacher.reason)), width)
    if not status.daemon.alive:
        return cut(say(head, (f"  {count(teacher.answered)} answered", "dim")), width)
    parts = [
        head,
        say(f"  {short(teacher.requests_per_minute)} req/min"),
        say(
            f"  {teacher.in_flight}/{teacher.cap} in flight"
            if width >= 60
            else f"  {teacher.in_flight}/{teacher.cap}"
        ),
        say(f"  p50 {teacher.p50_ms:.0f}ms" if teacher.p50_ms is not None else ""),
        say((f"  429 {teacher.status_429}", "dim")),
    ]
    return fitted(list(enumerate(parts)), width)


def paint_events(events: list[EventRow], now: int, width: int, room: int = 0) -> Text:
    """The last events, newest first, in two lines each, or in more where all of them fit into `room` lines.

    A message names its subject itself.
    """
    if not events:
        return lines(
            [title("events"), say(("No event yet: they come when the daemon runs (`coterie run`).", "dim"))]
        )
    found: list[Text] = []
    for most in (5, 4, 3, 2):
        found = _events_in(events, now, width, most)
        if len(found) <= room:
            break
    return lines([title("last events"), *found])


def _events_in(events: list[EventRow], now: int, width: int, most: int) -> list[Text]:
    found = []
    for event in events:
        age = duration((now - event.at) / 1000)
        mark = level_word(event.level) if event.level != "info" else say("·")
        room = max(16, width - AGE - len(mark.plain))
        said = textwrap.wrap(one_line(event.message), room, max_lines=most, placeholder="…") or [""]
        found.append(cut(say((f"{age:>6} ", "dim"), mark, f" {said[0]}"), width))
        indent = " " * (AGE + len(mark.plain))
        found += [cut(say(indent, more), width) for more in said[1:]]
    return found
