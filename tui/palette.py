"""The command palette: every key, every task, run and teacher to go to, and the commands for each of them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

from textual.command import DiscoveryHit, Hit, Hits, Provider

from state.views.status_records import Status
from tui.base import MonitorBase
from tui.commands import UserCommand, finish_run, pause_or_resume, stop_run, train
from tui.key_bindings import available_keys, key_label
from tui.messages import CommandRequested, RowRequested
from tui.text import one_line, say

Entry = tuple[str, Callable[[], Any]]


class Palette(Provider):
    """Finds entries by the letters typed, in their order."""

    @property
    def monitor(self) -> MonitorBase:
        """The application."""
        assert isinstance(self.app, MonitorBase)
        return self.app

    def entries(self) -> Iterator[Entry]:
        """The words of every entry, and what it does."""
        context = self.monitor.context
        for key in available_keys(context.readonly):
            if key.id != "palette":
                words = f"{key.words}  ({key_label(key, context.remapped)})"
                yield words, partial(self.app.run_action, key.action)
        if context.status is None:
            return
        for task in context.status.tasks:
            yield f"go to task {one_line(task.name)}", self._row("tasks", task.name)
        for run in reversed(context.status.runs):
            words = one_line(f"go to run {run.id}: {run.student} on {run.task}")
            yield words, self._row("runs", run.id)
        for teacher in context.status.teachers:
            yield f"go to teacher {one_line(teacher.name)}", self._row("teachers", teacher.name)
        if not context.readonly:
            yield from self._commands(context.status)

    def _commands(self, status: Status) -> Iterator[Entry]:
        """Commands for the daemon; each asks for confirmation."""
        found = [pause_or_resume(status)]
        found += [pause_or_resume(status, task=task.name) for task in status.tasks]
        found += [pause_or_resume(status, teacher=teacher.name) for teacher in status.teachers]
        found += [train(task.name) for task in status.tasks]
        for command in found:
            yield one_line(command.words), self._command(command)
        for run in status.active_runs:
            for command, about in ((stop_run(run), "stop"), (finish_run(run), "finish")):
                words = one_line(f"{about} run {run.id}: {run.student} on {run.task}")
                yield words, self._command(command)

    def _row(self, mode: str, key: object) -> Callable[[], Any]:
        return lambda: self.monitor.post_message(RowRequested(mode, key))

    def _command(self, command: UserCommand) -> Callable[[], Any]:
        return lambda: self.monitor.post_message(CommandRequested(command))

    async def discover(self) -> Hits:
        """Everything, before anything is typed."""
        for words, run in self.entries():
            yield DiscoveryHit(say(words), run, text=words)

    async def search(self, query: str) -> Hits:
        """The entries that match the letters, best first."""
        matcher = self.matcher(query)
        for words, run in self.entries():
            score = matcher.match(words)
            if score > 0:
                yield Hit(score, say(words), run, text=words)
