"""The keys that send the daemon a command: confirm, write the row, show the answer.

Invariants: nothing is written before you have confirmed exactly that command; `--readonly` removes all of it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from textual import on, work
from textual.message import Message

from state.notes import SetNote, note_words
from state.views.commands import Answer
from tui.base import MonitorBase
from tui.commands import (
    CommandError,
    UserCommand,
    finish_run,
    note,
    pause_or_resume,
    set_budget,
    spent_of,
    stop_run,
    train,
    write,
)
from tui.key_bindings import KEYS
from tui.messages import CommandRequested, NoteRequested
from tui.screens.dialogs import AmountDialog, Choice, ConfirmDialog
from tui.screens.note_dialog import NoteDialog

WRITING_ACTIONS = {key.action for key in KEYS if key.writes}


class CommandWritten(Message):
    """A command was written, or could not be (`id` None: `words` says why)."""

    def __init__(self, id: int | None, words: str, *, applied: bool = False) -> None:
        super().__init__()
        self.id, self.words = id, words
        self.applied = applied  # with the writing; no daemon is needed


class CommandActions(MonitorBase):
    """Actions that change what the daemon does."""

    _unanswered: dict[int, str]  # words of the commands whose answer has not arrived, by id

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """Disables the writing keys under `--readonly`."""
        return not (self.context.readonly and action in WRITING_ACTIONS)

    # Writing, and the answers

    def send(self, command: UserCommand) -> None:
        """Writes a command; a notice shows its answer when it arrives."""
        if not self.context.readonly:
            self._write(command)

    @work(thread=True, group="commands")
    def _write(self, command: UserCommand) -> None:
        try:
            number = write(self.context.path, command.command)
        except CommandError as error:
            self.post_message(CommandWritten(None, f"{command.words}: not written. {error}"))
        else:
            self.post_message(
                CommandWritten(number, command.words, applied=isinstance(command.command, SetNote))
            )

    @on(CommandWritten)
    def command_written(self, message: CommandWritten) -> None:
        """Says that the command was written, or why not."""
        if message.id is None:
            self.notice(message.words, "error")
            return
        self._unanswered[message.id] = message.words
        status = self.context.status
        if message.applied:
            pass  # its answer is there
        elif status is not None and status.daemon.alive:
            self.notice(f"{message.words}: sent, waiting for the daemon")
        else:
            self.notice(f"{message.words}: queued, applied when a daemon starts")
        self.read_now()

    def show_answers(self, answers: Sequence[Answer]) -> None:
        """Shows the daemon's answers."""
        for answer in answers:
            words = self._unanswered.pop(answer.id, answer.kind)
            severity = "information" if answer.state == "done" else "error"
            self.notice(f"{words}: {answer.state}. {answer.text}".strip(), severity)

    @on(CommandRequested)
    def command_requested(self, message: CommandRequested) -> None:
        """A screen or the palette wants a command sent."""
        self.confirm(message.command)

    def confirm(self, command: UserCommand, other: UserCommand | None = None, key: str = "a") -> None:
        """Sends the command once it is confirmed; `other` is offered beside it under `key`."""
        if self.context.readonly:
            return
        choices = [Choice("y", "yes", command)] + ([Choice(key, other.words, other)] if other else [])

        def chosen(value: Any) -> None:
            if isinstance(value, UserCommand):
                self.send(value)

        self.push_screen(ConfirmDialog(command.question, choices), chosen)

    @on(NoteRequested)
    def note_requested(self, message: NoteRequested) -> None:
        """Asks what to note about a sample, and stores it."""
        if self.context.readonly:
            self.notice("Notes are disabled by --readonly.", "warning")
            return

        def given(words: str | None) -> None:
            if words is not None:
                self.send(note(message.sample, words))

        self.push_screen(
            NoteDialog(message.sample, message.question, note_words(message.flag, message.text)), given
        )

    # The keys

    def action_pause(self) -> None:
        """Pauses or resumes the task or teacher under the cursor, or all sampling."""
        status, screen = self.context.status, self.active_screen
        if status is None or screen is None:
            return
        everything = pause_or_resume(status)
        if screen.number == "2" and (task := screen.target_task()):
            self.confirm(pause_or_resume(status, task=task), everything)
        elif screen.number == "3" and (teacher := screen.target_teacher()):
            self.confirm(pause_or_resume(status, teacher=teacher), everything)
        else:
            self.confirm(everything)

    def action_train(self) -> None:
        """Trains the task under the cursor."""
        screen = self.active_screen
        task = screen.target_task() if screen is not None else None
        if screen is None or task is None:
            self.notice("No task selected: choose one on screen 2 first.", "warning")
            return
        self.confirm(train(task, screen.target_student()))

    def action_stop_run(self) -> None:
        """Stops the run under the cursor, or has it finish."""
        run = self.active_screen.target_run() if self.active_screen is not None else None
        if run is None:
            self.notice("No active run is selected.", "warning")
            return
        self.confirm(stop_run(run), finish_run(run), key="f")

    def action_budget(self) -> None:
        """Asks for a new budget, then for confirmation."""
        status = self.context.status
        if status is None:
            return

        def given(usd: float | None) -> None:
            if usd is not None:
                self.confirm(set_budget(usd, status))

        self.push_screen(AmountDialog(f"Total budget in dollars ({spent_of(status)}):"), given)
