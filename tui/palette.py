"""The palette's entries: every key, and every task, run and teacher there is to go to."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from typing import TYPE_CHECKING, Any

from textual.command import DiscoveryHit, Hit, Hits, Provider

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
