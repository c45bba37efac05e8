"""2 Tasks: how far each is, what is next for it, which questions stay unsolved, what its students wait for and reach."""

from __future__ import annotations

import textwrap
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from rich.text import Text

from state.sqlite import Connection
from state.views.alerts import bound_by
from state.views.costs import usd_per_correct
from state.views.format import accuracy_words, count, duration, money, per_thousand, percent, short
from state.views.question_counts import QuestionCounts, count_notes, count_questions
from state.views.status_records import Status, TaskStatus
from tui.charts import blocks, progress
from tui.context import Context
from tui.database_reader import Query
from tui.messages import TaskSamplesRequested
from tui.screens.list_screen import ListScreen
from tui.screens.overview_panels import Overview, Shown, dotted
from tui.screens.overview_work import next_of
from tui.text import Part, across, fields, one_line, say, shortened, state_word, truncated
from tui.widgets.columns import Column
from tui.widgets.panel import centred, fitted

COUNT_S = 0.02
"""Seconds of counting questions in one reading."""
AGAIN_S = 30.0
"""A finished count is made again after this time."""
RUNS_SHOWN = 12


@dataclass(frozen=True, slots=True)
class TaskRow:
    """A task, the status it is part of, and its questions' counts if it is the one under the cursor."""

    view: Overview
    task: TaskStatus
    questions: QuestionCounts | None
    notes: int = 0

    @property
    def status(self) -> Status:
        """The whole status."""
        return self.view.status

    @property
    def plans(self) -> list[Any]:
        """Its plans on train questions."""
        return [plan for plan in self.status.plans if plan.task == self.task.name and plan.split == "train"]

    @property
    def usd(self) -> float:
        """Dollars known to be billed for all its plans."""
        return self.view.usd_of.get(self.task.name, 0.0)

    @property
    def a_second(self) -> float | None:
        """Samples a second over the last minutes, by the correct ones that the daemon counts; None while it does not run."""
        task, share = self.task, self.task.accepted / max(1, self.task.accepted + self.task.rejected)
        if self.status.daemon.state != "running":
            return None
        return self.status.heartbeat.tasks.get(task.name, 0.0) / 60 / share if share else 0.0

    @property
    def usd_per_correct(self) -> float | None:
        """Dollars per correct train sample."""
        return usd_per_correct(self.plans)

    @property
    def has_problem(self) -> bool:
        """Whether it is paused, mostly wrong, or has a failed run."""
        failed = {alert.subject for alert in self.status.alerts}
        return (
            self.task.paused
            or (self.task.correct_share or 1.0) < 0.5
            or any(f"run:{run.id}" in failed for run in self.status.runs if run.task == self.task.name)
        )

    def correct(self) -> Part:
        """Its share of correct samples."""
        share = self.task.correct_share
        return (percent(share, 1), "attention" if share is not None and share < 0.3 else "text")


def _share(row: TaskRow) -> float:
    return row.task.stored / row.task.wanted if row.task.wanted else 0.0


class TasksScreen(ListScreen):
    """All tasks, and four panels about one."""

    number = "2"
    noun = "task"
    lower = 14
    columns = (
        Column("task", 0, lambda row: say((one_line(row.task.name), "strong"), (" ■", "attention") if row.task.paused else ""), whole=True, sort_by={"name": lambda row: row.task.name}),
        Column("", 8, lambda row: progress(_share(row), 8), from_width=70, to_width=139),
        Column("", 16, lambda row: progress(_share(row), 16), from_width=140),
        Column("sampled", 7, lambda row: count(row.task.stored), "right", from_width=40),
        Column("wanted", 7, lambda row: say((count(row.task.wanted), "muted")), "right", from_width=96),
        Column("now/s", 6, lambda row: "–" if row.a_second is None else f"{row.a_second:.1f}", "right", from_width=150),
        Column("correct", 7, lambda row: say(row.correct()), "right", sort_by={"correct": lambda row: -(row.task.correct_share or 0.0)}),
        Column("teacher", 7, lambda row: say((percent(row.task.teacher.accuracy if row.task.teacher else None, 1), "teacher")), "right", from_width=70),
        Column("best", 7, lambda row: say((percent(row.task.best.accuracy if row.task.best else None, 1), "good")), "right", from_width=96, sort_by={"best": lambda row: -(row.task.best.accuracy if row.task.best is not None else 0.0)}),
        Column("cost", 7, lambda row: money(row.usd, None), "right", from_width=106, sort_by={"cost": lambda row: -row.usd}),
        Column("/1k corr.", 9, lambda row: per_thousand(row.usd_per_correct), "right", from_width=116),
        Column("answers", 8, lambda row: say((row.task.answer_format, "muted")), from_width=132),
        Column("train/dev/test", 16, lambda row: say((f"{short(row.task.train)}/{short(row.task.dev)}/{short(row.task.test)}", "muted")), "right", from_width=150),
        Column("ETA", 6, lambda row: duration(row.task.eta_s), "right", from_width=170),
        Column("notes", 5, lambda row: count(row.notes), "right", from_width=190),
        Column("next", 17, lambda row: next_of(row.view, row.task), from_width=56, sort_by={"next": lambda row: row.task.trigger.remaining if row.task.trigger else 10**12}),
        Column("next", 11, lambda row: next_of(row.view, row.task), to_width=55),
    )  # fmt: skip

    def __init__(self, context: Context) -> None:
        super().__init__(context)
        self.reset()

    def reset(self) -> None:
        """Forgets what was counted."""
        self.notes: dict[int, int] = {}
        self.questions: QuestionCounts | None = None  # what is shown
        self.counting: QuestionCounts | None = None  # a count in progress
        self._counted_at = 0.0

    def data_query(self) -> Query | None:
        """The correct rationales of the questions of the task under the cursor, as far as time allows."""
        task = self.chosen
        if task is None:
            return None
        before, shown, notes = self.counting, self.questions, self.notes
        known = shown is not None and shown.whole and shown.task == task.id
        if known and time.monotonic() - self._counted_at < AGAIN_S:
            return Query(("tasks", task.id), lambda connection: (shown, notes), "whole")
        if before is None or before.task != task.id:
            before = QuestionCounts(task=task.id)

        def read(connection: Connection) -> tuple[QuestionCounts, dict[int, int]]:
            return count_questions(connection, before, COUNT_S), count_notes(connection)

        return Query(("tasks", task.id), read, before.upto)

    def receive(self, payload: Any) -> None:
        """Takes the counts; those of a count that was begun again once they are whole."""
        found: QuestionCounts
        found, self.notes = payload
        self.counting = None if found.whole else found
        if found.whole and found is not self.questions:
            self._counted_at = time.monotonic()
        if (
            found.whole
            or self.questions is None
            or self.questions.task != found.task
            or not self.questions.whole
        ):
            self.questions = found

    @property
    def chosen(self) -> TaskStatus | None:
        """The task under the cursor."""
        row = self.table.selected if self.ready else None
        return row.task if row is not None else None

    def key_of(self, row: TaskRow) -> str:
        """Its name."""
        return row.task.name

    def rows_of(self, status: Status) -> list[TaskRow]:
        """The tasks that match."""
        view, counts = Overview(status=status), self.questions
        found = [
            TaskRow(
                view,
                task,
                counts if counts is not None and counts.task == task.id else None,
                self.notes.get(task.id, 0),
            )
            for task in status.tasks
            if self.filter_text.lower() in task.name.lower()
        ]
        return [row for row in found if row.has_problem] if self.problems_only else found

    def when_empty(self, status: Status) -> str:
        """None are configured, or none match."""
        if status.tasks and (self.filter_text or self.problems_only):
            return "No task matches; esc shows all."
        return "No tasks yet: add [tasks.NAME] to config.toml, then start `coterie run`."

    def summary(self, status: Status) -> Part:
        """How many tasks, and how much is correct."""
        plans = Overview(status=status).plans
        good = sum(plan.correct for plan in plans)
        stored = sum(plan.stored for plan in plans if plan.labelled)
        number = f"{len(status.tasks)} task{'' if len(status.tasks) == 1 else 's'}"
        return dotted(number, say((f"{count(good)} correct", "good"), (f" of {count(stored)}", "text")))

    def panels(self, row: TaskRow) -> Sequence[Shown]:
        """Its questions, students, plans and settings."""
        return questions(row), students(row), plans(row), facts(row)

    def key_hints(self) -> list[tuple[str, str]]:
        """What you can do with tasks."""
        task = self.chosen
        return [
            ("help", "help"),
            ("open", "its samples"),
            ("train", "train now"),
            ("pause", "resume" if task is not None and task.paused else "pause"),
            ("filter", "filter"),
            ("faults", "all" if self.problems_only else "problems"),
            ("sort", "sort"),
            ("copy", "copy"),
            ("budget", "budget"),
        ]

    def open_selected(self) -> None:
        """Shows the task's samples, and filters the runs by it."""
        if (name := self.target_name()) is not None:
            self.post_message(TaskSamplesRequested(name))

    def target_task(self) -> str | None:
        """The task under the cursor."""
        return self.target_name()


def _titled(row: TaskRow, words: str) -> str:
    return f"{shortened(row.task.name, 20)} · {words}"


def questions(row: TaskRow) -> Shown:
    """How many questions have how many correct rationales."""
    title, counts = _titled(row, f"{row.task.good_word} per question"), row.questions
    if counts is None or not counts.correct:
        words = "No question is answered yet." if counts is not None and counts.whole else "Counting …"
        return Shown(title, "", lambda width, height: centred(words, width, height))
    values = counts.histogram()
    if counts.whole:
        number = counts.unsolved
        summary = say((f"{count(number)} unsolved", "attention")) if number else say(("all solved", "good"))
    else:
        summary = say((f"{count(len(counts.correct))} of {count(row.task.train)} questions", "muted"))

    def paint(width: int, height: int) -> list[Text]:
        roles = ["attention", *["accent"] * (len(values) - 2), "good"][: len(values)]
        return blocks(values, width, height, roles=roles, labels=[str(at) for at in range(len(values))])

    return Shown(title, summary, paint)


def students(row: TaskRow) -> Shown:
    """What its students wait for, and what its runs reached."""
    task, runs = row.task, [run for run in row.status.runs if run.task == row.task.name and run.steps]
    follow = next_of(row.view, task)

    def paint(width: int, height: int) -> list[Text]:
        found: list[Text] = []
        for trigger in task.triggers:
            reached = trigger.progress.reached
            far = say((trigger.progress.text(count, unit=width >= 48), "text"))
            head = say(
                ("✓ " if reached else "○ ", "good" if reached else "attention"),
                (one_line(trigger.student), "strong"),
            )
            when = say((f" @{trigger.name}", "muted"))
            fits = head.cell_len + when.cell_len + far.cell_len < width
            found.append(across(say(head, when) if fits else head, far, width))
            if not reached and height >= 3 * len(task.triggers) and trigger.goal:
                found.append(say("  ", progress(trigger.have / trigger.goal, max(4, width - 4))))
        waiting = [each for each in row.status.waiting if each.task in (task.name, "joint")]
        for each in waiting:
            found.append(
                say(
                    ("◐ ", "attention"),
                    (one_line(each.student), "strong"),
                    (f" waits for {one_line(each.source)}", "muted"),
                )
            )
            found.append(say((f"  {one_line(each.why)}", "muted")))
        if not task.triggers and not waiting:
            found.append(say(("No student is trained on it: add [[students]].", "muted")))
        if runs and height > len(found) + 1:
            found += [say()] * (height > len(found) + len(runs) + 1)
            for run in runs[-RUNS_SHOWN:][::-1]:
                result = (
                    say((percent(run.accuracy, 1), "good"))
                    if run.accuracy is not None
                    else state_word(run.state)
                )
                found.append(
                    across(
                        say((f"run {run.id} ", "strong"), one_line(f"{run.student} @{run.trigger}")),
                        result,
                        width,
                    )
                )
        return fitted([truncated(line, width) for line in found], height)

    return Shown(_titled(row, "students"), follow, paint)


def plans(row: TaskRow) -> Shown:
    """How far its plans are, and how right."""
    own = [plan for plan in row.status.plans if plan.task == row.task.name]

    def paint(width: int, height: int) -> list[Text]:
        found: list[Text] = []
        for each in row.status.wordings:
            if each.task == row.task.name:
                role = "good" if each.beats else "muted"
                found += [say((line, role)) for line in textwrap.wrap(one_line(each.text), max(20, width))]
        said = len(found)
        for plan in own:
            numbers = f"{count(plan.stored)}/{count(plan.wanted)}"
            found.append(
                across(
                    say(
                        (shortened(plan.name, 22), "strong"),
                        (f"  {plan.split}, {one_line(plan.teacher)}", "muted"),
                    ),
                    say(numbers),
                    width,
                )
            )
            graded = plan.graded
            detail = say(
                (f"  ✓ {count(plan.accepted)}{'' if plan.labelled else ' answered'}", "good"),
                (f"  ✗ {count(plan.rejected)}{'' if plan.labelled else ' unread'}", "bad"),
                (f"  ✗ {count(plan.failed)} failed", "bad") if plan.failed else "",
                (f"  ◐ {count(plan.in_flight)} open", "accent") if plan.in_flight else "",
                (f", waits for {one_line(plan.awaits)}", "muted") if plan.awaits else "",
            )
            found.append(
                across(
                    detail,
                    say(
                        (percent(plan.accepted / graded, 1), "text") if graded else "",
                        (f"  {money(plan.usd, None)}", "muted"),
                    ),
                    width,
                )
            )
            if height >= 3 * len(own) + said:
                found.append(
                    say("  ", progress(plan.stored / plan.wanted if plan.wanted else 1.0, max(4, width - 2)))
                )
        return fitted(found or [say(("No plan samples it.", "muted"))], height)

    return Shown(_titled(row, "plans"), f"{len(own)} plan{'' if len(own) == 1 else 's'}", paint)


def facts(row: TaskRow) -> Shown:
    """Its settings and its cost."""
    task, limit = row.task, bound_by(row.status, row.task)
    end = _cost_at_end(row)
    rows = fields(
        ("state", ("■ paused", "attention"), f"; P or `coterie resume --task {one_line(task.name)}`")
        if task.paused
        else None,
        ("source", one_line(task.source)),
        ("answers", task.answer_format),
        ("questions", f"{count(task.train)} train, {count(task.dev)} dev, {count(task.test)} test"),
        ("unreadable", f"{count(task.unreadable)} further questions: no gold answer")
        if task.unreadable
        else None,
        (
            "sampled",
            f"{count(task.stored)} of {count(task.wanted)}, {count(task.accepted)} {task.good_word}"
            + (f" ({percent(task.correct_share, 1)})" if task.labelled else ""),
        ),
        ("teacher", (accuracy_words(task.teacher), "teacher")) if task.teacher is not None else None,
        ("best", f"run {task.best.run}: ", (accuracy_words(task.best), "good"))
        if task.best is not None
        else None,
        (
            "cost",
            money(row.usd, None),
            (f", about {money(end, None)} at the end" if end is not None else "", "muted"),
        ),
        ("per correct", f"{per_thousand(row.usd_per_correct)} per 1,000")
        if row.usd_per_correct is not None
        else None,
        ("ETA", duration(task.eta_s), (f", limited by {one_line(limit)}" if limit else "", "muted"))
        if task.eta_s is not None
        else None,
        width=12,
    )
    return Shown(
        _titled(row, "facts"),
        "",
        lambda width, height: fitted([truncated(line, width) for line in rows], height),
    )


def _cost_at_end(row: TaskRow) -> float | None:
    found = row.usd
    for plan in row.view.plans:
        if (
            plan.task == row.task.name
            and (left := plan.wanted - plan.stored - plan.failed - plan.skipped) > 0
        ):
            if not plan.stored:
                return None
            found += left * plan.usd / plan.stored
    return found if found > row.usd else None
