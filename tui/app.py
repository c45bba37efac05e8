"""The monitor: six screens over `state.db`, one tick a second.

Invariants: all reading happens in one worker thread that only posts messages, and never twice at a
time; what a person asks of the daemon is a row of the command table; no fault of the database is
more than a banner. It never imports the daemon and shares no process with it.
"""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, ClassVar

from textual import on, work
from textual.app import App
from textual.binding import BindingType

from state.database import now_ms
from state.safe import safe
from state.views.glance import Status
from state.views.status import process_exists
from tui.feed import Feed, FeedError, Wish
from tui.keys import BINDINGS, KEYS, checked, offered
from tui.messages import Lost, Ordered, Read
from tui.orders import OrderError, order
from tui.palette import Palette
from tui.screens.events import Events
from tui.screens.modals import Confirm, Help
from tui.screens.overview import Overview
from tui.screens.runs import Runs
from tui.screens.samples import Samples
from tui.screens.tasks import Tasks
from tui.screens.teachers import Teachers
from tui.screens.view import View
from tui.widgets.row_list import RowList, Table

WRITES = {key.action for key in KEYS if key.writes}


class Monitor(App[None]):
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
        self.generation = 0
        self._feed = Feed(path, alive)
        self._reading = False
        self._again = False
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
            asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, self.exit)

    def on_unmount(self) -> None:
        """Lets the database go."""
        self._feed.close()

    @property
    def view(self) -> View | None:
        """The screen that is shown, below a question or help."""
        return next((screen for screen in reversed(self.screen_stack) if isinstance(screen, View)), None)

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
            return
        self.status, self.problem = fresh.status, ""
        replaced = self.generation not in (0, fresh.generation)
        self.generation = fresh.generation
        if replaced:
            for stack in self._screen_stacks.values():
                for screen in stack:
                    if isinstance(screen, View):
                        screen.new_database()
        for answer in fresh.answers:
            words = self._asked.pop(answer.id, answer.kind)
            severity = "information" if answer.state == "done" else "error"
            self.tell(f"{words}: {answer.state}. {answer.text}".strip(), severity)
        view.status = fresh.status
        if fresh.payload is not None:
            view.learn(fresh.payload)
        current = self.view
        if current is not None:
            current.status = fresh.status
            current.draw()
            wish = current.wish()
            key = message.wish.key if message.wish is not None and current is view else None
            if self._again or replaced or (wish is not None and wish.key != key):
                self.ask()

    @on(Lost)
    def was_lost(self, message: Lost) -> None:
        """A banner; the next tick tries again."""
        self._reading = False
        self.problem = message.reason
        if self.view is not None:
            self.view.draw()

    # Asking the daemon

    def order(self, kind: str, args: dict[str, Any], words: str) -> None:
        """Writes a command; its answer is shown when it arrives."""
        self._order(kind, args, words)

    @work(thread=True, group="orders")
    def _order(self, kind: str, args: dict[str, Any], words: str) -> None:
        try:
            number = order(self.path, kind, args)
        except OrderError as error:
            self.post_message(Ordered(None, f"{words}: not written. {error}"))
        else:
            self.post_message(Ordered(number, words))

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

    def tell(self, words: str, severity: Any = "information") -> None:
        """A short notice on the screen; never markup."""
        self.notify(safe(words), severity=severity, markup=False, timeout=6)

    # Keys

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """`--readonly` takes away what asks something of the daemon."""
        return not (self.readonly and action in WRITES)

    def action_go(self, mode: str) -> None:
        """Another screen, as it was left."""
        if self.current_mode != mode:
            self.switch_mode(mode)

    async def go_to(self, mode: str, key: object) -> None:
        """A screen with the cursor on one of its rows."""
        await self.switch_mode(mode)
        view = self.view
        if view is None:
            return
        view.status = self.status or view.status
        view.faults, view.words = False, ""
        view.draw()
        rows = view.rows
        if isinstance(rows, Table) and not rows.find(key):
            self.tell("that is not there any more", "warning")

    async def open_task(self, task: str) -> None:
        """The samples of a task; the runs are filtered to it as well."""
        for mode, words in (("runs", f"task:{task}"), ("samples", f"task:{task}")):
            await self.switch_mode(mode)
            if self.view is not None:
                self.view.status = self.status or self.view.status
                self.view.set_filter(words)

    def action_filter(self) -> None:
        """The filter line."""
        if self.view:
            self.view.ask_filter()

    def action_faults(self) -> None:
        """Only what went wrong."""
        if self.view:
            self.view.toggle_faults()
            self.view.draw()
            self.ask()

    def action_sort(self) -> None:
        """Another order."""
        if self.view:
            self.view.sorted_next()
            self.ask()

    def action_open(self) -> None:
        """In."""
        if self.view:
            self.view.opened()

    def action_out(self) -> None:
        """Out."""
        if self.view:
            self.view.escape()

    def _move(self, rows: int, *, to: int | None = None) -> None:
        view = self.view
        if view is None:
            return
        listed = None if view.inside else view.rows
        if listed is not None:
            listed.move(listed.cursor + rows if to is None else to)
        elif view.detail is not None:
            if to is None:
                view.detail.scroll_relative(y=rows, animate=False)
            else:
                view.detail.scroll_to(y=to, animate=False)

    def action_down(self) -> None:
        """A row down."""
        self._move(1)

    def action_up(self) -> None:
        """A row up."""
        self._move(-1)

    def _page(self) -> int:
        view = self.view
        rows = view.rows if view is not None and not view.inside else None
        return (rows.page_rows if rows is not None else self.size.height) - 1 or 1

    def action_page_down(self) -> None:
        """A page down."""
        self._move(self._page())

    def action_page_up(self) -> None:
        """A page up."""
        self._move(-self._page())

    def action_top(self) -> None:
        """The first row."""
        self._move(0, to=0)

    def action_bottom(self) -> None:
        """The last row."""
        view = self.view
        if view is None:
            return
        rows: RowList | None = None if view.inside else view.rows
        self._move(0, to=rows.total() - 1 if rows is not None else 1_000_000)
        if view.inside:
            view.at_bottom()

    def action_detail_down(self) -> None:
        """Scrolls the detail."""
        if self.view:
            self.view.scroll_detail(3)

    def action_detail_up(self) -> None:
        """Scrolls the detail."""
        if self.view:
            self.view.scroll_detail(-3)

    def action_tab(self, step: int) -> None:
        """Another tab."""
        if self.view:
            self.view.next_tab(step)
            self.ask()

    def action_freeze(self) -> None:
        """Holds the display still."""
        self.frozen = not self.frozen
        if self.view:
            self.view.draw()
        self.tick()

    def action_copy(self) -> None:
        """To the terminal's clipboard."""
        if self.view and (text := self.view.copied()):
            self.copy_to_clipboard(safe(text))
            self.tell(f"copied {len(text.splitlines())} lines")

    def action_help(self) -> None:
        """Every key."""
        self.push_screen(Help(offered(self.readonly), self.remapped))

    def action_pause(self) -> None:
        """Pauses sampling, or resumes it."""
        paused = self.status is not None and self.status.daemon.state == "paused"
        self.order("resume" if paused else "pause", {}, "resume sampling" if paused else "pause sampling")

    def action_train(self) -> None:
        """Trains the task under the cursor, once confirmed."""
        view = self.view
        task = view.subject_task() if view is not None else None
        if view is None or task is None:
            self.tell("which task? Choose one on 2 Tasks first", "warning")
            return
        student = view.subject_student()
        words = f"train {student or 'every student'} on {task}"
        self._confirmed(f"{words} now?", "train", {"task": task, "student": student}, words)

    def action_stop_run(self) -> None:
        """Stops the run under the cursor, once confirmed."""
        run = self.view.subject_run() if self.view is not None else None
        if run is None:
            self.tell("no run is under way here", "warning")
            return
        words = f"stop run {run.id}"
        question = f"{words} ({run.student} on {run.task}, step {run.step} of {run.steps})?"
        self._confirmed(question, "stop_run", {"run": run.id}, words)

    def _confirmed(self, question: str, kind: str, args: dict[str, Any], words: str) -> None:
        def answered(yes: bool | None) -> None:
            if yes:
                self.order(kind, args, words)

        self.push_screen(Confirm(question), answered)


def make_app(
    path: Path,
    *,
    readonly: bool = False,
    clock: Callable[[], int] = now_ms,
    alive: Callable[[int], bool] = process_exists,
    keys: Mapping[str, str] | None = None,
    theme: str = "textual-dark",
    interval: float = 1.0,
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

    Raises:
        ConfigError: `keys` names a binding that does not exist.
    """
    return Monitor(
        path, readonly=readonly, clock=clock, alive=alive, keys=keys or {}, theme=theme, interval=interval
    )
