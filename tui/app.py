"""The monitor: six screens over `state.db`, one tick a second.

Invariants: all reading happens in one worker thread that only posts messages, and never twice at a
time; what a person asks of the daemon is a row of the command table; no fault of the database is
more than a banner. It never imports the daemon and shares no process with it.
"""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Any, ClassVar

from textual import on, work
from textual.binding import BindingType

from state.database import now_ms
from state.views.status import process_exists
from state.views.status_records import Status
from tui.command_actions import Asking
from tui.feed import Feed, FeedError, Wish
from tui.garbage import settle
from tui.keys import BINDINGS, checked
from tui.messages import Lost, Read
from tui.navigation_actions import Moving
from tui.palette import Palette
from tui.screens.events import Events
from tui.screens.modals import Choice, Confirm
from tui.screens.overview import Overview
from tui.screens.runs import Runs
from tui.screens.samples import Samples
from tui.screens.tasks import Tasks
from tui.screens.teachers import Teachers
from tui.screens.view import View

HOLD_S = 0.05
"""So long a screen waits for what belongs to the row that the cursor came to; then it is drawn without."""


class Monitor(Moving, Asking):
    """The terminal UI."""

    CSS_PATH = "monitor.tcss"
    TITLE = "Coterie"
    BINDINGS: ClassVar[list[BindingType]] = [*BINDINGS]
    COMMANDS: ClassVar[set[Any]] = {Palette}
    MODES: ClassVar[dict[str, Any]] = {
        "overview": Overview,
        "tasks": Tasks,
        "teachers": Teachers,
        "samples": Samples,
        "runs": Runs,
        "events": Events,
    }
    DEFAULT_MODE = "overview"

    def __init__(
        self,
        path: Path,
        *,
        readonly: bool,
        clock: Callable[[], int],
        alive: Callable[[int], bool],
        keys: Mapping[str, str],
        theme: str,
        interval: float,
        leaving: tuple[str, list[Choice], str] | None,
    ) -> None:
        super().__init__()
        self.path = path
        self.readonly = readonly
        self.clock = clock
        self.remapped = checked(keys)
        self.interval = interval
        self.status: Status | None = None
        self.problem = ""
        self.frozen = False
        self.marked: int | None = None
        self.generation = 0
        self.leaving = leaving
        self._feed = Feed(path, alive)
        self._reading = False
        self._again = False
        self._held = ExitStack()
        self._until: asyncio.TimerHandle | None = None
        self._asked: dict[int, str] = {}  # commands whose answer is not here yet
        self._chosen_theme = theme if theme in self.available_themes else "textual-dark"
        self.animation_level = "none"
        self.set_keymap(self.remapped)

    # Life

    def on_mount(self) -> None:
        """Starts ticking."""
        self.theme = self._chosen_theme
        self.set_interval(self.interval, self.tick)
        if not self.is_headless:
            for number in (signal.SIGTERM, signal.SIGHUP):
                asyncio.get_running_loop().add_signal_handler(number, self.exit)

    def on_ready(self) -> None:
        """The first frame is drawn; a test's process is more than a monitor."""
        if not self.is_headless:
            settle()

    def on_unmount(self) -> None:
        """Lets the database go."""
        self._feed.close()

    @property
    def busy(self) -> bool:
        """Whether a reading is under way, or wanted."""
        return self._reading or self._again

    # Reading

    def tick(self) -> None:
        """Once a second."""
        if not self.frozen:
            self.ask()

    def ask(self) -> None:
        """Reads for the screen that is shown: now, or as soon as the reading under way is done."""
        view = self.view
        if view is None or not view.ready:
            return
        if self._reading:
            self._again = True
            return
        self._reading, self._again = True, False
        self._read(view, view.wish(), self.clock(), tuple(self._asked))

    # Not `exclusive=True`: that would cancel a reading whose message is already on its way. `_reading`
    # keeps it to one at a time.
    @work(thread=True, group="feed")
    def _read(self, view: View, wish: Wish | None, now: int, asked: tuple[int, ...]) -> None:
        try:
            fresh = self._feed.read(now, wish, asked)
        except FeedError as error:
            self.post_message(Lost(str(error)))
        else:
            self.post_message(Read(view, wish, fresh))

    @on(Read)
    def was_read(self, message: Read) -> None:
        """Gives what was read to its screen, and draws the one that is shown."""
        self._reading = False
        fresh, view = message.fresh, message.view
        if not view.ready:
            self._release()
            return
        self.status, self.problem = fresh.status, ""
        replaced = self.generation not in (0, fresh.generation)
        self.generation = fresh.generation
        if replaced:
            for stack in self._screen_stacks.values():
                for screen in stack:
                    if isinstance(screen, View):
                        screen.new_database()
        self.answered(fresh.answers)
        view.status = fresh.status
        if fresh.payload is not None:
            view.learn(fresh.payload)
        current = self.view
        if current is not None:
            current.status = fresh.status
            current.draw()
            wish = current.wish()
            key = message.wish.key if message.wish is not None and current is view else None
            waited = self._again
            if waited or replaced or (wish is not None and wish.key != key):
                self.ask()
            if not waited:
                self._release()

    @on(Lost)
    def was_lost(self, message: Lost) -> None:
        """A banner; the next tick tries again."""
        self._reading = False
        self._release()
        self.problem = message.reason
        if self.view is not None:
            self.view.draw()

    # Drawing once, not twice

    def hold(self) -> None:
        """The cursor moves: its row and what belongs to it are drawn in one frame, where they are read in time.

        A frame costs more than the reading, and one with rows that are on their way says nothing.
        """
        if self._until is None and self.is_running:
            self._held.enter_context(self.batch_update())
            self._until = asyncio.get_running_loop().call_later(HOLD_S, self._release)

    def _release(self) -> None:
        if self._until is not None:
            self._until.cancel()
            self._until = None
            self._held.close()
            if self.is_running:
                for screen in self.screen_stack:
                    screen.check_idle()

    # Leaving

    def action_leave(self) -> None:
        """Ends the monitor; one that belongs to a daemon asks what is to become of that."""
        if self.leaving is None:
            self.exit()
            return

        def chosen(value: Any) -> None:
            if value is not None:
                self.exit(value)

        self.push_screen(Confirm(*self.leaving), chosen)

    async def action_quit(self) -> None:
        """Textual's own ctrl+q: no way past the question."""
        self.action_leave()


def make_app(
    path: Path,
    *,
    readonly: bool = False,
    clock: Callable[[], int] = now_ms,
    alive: Callable[[int], bool] = process_exists,
    keys: Mapping[str, str] | None = None,
    theme: str = "textual-dark",
    interval: float = 1.0,
    leaving: tuple[str, list[Choice], str] | None = None,
) -> Monitor:
    """The monitor of a database, for the command and for tests.

    Args:
        path: the database; it need not be there yet.
        readonly: take away the keys that ask something of the daemon.
        clock: wall clock, UTC milliseconds.
        alive: says whether a process id is in use.
        keys: other keys for bindings, by id.
        theme: a Textual theme.
        interval: seconds between two readings.
        leaving: what to ask when it is left: the question, its choices (the application returns the value of the one
            chosen), and the words for staying.

    Raises:
        ConfigError: `keys` names a binding that does not exist.
    """
    return Monitor(
        path,
        readonly=readonly,
        clock=clock,
        alive=alive,
        keys=keys or {},
        theme=theme,
        interval=interval,
        leaving=leaving,
    )
