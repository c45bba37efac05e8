"""The keys that ask the daemon for something: confirmed first, written as a row of `command`, the answer shown.

Invariants: nothing is written before a person said yes to the very words that are written; `--readonly` has none of it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from textual import on, work

from state.commands import Command, Pause, Resume, SetBudget, StopRun, Train
from state.views.commands import Answer
from state.views.format import money
from state.views.status_records import RunStatus, Status
from tui.base import WRITES, Base
from tui.messages import Ordered
from tui.orders import OrderError, order
from tui.screens.modals import Amount, Choice, Confirm


@dataclass(frozen=True, slots=True)
class Order:
    """A command and the words for it."""

    words: str
    command: Command


class Asking(Base):
    """Actions that change what the daemon does."""

    _asked: dict[int, str]  # commands whose answer is not here yet

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """`--readonly` takes away what asks something of the daemon."""
        return not (self.readonly and action in WRITES)

    # Writing, and the answers

    def order(self, wanted: Order) -> None:
        """Writes a command; its answer is shown when it arrives."""
        if not self.readonly:
            self._order(wanted)

    @work(thread=True, group="orders")
    def _order(self, wanted: Order) -> None:
        try:
            number = order(self.path, wanted.command)
        except OrderError as error:
            self.post_message(Ordered(None, f"{wanted.words}: not written. {error}"))
        else:
            self.post_message(Ordered(number, wanted.words))

    @on(Ordered)
    def was_ordered(self, message: Ordered) -> None:
        """Says that it was asked, or why not."""
        if message.number is None:
            self.tell(message.words, "error")
            return
        self._asked[message.number] = message.words
        alive = self.status is not None and self.status.daemon.alive
        wait = "asked; waiting for the daemon" if alive else "asked; no daemon runs, the next one will do it"
        self.tell(f"{message.words}: {wait}")
        self.ask()

    def answered(self, answers: Sequence[Answer]) -> None:
        """Shows what the daemon said."""
        for answer in answers:
            words = self._asked.pop(answer.id, answer.kind)
            severity = "information" if answer.state == "done" else "error"
            self.tell(f"{words}: {answer.state}. {answer.text}".strip(), severity)

    def confirm(self, question: str, wanted: Order, other: Order | None = None) -> None:
        """Orders it once a person said yes; `other` is offered beside it, under `a`."""
        if self.readonly:
            return
        choices = [Choice("y", "yes", wanted)] + ([Choice("a", other.words, other)] if other else [])

        def chosen(value: Any) -> None:
            if isinstance(value, Order):
                self.order(value)

        self.push_screen(Confirm(question, choices), chosen)

    # The keys

    def action_pause(self) -> None:
        """Pauses or resumes the task or teacher under the cursor, or all sampling."""
        status, view = self.status, self.view
        if status is None or view is None:
            return
        everything = pausing(status)
        own = None
        if view.number == "2" and (task := view.subject_task()):
            own = pausing(status, task=task)
        elif view.number == "3" and (teacher := view.subject_teacher()):
            own = pausing(status, teacher=teacher)
        if own is None:
            self.confirm(f"{everything.words}?", everything)
        else:
            self.confirm(f"{own.words}?", own, everything)

    def action_train(self) -> None:
        """Trains the task under the cursor, once confirmed."""
        view = self.view
        task = view.subject_task() if view is not None else None
        if view is None or task is None:
            self.tell("which task? Choose one on 2 Tasks first", "warning")
            return
        wanted = training(task, view.subject_student())
        self.confirm(f"{wanted.words} now?", wanted)

    def action_stop_run(self) -> None:
        """Stops the run under the cursor, once confirmed."""
        run = self.view.subject_run() if self.view is not None else None
        if run is None:
            self.tell("no run is under way here", "warning")
            return
        self.stop_run(run)

    def stop_run(self, run: RunStatus) -> None:
        """Stops a run, once confirmed."""
        question = f"stop run {run.id} ({run.student} on {run.task}, step {run.step} of {run.steps})?"
        self.confirm(question, Order(f"stop run {run.id}", StopRun(run=run.id)))

    def action_budget(self) -> None:
        """Another budget: how much, then confirmed."""
        status = self.status
        if status is None:
            return
        spent, cap = status.spend.usd, status.spend.cap_usd
        now = f"spent {money(spent, None)} of {'no cap' if cap is None else money(cap, None)}"

        def given(usd: float | None) -> None:
            if usd is None:
                return
            words = f"set the budget to {money(usd, None)}"
            warning = " Less than what is spent: no new request will be sent." if usd < spent else ""
            self.confirm(f"{words} ({now})?{warning}", Order(words, SetBudget(usd=usd)))

        self.push_screen(Amount(f"the whole budget in dollars ({now}):"), given)


def pausing(status: Status, *, task: str | None = None, teacher: str | None = None) -> Order:
    """Pausing or, where it is paused or parked, resuming; a task, a teacher or everything."""
    if task is not None:
        halted = any(item.paused for item in status.tasks if item.name == task)
        what = f"task {task}"
    elif teacher is not None:
        halted = any(item.state in ("paused", "parked") for item in status.teachers if item.name == teacher)
        what = f"teacher {teacher}"
    else:
        halted = status.daemon.state == "paused" or (
            bool(status.tasks) and all(item.paused for item in status.tasks)
        )
        what = "all sampling"
    if halted:
        return Order(f"resume {what}", Resume(task=task, teacher=teacher))
    return Order(f"pause {what}", Pause(task=task, teacher=teacher))


def training(task: str, student: str | None = None) -> Order:
    """Training a task, by one student or all of them."""
    return Order(f"train {student or 'every student'} on {task}", Train(task=task, student=student))
