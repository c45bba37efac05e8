"""The monitor: six screens over `state.db`, read once a second.

Invariants: one worker thread reads, one reading at a time, and it only posts messages; a command for the daemon is a
row of the `command` table; a database error becomes a banner. The monitor never imports the daemon and shares no
process with it.
"""

from __future__ import annotations

import asyncio
import gc
import signal
import socket
import time
from collections.abc import Callable, Hashable, Mapping
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import Any, ClassVar

from textual import on, work
from textual.binding import BindingType
from textual.message import Message
from textual.theme import Theme

from state.database import now_ms
from state.views.status import process_exists
from tui import glyphs
from tui.colours import colours, textual_themes, use, variables
from tui.command_actions import CommandActions
from tui.context import Context
from tui.database_reader import DatabaseReader, Query, ReadError, Snapshot
from tui.key_bindings import BINDINGS, check_remapping, check_theme
from tui.messages import ReadRequested
from tui.navigation_actions import NavigationActions
from tui.palette import Palette
from tui.screens.base_screen import MonitorScreen
from tui.screens.dialogs import Choice, ConfirmDialog
from tui.screens.events import EventsScreen
from tui.screens.overview import OverviewScreen
from tui.screens.runs import RunsScreen
from tui.screens.samples import SamplesScreen
from tui.screens.tasks import TasksScreen
from tui.screens.teachers import TeachersScreen

SCREENS: dict[str, type[MonitorScreen]] = {
    "overview": OverviewScreen,
    "tasks": TasksScreen,
    "teachers": TeachersScreen,
    "samples": SamplesScreen,
    "runs": RunsScreen,
    "events": EventsScreen,
}
HOLD_S = 0.05
"""How long drawing waits for the details of the row under the cursor; then the screen is drawn without them."""
PARTS_S = 0.25
"""Seconds between two drawings while a screen reads in parts."""
GC_THRESHOLDS = (5_000, 10, 20)
"""New objects, young collections, middle collections: how many of each precede the next collection."""


class SnapshotRead(Message):
    """The worker thread has read a snapshot for a screen."""

    def __init__(self, screen: MonitorScreen, query: Query | None, snapshot: Snapshot) -> None:
        super().__init__()
        self.screen, self.query, self.snapshot = screen, query, snapshot


class ReadFailed(Message):
    """The database cannot be read."""

    def __init__(self, reason: str) -> None:
        super().__init__()
        self.reason = reason


class Monitor(NavigationActions, CommandActions):
    """The terminal UI."""

    CSS_PATH = "monitor.tcss"
    TITLE = "Coterie"
    BINDINGS: ClassVar[list[BindingType]] = [*BINDINGS]
    COMMANDS: ClassVar[set[Any]] = {Palette}
    DEFAULT_MODE = "overview"

    def __init__(
        self,
        path: Path,
        *,
        place: str,
        readonly: bool,
        clock: Callable[[], int],
        alive: Callable[[int], bool],
        keys: Mapping[str, str],
        theme: str,
        interval: float,
        leaving: tuple[str, list[Choice], str] | None,
        ascii_only: bool,
    ) -> None:
        super().__init__()
        glyphs.use(ascii_only)
        if ascii_only:
            self._filters.append(glyphs.AsciiFilter())
        self.context = Context(
            path=path,
            place=place,
            readonly=readonly,
            clock=clock,
            remapped=check_remapping(keys),
            hold_frame=self.hold_frame,
        )
        for mode, screen in SCREENS.items():
            self.add_mode(mode, partial(screen, self.context))
        self.interval = interval
        self.generation = 0
        self.leaving = leaving
        self._reader = DatabaseReader(path, alive)
        self._reading = False
        self._read_again = False
        self._drawn_at = 0.0
        self._last_read: Hashable = None
        self._held = ExitStack()
        self._release_timer: asyncio.TimerHandle | None = None
        self._unanswered = {}
        for each in textual_themes():
            self.register_theme(each)
        self._chosen_theme = check_theme(theme, list(self.available_themes))
        self.animation_level = "none"
        self.set_keymap(self.context.remapped)

    # Start and end

    def on_mount(self) -> None:
        """Starts the regular readings."""
        self.theme_changed_signal.subscribe(self, self._recolour)
        self.theme = self._chosen_theme
        self.set_interval(self.interval, self.tick)
        if not self.is_headless:
            for number in (signal.SIGTERM, signal.SIGHUP):
                asyncio.get_running_loop().add_signal_handler(number, self.exit)

    def _recolour(self, theme: Theme) -> None:
        """Another theme: every screen that exists is drawn again in its colours."""
        use(theme.name, dark=theme.dark)
        for stack in self._screen_stacks.values():
            for screen in stack:
                if isinstance(screen, MonitorScreen) and screen.ready:
                    screen.restyle()

    def get_theme_variable_defaults(self) -> dict[str, str]:
        """Our variables, for Textual's own themes."""
        return variables(colours())

    def on_ready(self) -> None:
        """The first frame is drawn. A test's process holds more than a monitor, so its collector is left alone."""
        if not self.is_headless:
            tune_garbage_collector()

    def on_unmount(self) -> None:
        """Closes the database."""
        self._reader.close()

    @property
    def busy(self) -> bool:
        """Whether a reading is in progress or requested."""
        return self._reading or self._read_again

    @property
    def read_up(self) -> bool:
        """Whether the screen that is shown has read what it needs, to the last part."""
        screen = self.active_screen
        query = screen.data_query() if screen is not None else None
        return query is None or query.identity == self._last_read

    @staticmethod
    def _in_parts(screen: MonitorScreen, asked: Query | None) -> bool:
        """Whether a further part of the same reading comes next."""
        query = screen.data_query()
        return (
            query is not None
            and asked is not None
            and query.key == asked.key
            and query.progress != asked.progress
        )

    @property
    def holding(self) -> bool:
        """Whether drawing waits for the details of a row."""
        return self._release_timer is not None

    # Reading

    def tick(self) -> None:
        """Reads, unless the display is frozen; called once per interval."""
        if not self.context.frozen:
            self.read_now()

    @on(ReadRequested)
    def read_now(self) -> None:
        """Reads for the screen that is shown: now, or as soon as the reading in progress is done."""
        screen = self.active_screen
        if screen is None or not screen.ready:
            return
        if self._reading:
            self._read_again = True
            return
        self._reading, self._read_again = True, False
        self._read(screen, screen.data_query(), self.context.clock(), tuple(self._unanswered))

    # Not `exclusive=True`: that would cancel a reading whose message has already been posted. `_reading` allows only
    # one at a time.
    @work(thread=True, group="reader")
    def _read(
        self, screen: MonitorScreen, query: Query | None, now: int, command_ids: tuple[int, ...]
    ) -> None:
        try:
            snapshot = self._reader.read(now, query, command_ids)
        except ReadError as error:
            self.post_message(ReadFailed(str(error)))
        else:
            self.post_message(SnapshotRead(screen, query, snapshot))

    @on(SnapshotRead)
    def show_snapshot(self, message: SnapshotRead) -> None:
        """Gives the snapshot to its screen, and draws the screen that is shown."""
        self._reading = False
        snapshot, screen = message.snapshot, message.screen
        if not screen.ready:
            self._release_frame()
            return
        self.context.status, self.context.problem = snapshot.status, ""
        replaced = self.generation not in (0, snapshot.generation)
        self.generation = snapshot.generation
        if replaced:
            for stack in self._screen_stacks.values():
                for each in stack:
                    if isinstance(each, MonitorScreen):
                        each.reset()
        self.show_answers(snapshot.answers)
        screen.take(snapshot.status, snapshot.payload)
        current = self.active_screen
        if current is not None:
            if current is not screen:
                current.take(snapshot.status, None)
            waited, now = self._read_again, time.monotonic()
            asked = message.query if current is screen else None
            self._last_read = asked.identity if asked is not None else None
            if waited or replaced or not self._in_parts(current, asked) or now - self._drawn_at > PARTS_S:
                self._drawn_at = now
                current.draw() if replaced else current.refresh_view()
            if waited or replaced or not self.read_up:  # also because of what was drawn
                self.read_now()
            if not waited:
                self._release_frame()

    @on(ReadFailed)
    def show_problem(self, message: ReadFailed) -> None:
        """Shows the banner; the next tick tries again."""
        self._reading = False
        self._release_frame()
        self.context.problem = message.reason
        if self.active_screen is not None:
            self.active_screen.draw()

    # One frame instead of two

    def hold_frame(self) -> None:
        """The cursor moves: its row and the row's details are drawn in one frame, if they arrive in time.

        A frame costs more than the reading, and one with missing rows shows nothing useful.
        """
        if self._release_timer is None and self.is_running:
            self._held.enter_context(self.batch_update())
            self._release_timer = asyncio.get_running_loop().call_later(HOLD_S, self._release_frame)

    def _release_frame(self) -> None:
        if self._release_timer is not None:
            self._release_timer.cancel()
            self._release_timer = None
            self._held.close()
            if self.is_running:
                for screen in self.screen_stack:
                    screen.check_idle()

    # Leaving

    def action_leave(self) -> None:
        """Ends the monitor; one that started a daemon first asks what should happen to the daemon."""
        if self.leaving is None:
            self.exit()
            return

        def chosen(value: Any) -> None:
            if value is not None:
                self.exit(value)

        self.push_screen(ConfirmDialog(*self.leaving), chosen)

    async def action_quit(self) -> None:
        """Textual's own ctrl+q asks the same question."""
        self.action_leave()


def tune_garbage_collector() -> None:
    """Makes Python's garbage collector run rarely; for a process that is only a monitor, after its first frame.

    A collection stops everything and looks at every object: 80 ms with the monitor's libraries loaded, nine times in
    sixty jumps through a list. Objects that exist at the first frame (modules, classes, styles) are never garbage, so
    they are frozen. Few of the others are in cycles, so a collection can wait.
    """
    gc.freeze()
    gc.set_threshold(*GC_THRESHOLDS)


def _short_path(path: Path) -> str:
    """The path, with `~` for your home."""
    try:
        return f"~/{path.relative_to(Path.home())}"
    except (ValueError, RuntimeError):  # elsewhere, or there is no home
        return str(path)


def make_app(
    path: Path,
    *,
    readonly: bool = False,
    clock: Callable[[], int] = now_ms,
    alive: Callable[[int], bool] = process_exists,
    keys: Mapping[str, str] | None = None,
    theme: str = "dark",
    place: str = "",
    interval: float = 1.0,
    leaving: tuple[str, list[Choice], str] | None = None,
    ascii_only: bool = False,
) -> Monitor:
    """Creates the monitor of a database, for the command and for tests.

    Args:
        path: the database; it may not exist yet.
        readonly: removes the keys that send the daemon a command.
        clock: wall clock, UTC milliseconds.
        alive: says whether a process id is in use.
        keys: other keys for bindings, by id.
        theme: one of ours (`dark`, `light`, `contrast`, `light-contrast`) or of Textual's.
        place: host and database for the header; by default this host and the path.
        interval: seconds between two readings.
        ascii_only: draws with ASCII characters alone.
        leaving: what to ask when you leave: the question, its choices (the application returns the value of the chosen
            one), and the words for staying.

    Raises:
        ConfigError: `keys` names an unknown binding, or there is no such theme.
    """
    return Monitor(
        path,
        place=place or f"{socket.gethostname().partition('.')[0]}:{_short_path(path)}",
        readonly=readonly,
        clock=clock,
        alive=alive,
        keys=keys or {},
        theme=theme,
        interval=interval,
        leaving=leaving,
        ascii_only=ascii_only,
    )
