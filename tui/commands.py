"""Commands for the daemon, with the words and the question shown for each."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from state import sqlite
from state.commands import Command, Pause, Resume, SetBudget, StopRun, Train, send
from state.database import open_reader
from state.errors import StateError
from state.notes import SetNote, parse_note
from state.views.format import money, spending
from state.views.status_records import RunStatus, Status


@dataclass(frozen=True, slots=True)
class UserCommand:
    """A command and its words, for example "pause task gsm8k"."""

    words: str
    command: Command
    confirmation: str = ""
    """The question asked first; by default the words themselves."""

    @property
    def question(self) -> str:
        """The question asked before the command is written."""
        return self.confirmation or f"{self.words[:1].upper()}{self.words[1:]}?"


class CommandError(Exception):
    """The command could not be written; the message says why."""


def write(path: Path, command: Command) -> int:
    """Writes a command for the daemon and returns its id; the row waits there until a daemon runs.

    Raises:
        CommandError: the database cannot be written now.
    """
    try:
        open_reader(path).close()  # refuses a database that a newer Coterie has migrated
        return send(path, command)
    except StateError as error:
        raise CommandError(error.message) from None
    except ValueError as error:  # a note that cannot be stored
        raise CommandError(str(error)) from None
    except sqlite.Error as error:
        raise CommandError(f"{path}: {error}") from None


def pause_or_resume(status: Status, *, task: str | None = None, teacher: str | None = None) -> UserCommand:
    """Pauses a task, a teacher or all sampling; resumes it if it is paused or parked."""
    if task is not None:
        halted = any(item.paused for item in status.tasks if item.name == task)
        target = f"task {task}"
    elif teacher is not None:
        halted = any(item.state in ("paused", "parked") for item in status.teachers if item.name == teacher)
        target = f"teacher {teacher}"
    else:
        halted = status.daemon.state == "paused" or (
            bool(status.tasks) and all(item.paused for item in status.tasks)
        )
        target = "all sampling"
    if halted:
        return UserCommand(f"resume {target}", Resume(task=task, teacher=teacher))
    return UserCommand(f"pause {target}", Pause(task=task, teacher=teacher))


def train(task: str, student: str | None = None) -> UserCommand:
    """Trains one student or all students on a task."""
    words = f"train {student or 'every student'} on {task}"
    return UserCommand(words, Train(task=task, student=student), f"T{words[1:]} now?")


def stop_run(run: RunStatus) -> UserCommand:
    """Stops a run."""
    step = f", step {run.step:,} of {run.steps:,}" if run.steps else ""
    question = f"Stop run {run.id} ({run.student} on {run.task}{step})?"
    return UserCommand(f"stop run {run.id}", StopRun(run=run.id), question)


def finish_run(run: RunStatus) -> UserCommand:
    """Ends the training of a run at its next step."""
    words = f"finish run {run.id} now: its best weights are exported and tested"
    return UserCommand(words, StopRun(run=run.id, finish=True))


def note(sample: int, words: str) -> UserCommand:
    """Notes something about a sample; without words, removes what is noted there."""
    flag, text = parse_note(words)
    return UserCommand(f"note on sample {sample}", SetNote(sample=sample, flag=flag, text=text))


def set_budget(usd: float, status: Status) -> UserCommand:
    """Sets the budget; the question warns if that much is already spent."""
    words = f"set the budget to {money(usd, None)}"
    warning = (
        " That is less than counts against it: no new request will be sent."
        if usd < status.spend.used_usd
        else ""
    )
    return UserCommand(words, SetBudget(usd=usd), f"S{words[1:]} ({spent_of(status)})?{warning}")


def spent_of(status: Status) -> str:
    """For example "spent $3.10 of $5.00, reserved $0.02, unknown $0.00"."""
    spent = spending(status.spend)
    return spent if status.spend.cap_usd is not None else f"{spent}, no cap"
