"""The palette's entries: every key, every task, run and teacher to go to, and what can be asked of each."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from typing import TYPE_CHECKING, Any

from textual.command import DiscoveryHit, Hit, Hits, Provider

from state.views.status_records import Status
from tui.command_actions import pausing, training
from tui.keys import offered, shown
from tui.text import one_line, say

if TYPE_CHECKING:
    from tui.app import Monitor


class Palette(Provider):
    """Finds by the letters typed, in their order."""

    def entries(self) -> Iterator[tuple[str, Callable[[], Any]]]:
        """What can be done: words, and what does it."""
        app: Any = self.app
        monitor: Monitor = app
        for key in offered(monitor.readonly):
            if key.id != "palette":
                yield f"{key.words}  ({shown(key, monitor.remapped)})", partial(app.run_action, key.action)
        if monitor.status is None:
            return
        for task in monitor.status.tasks:
            yield f"go to task {one_line(task.name)}", partial(monitor.go_to, "tasks", task.name)
        for run in reversed(monitor.status.runs):
            words = one_line(f"go to run {run.id}: {run.student} on {run.task}")
            yield words, partial(monitor.go_to, "runs", run.id)
        for teacher in monitor.status.teachers:
            yield f"go to teacher {one_line(teacher.name)}", partial(monitor.go_to, "teachers", teacher.name)
        if not monitor.readonly:
            yield from self._orders(monitor, monitor.status)

    def _orders(self, monitor: Monitor, status: Status) -> Iterator[tuple[str, Callable[[], Any]]]:
        """What can be asked of the daemon by name; each is confirmed."""
        found = [pausing(status)]
        found += [pausing(status, task=task.name) for task in status.tasks]
        found += [pausing(status, teacher=teacher.name) for teacher in status.teachers]
        found += [training(task.name) for task in status.tasks]
        for wanted in found:
            yield one_line(wanted.words), partial(monitor.confirm, f"{wanted.words}?", wanted)
        for run in status.active_runs:
            words = one_line(f"stop run {run.id}: {run.student} on {run.task}")
            yield words, partial(monitor.stop_run, run)

    async def discover(self) -> Hits:
        """Everything, before anything is typed."""
        for words, command in self.entries():
            yield DiscoveryHit(say(words), command, text=words)

    async def search(self, query: str) -> Hits:
        """What fits the letters, best first."""
        matcher = self.matcher(query)
        for words, command in self.entries():
            score = matcher.match(words)
            if score > 0:
                yield Hit(score, say(words), command, text=words)
