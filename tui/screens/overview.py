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
from state.views.format import accuracy_words, count, duration, percent, short
from state.views.status_records import RunStatus, Status, TaskStatus, TeacherStatus
from tui.charts import progress, sparkline
from tui.context import Context
from tui.database_reader import Query
from tui.screens.base_screen import MonitorScreen
from tui.text import (
    fit_parts,
    level_word,
    lines,
    one_line,
    say,
    shortened,
    state_word,
    title,
    truncated,
)
from tui.widgets.text_block import TextBlock

EVENTS = 20
AGE = 8
"""Cells of an event's age and the space behind its level mark."""


class OverviewScreen(MonitorScreen):
    """The first screen."""

    number = "1"

    def __init__(self, context: Context) -> None:
        super().__init__(context)
        self.events: list[EventRow] = []

    def compose_body(self) -> ComposeResult:
        """Three groups in one, two or three columns, depending on the width."""
        with VerticalScroll(id="overview", classes="detail", can_focus=False):
            with Vertical(id="left"):
                yield TextBlock(id="tasks")
                yield TextBlock(id="runs")
            with Vertical(id="middle"):
                yield TextBlock(id="rates")
                yield TextBlock(id="teachers")
            with Vertical(id="right"):
                yield TextBlock(id="events")

    def data_query(self) -> Query:
        """The latest events."""
        return Query("overview", _events)

    def receive(self, payload: Any) -> None:
        """Takes the events."""
        self.events = payload

    def reset(self) -> None:
        """Forgets the events."""
        self.events = []

    def show(self, status: Status) -> None:
        """Draws every block."""
        beside = self.has_class("-three")
        fitting = max(6, self.size.height - 6) if beside else 8
        self.query_one("#tasks", TextBlock).paint(lambda width: paint_tasks(status, width))
        self.query_one("#runs", TextBlock).paint(lambda width: paint_runs(status, width))
        self.query_one("#rates", TextBlock).paint(lambda width: paint_rates(status, width))
        self.query_one("#teachers", TextBlock).paint(lambda width: paint_teachers(status, width))
        self.query_one("#events", TextBlock).paint(
            lambda width: paint_events(self.events[:fitting], status.at, width, fitting if beside else 0)
        )

    def key_hints(self) -> list[tuple[str, str]]:
        """What you can do here."""
        halted = self.status is not None and self.status.daemon.state == "paused"
        return [
            ("help", "help"),
            ("palette", "go to task, run, teacher"),
            ("pause", "resume all" if halted else "pause all"),
            ("budget", "budget"),
            ("freeze", "unfreeze" if self.context.frozen else "freeze"),
            ("theme", "theme"),
            ("quit", "quit"),
        ]

    def target_task(self) -> str | None:
        """The task, if there is only one."""
        tasks = self.status.tasks if self.status else ()
        return tasks[0].name if len(tasks) == 1 else None

    def target_run(self) -> RunStatus | None:
        """The active run, if there is only one."""
        runs = self.status.active_runs if self.status else ()
        return runs[0] if len(runs) == 1 else None


def _events(connection: Connection) -> list[EventRow]:
    return newest_events(connection, limit=EVENTS)


def paint_tasks(status: Status, width: int) -> Text:
    """A bar for each task: correct samples against what its next student needs."""
    if not status.tasks:
        hint = "No tasks yet: add [tasks.NAME] to config.toml, then start `coterie run`."
        return lines([title("tasks"), say((hint, "muted"))])
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
        numbers = f"{count(task.accepted)} correct" if task.triggers or task.accepted else "no student"
    correct = (
        f"correct {percent(task.correct_share, 1)}" if width >= 48 else f"✓ {percent(task.correct_share)}"
    )
    notes = f"  {correct}" if task.accepted else ""
    if task.paused:
        notes += "  paused"
    elif task.eta_s is not None and (trigger is None or trigger.progress.unit != "seconds"):
        bound = bound_by(status, task)
        notes += f"  ETA {duration(task.eta_s)}" + (f" ({bound})" if bound and width >= 64 else "")
    ready = ""
    if run is not None:
        ready = f"  → run {run.id}" + (
            " queued" if not run.active else f" {run.step}/{run.steps}" if run.steps else " starting"
        )
    if width >= 80:
        room = max(8, min(30, width - 64))
        head = say((f"{shortened(task.name, 14):<14} ", "bold"), progress(share, room), f" {numbers:<15}")
        return [truncated(say(head, (notes + ready, "muted")), width)]
    name = shortened(task.name, max(8, width - len(numbers) - len(notes) - 2))
    head = say((f"{name}  ", "bold"), numbers, (notes, "muted"))
    room = max(6, width - 2 - (20 if ready else 0))
    return [truncated(head, width), truncated(say(progress(share, room), (ready, "accent")), width)]


def paint_runs(status: Status, width: int) -> Text:
    """The active runs, or the last one that ended."""
    active = list(status.active_runs)
    heading = "running now" if status.daemon.alive else "active when the daemon ended"
    if not active:
        heading = "last run"
        active = [run for run in status.runs if run.state in ("done", "failed", "stopped")][-1:]
    if not active:
        if status.tasks and not any(task.students for task in status.tasks):
            hint = "No students yet: add [[students]] to config.toml to train on the samples."
        else:
            hint = "No runs yet: one starts when a task has enough correct samples; t on screen 2 starts one now."
        return lines([title("runs"), say((hint, "muted"))])
    parts: list[Text | str] = [title(heading)]
    for run in active:
        parts += [truncated(text, width) for text in _run(run, width)]
    return lines(parts)


def _run(run: RunStatus, width: int) -> list[Text]:
    number, state = f"run {run.id} ", state_word(run.state)
    about = shortened(f"{run.student} on {run.task}", max(8, width - len(number) - state.cell_len - 2))
    head = say((number, "bold"), f"{about}  ", state)
    if not run.active:
        tail = say(f"  on test {accuracy_words(run.test)}" if run.test is not None else "")
        return [head, say(("  " + one_line(run.error), "bad")) if run.error else tail]
    share = run.step / run.steps if run.steps else 0.0
    numbers = f" {run.step}/{run.steps}" if run.steps else " starting"
    numbers += f"  loss {run.loss:.3f}" if run.loss is not None else ""
    numbers += f"  ETA {duration(run.eta_s)}" if run.eta_s is not None else ""
    room = max(6, min(width // 4, width - len(numbers)))
    return [head, say(progress(share, room), numbers)]


def paint_rates(status: Status, width: int) -> Text:
    """Rates of the last minute as sparklines."""
    heartbeat = status.heartbeat
    if not status.daemon.alive:
        hint = "No daemon is running. `coterie run` starts one and continues where the last one stopped."
        return lines([title("rates"), say((hint, "muted"))])
    room = max(8, width - 22)
    rows = (
        ("requests/s", f"{heartbeat.requests_per_second:.1f}", heartbeat.requests, "good"),
        ("tokens/s", short(heartbeat.tokens_per_second), heartbeat.tokens, "accent"),
        ("429s", percent(heartbeat.share_429, 1), heartbeat.limited, "attention"),
        ("retries/s", f"{heartbeat.retries_per_second:.1f}", heartbeat.retries, "teacher"),
    )
    if _idle(status):
        done = "Sampling is complete and no run is due: `coterie stop` stops the daemon, t on screen 2 trains again."
        return lines([title("nothing to do"), say((done, "muted"))])
    parts: list[Text | str] = [title("rates, the last minute")]
    parts += [
        truncated(say(f"{name:<11}", (f"{now:>7}  ", "bold"), (sparkline(values, room), style)), width)
        for name, now, values, style in rows
    ]
    return lines(parts)


def _idle(status: Status) -> bool:
    """Whether the daemon is running but has nothing left to do."""
    sampled = all(plan.stored + plan.failed + plan.skipped >= plan.wanted for plan in status.plans)
    busy = any(run.active or run.state == "queued" for run in status.runs)
    still = status.heartbeat.requests_per_second == 0
    return status.daemon.state == "running" and bool(status.plans) and sampled and still and not busy


def paint_teachers(status: Status, width: int) -> Text:
    """Each teacher in one line, with the reason if it waits."""
    if not status.teachers:
        return lines(
            [title("teachers"), say(("No teachers yet: add [teachers.NAME] to config.toml.", "muted"))]
        )
    parts: list[Text | str] = [title("teachers")]
    parts += [_teacher(status, teacher, width) for teacher in status.teachers]
    return lines(parts)


def _teacher(status: Status, teacher: TeacherStatus, width: int) -> Text:
    head = say((f"{one_line(teacher.name)[:16]} ", "bold"), state_word(teacher.state))
    if teacher.reason:
        return truncated(say(head, "  ", one_line(teacher.reason)), width)
    if not status.daemon.alive:
        return truncated(say(head, (f"  {count(teacher.answered)} answered", "muted")), width)
    parts = [
        head,
        say(f"  {short(teacher.requests_per_minute)} req/min"),
        say(
            f"  {teacher.in_flight}/{teacher.cap} in flight"
            if width >= 60
            else f"  {teacher.in_flight}/{teacher.cap}"
        ),
        say(f"  p50 {teacher.p50_ms:.0f}ms" if teacher.p50_ms is not None else ""),
        say((f"  429 {teacher.status_429}", "muted")),
    ]
    return fit_parts(list(enumerate(parts)), width)


def paint_events(events: list[EventRow], now: int, width: int, room: int = 0) -> Text:
    """The latest events, newest first, in two lines each, or more if all of them then fit into `room` lines.

    A message names its own subject, so the subject is not shown.
    """
    if not events:
        return lines(
            [
                title("events"),
                say(("No events yet: they appear when the daemon runs (`coterie run`).", "muted")),
            ]
        )
    found: list[Text] = []
    for most in (5, 4, 3, 2):
        found = _wrapped_events(events, now, width, most)
        if len(found) <= room:
            break
    return lines([title("latest events"), *found])


def _wrapped_events(events: list[EventRow], now: int, width: int, most: int) -> list[Text]:
    found = []
    for event in events:
        age = duration((now - event.at) / 1000)
        mark = level_word(event.level) if event.level != "info" else say("·")
        room = max(16, width - AGE - len(mark.plain))
        said = textwrap.wrap(one_line(event.message), room, max_lines=most, placeholder="…") or [""]
        found.append(truncated(say((f"{age:>6} ", "muted"), mark, f" {said[0]}"), width))
        indent = " " * (AGE + len(mark.plain))
        found += [truncated(say(indent, more), width) for more in said[1:]]
    return found
