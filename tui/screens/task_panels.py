"""The panels of a task: its questions, students, plans and facts."""

from __future__ import annotations

import textwrap
from dataclasses import dataclass
from typing import Any

from rich.text import Text

from state.views.alerts import bound_by
from state.views.costs import usd_per_correct
from state.views.format import accuracy_words, count, duration, money, per_thousand, percent
from state.views.question_counts import QuestionCounts
from state.views.status_records import Status, TaskStatus
from state.views.task_texts import TaskTexts
from tui.charts import blocks, progress
from tui.screens.overview_panels import Overview, Shown
from tui.screens.overview_work import next_of
from tui.text import Part, across, fields, one_line, say, shortened, state_word, truncated
from tui.widgets.panel import centred, fitted

RUNS_SHOWN = 12


@dataclass(frozen=True, slots=True)
class TaskRow:
    """A task, the status it is part of, its questions' counts if it is the one under the cursor, and what its texts are like."""

    view: Overview
    task: TaskStatus
    questions: QuestionCounts | None
    notes: int = 0
    texts: TaskTexts | None = None

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


def share_of(row: TaskRow) -> float:
    """The share of the wanted samples that are stored."""
    return row.task.stored / row.task.wanted if row.task.wanted else 0.0


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
        return fitted(
            [
                *(found or [say(("No plan samples it.", "muted"))]),
                *_by_teacher(row, width, height - len(found)),
            ],
            height,
        )

    return Shown(_titled(row, "plans"), f"{len(own)} plan{'' if len(own) == 1 else 's'}", paint)


def _by_teacher(row: TaskRow, width: int, room: int) -> list[Text]:
    """Who was right how often in the newest answers, where several teachers are asked and there is room."""
    texts = row.texts
    if texts is None or len(texts.teachers) < 2 or room < len(texts.teachers) + 2:
        return []
    found = [say(), say((f"of the newest {count(texts.samples)} answers", "muted"))]
    for name, (right, asked) in texts.teachers.items():
        figures = say(
            (percent(right / asked, 1) if row.task.labelled else "", "text"), (f" of {count(asked)}", "muted")
        )
        found.append(across(say(("  " + shortened(name, 30), "strong")), figures, width))
    return found


def facts(row: TaskRow) -> Shown:
    """Its settings and its cost."""
    task, limit = row.task, bound_by(row.status, row.task)
    end, texts = _cost_at_end(row), row.texts
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
        (
            "tokens",
            f"{texts.prompt_tokens:,.0f} in, {texts.completion_tokens:,.0f} out",
            (" on average", "muted"),
        )
        if texts is not None and texts.samples
        else None,
        ("diversity", f"{texts.distance:.2f}", (" mean distance of two rationales", "muted"))
        if texts is not None and texts.distance is not None
        else None,
        ("notes", f"{count(row.notes)} of yours") if row.notes else None,
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
