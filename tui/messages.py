"""What a screen asks the application to do. The application handles them in `tui/app.py` and its action modules."""

from __future__ import annotations

from textual.message import Message

from tui.commands import UserCommand


class ReadRequested(Message):
    """Read the database now for the screen that is shown."""


class ActionRequested(Message):
    """Do what a key does: its footer entry or a tab was clicked."""

    def __init__(self, action: str) -> None:
        super().__init__()
        self.action = action


class NoteRequested(Message):
    """Ask for a note about a sample."""

    def __init__(self, sample: int, question: str, flag: str, text: str) -> None:
        super().__init__()
        self.sample, self.question, self.flag, self.text = sample, question, flag, text


class RowRequested(Message):
    """Show a screen with the cursor on one of its rows."""

    def __init__(self, mode: str, key: object) -> None:
        super().__init__()
        self.mode, self.key = mode, key


class SamplesRequested(Message):
    """Show the samples that match these words."""

    def __init__(self, words: str) -> None:
        super().__init__()
        self.words = words


class TaskSamplesRequested(Message):
    """Show the samples of a task, and filter the runs by it."""

    def __init__(self, task: str) -> None:
        super().__init__()
        self.task = task


class CommandRequested(Message):
    """Ask for confirmation, then write the command for the daemon."""

    def __init__(self, command: UserCommand) -> None:
        super().__init__()
        self.command = command
