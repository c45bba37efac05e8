"""2 Tasks: how far each is, what is next for it, which questions stay unsolved, what its students wait for and reach."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any

from state.sqlite import Connection
from state.views.format import count, duration, money, per_thousand, percent, short
from state.views.question_counts import QuestionCounts, count_notes, count_questions
from state.views.status_records import Status, TaskStatus
from state.views.task_texts import TaskTexts, newest_texts
from tui.charts import progress
from tui.context import Context
from tui.database_reader import Query
from tui.messages import TaskSamplesRequested
from tui.screens.list_screen import ListScreen
from tui.screens.overview_panels import Overview, Shown, dotted
from tui.screens.overview_work import next_of
from tui.screens.task_panels import TaskRow, facts, plans, questions, share_of, students
from tui.text import Part, one_line, say
from tui.widgets.columns import Column

COUNT_S = 0.02
"""Seconds of counting questions in one reading."""
AGAIN_S = 30.0
"""A finished count is made again after this time."""
TEXTS_CELLS = 190
"""A list of this width shows what the texts of all tasks are like."""
Payload = tuple[QuestionCounts | None, dict[int, int], TaskTexts | None]


def _texts(connection: Connection, task: int | None) -> TaskTexts | None:
    return None if task is None else newest_texts(connection, task)


def _tokens(row: TaskRow) -> str:
    """Of a prompt and of an answer, on average."""
    texts = row.texts
    return (
        f"{short(texts.prompt_tokens)}/{short(texts.completion_tokens)}" if texts and texts.samples else "–"
    )


def _diversity(row: TaskRow) -> str:
    return f"{row.texts.distance:.2f}" if row.texts and row.texts.distance is not None else "–"


class TasksScreen(ListScreen):
    """All tasks, and four panels about one."""

    number = "2"
    noun = "task"
    lower = 14
    columns = (
        Column("task", 0, lambda row: say((one_line(row.task.name), "strong"), (" ■", "attention") if row.task.paused else ""), whole=True, sort_by={"name": lambda row: row.task.name}),
        Column("", 8, lambda row: progress(share_of(row), 8), from_width=70, to_width=139),
        Column("", 16, lambda row: progress(share_of(row), 16), from_width=140),
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
        Column("tokens", 8, lambda row: _tokens(row), "right", from_width=TEXTS_CELLS),
        Column("diverse", 7, lambda row: _diversity(row), "right", from_width=TEXTS_CELLS),
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
        self.texts: dict[int, tuple[float, TaskTexts]] = {}  # by task, with the time of the reading
        self.questions: QuestionCounts | None = None  # what is shown
        self.counting: QuestionCounts | None = None  # a count in progress
        self._counted_at = 0.0

    def data_query(self) -> Query | None:
        """The correct rationales of the questions of the task under the cursor, as far as time allows."""
        task = self.chosen
        if task is None:
            return None
        before, shown, notes = self.counting, self.questions, self.notes
        old = self._old_texts(task)
        known = shown is not None and shown.whole and shown.task == task.id
        if known and time.monotonic() - self._counted_at < AGAIN_S:
            return Query(
                ("tasks", task.id),
                lambda connection: (shown, notes, _texts(connection, old)),
                ("whole", old),
            )
        if before is None or before.task != task.id:
            before = QuestionCounts(task=task.id)

        def read(connection: Connection) -> Payload:
            counts = count_questions(connection, before, COUNT_S)
            return counts, count_notes(connection), _texts(connection, old)

        return Query(("tasks", task.id), read, (before.upto, old))

    def _old_texts(self, chosen: TaskStatus) -> int | None:
        """A task whose texts are to be read: the one under the cursor first, then those that the list shows; None if all are fresh."""
        status, now = self.status, time.monotonic()
        wide = self.table.size.width >= TEXTS_CELLS
        others = status.tasks if status is not None and wide else ()
        for task in (chosen, *others):
            if task.id not in self.texts or now - self.texts[task.id][0] > AGAIN_S:
                return task.id
        return None

    def receive(self, payload: Any) -> None:
        """Takes the counts; those of a count that was begun again once they are whole."""
        found: QuestionCounts
        found, self.notes, texts = payload
        if texts is not None:
            self.texts[texts.task] = (time.monotonic(), texts)
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
                self.texts[task.id][1] if task.id in self.texts else None,
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
