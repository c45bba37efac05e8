"""What the six screens share: header, banner, filter line, footer, and how data and keys reach them.

Invariants: a screen draws only while it is the one shown; it reads through `wish` alone; whatever it
shows goes through `Block` or `RowList`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

from rich.text import Text
from textual import on
from textual.app import ComposeResult
from textual.containers import VerticalScroll
from textual.screen import Screen
from textual.widgets import Input

from state.views.glance import RunStatus, Status
from state.views.line import duration, money
from tui.feed import Wish
from tui.text import lines, one_line, say, state_word
from tui.widgets.block import Block
from tui.widgets.row_list import RowList

if TYPE_CHECKING:
    from tui.app import Monitor

WORDS = (
    ("1", "Overview"),
    ("2", "Tasks"),
    ("3", "Teachers"),
    ("4", "Samples"),
    ("5", "Runs"),
    ("6", "Events"),
)


class View(Screen[None]):
    """A screen of the monitor."""

    AUTO_FOCUS = ""
    HORIZONTAL_BREAKPOINTS = [(0, "-one"), (80, "-two"), (120, "-three")]  # noqa: RUF012
    number: ClassVar[str] = "1"
    filter_hint: ClassVar[str] = "words"

    def __init__(self) -> None:
        super().__init__()
        self.status: Status | None = None
        self.words = ""  # of the filter
        self.faults = False
        self.inside = False

    @property
    def monitor(self) -> Monitor:
        """The application."""
        app: Any = self.app
        return app  # type: ignore[no-any-return]

    @property
    def ready(self) -> bool:
        """Whether its widgets are there: not before it is mounted, nor while the monitor ends."""
        return self.is_mounted and self.is_attached and self.app.is_running

    # For subclasses

    def body(self) -> ComposeResult:
        """What stands between header and footer: nothing, unless a screen says so."""
        yield from ()

    def wish(self) -> Wish | None:
        """What is to be read beside the status."""
        return None

    def learn(self, payload: Any) -> None:
        """Takes what the wish has read."""

    def show(self, status: Status) -> None:
        """Draws what is known."""

    def opened(self) -> None:
        """`enter`: by default into the detail."""
        self.go_inside()

    def left(self) -> bool:
        """`esc` where there is nothing more to leave; True where it did something."""
        return False

    def sorted_next(self) -> None:
        """`s`."""

    def toggle_faults(self) -> None:
        """`f`."""
        self.faults = not self.faults

    def at_bottom(self) -> None:
        """`G` in the detail."""

    def next_tab(self, step: int) -> None:
        """`[` and `]`."""

    def new_database(self) -> None:
        """The database was replaced: nothing of what was read holds."""

    def subject_task(self) -> str | None:
        """The task that `t` means."""
        return None

    def subject_student(self) -> str | None:
        """The student that `t` means; None for every student of the task."""
        return None

    def subject_run(self) -> RunStatus | None:
        """The run that `x` means."""
        return None

    def copied(self) -> str:
        """What `y` copies."""
        return "\n\n".join(block.plain for block in self.query(Block) if block.id not in ("header", "footer"))

    @property
    def rows(self) -> RowList | None:
        """The list that j and k move in."""
        found = self.query(RowList)
        return found.first() if found else None

    @property
    def detail(self) -> VerticalScroll | None:
        """The part that scrolls beside the list."""
        found = self.query(VerticalScroll).filter(".detail")
        return found.first() if found else None

    # What they share

    def compose(self) -> ComposeResult:
        """Header, banner, body, filter line, footer."""
        yield Block(id="header", classes="line")
        yield Block(id="banner", classes="line")
        yield from self.body()
        yield Input(id="filter", placeholder=self.filter_hint, compact=True)
        yield Block(id="footer", classes="line")

    def on_mount(self) -> None:
        """The filter line is hidden until `/`."""
        self.query_one("#filter").display = False
        self.draw()

    def on_screen_resume(self) -> None:
        """Shown again: draws, and reads at once."""
        self.draw()
        self.monitor.ask()

    def draw(self) -> None:
        """Draws everything that is known."""
        if not self.ready or not self.is_current:
            return
        self.query_one("#header", Block).paint(self._header)
        self.query_one("#footer", Block).paint(self._footer)
        banner = self.query_one("#banner", Block)
        notice = self.monitor.problem or (
            self.status.notices[0] if self.status and self.status.notices else ""
        )
        banner.display = bool(notice)
        more = len(self.status.notices) - 1 if self.status and not self.monitor.problem else 0
        text = f" ! {one_line(notice)}" + (f"  (and {more} more)" if more > 0 else "")
        banner.paint(lambda width: _cut(say(text), width))
        if self.status is not None:
            self.show(self.status)

    def ask_filter(self) -> None:
        """`/`: shows the filter line."""
        line = self.query_one("#filter", Input)
        line.display = True
        line.value = self.words
        line.focus()

    @on(Input.Submitted)
    def filtered(self, event: Input.Submitted) -> None:
        """The filter line's enter."""
        event.stop()
        self._close_filter()
        self.set_filter(event.value.strip())

    def set_filter(self, words: str) -> None:
        """Filters by these words."""
        self.words = words
        self.draw()
        self.monitor.ask()

    def escape(self) -> None:
        """`esc`: out of the filter line, the detail, the filter, whatever comes first."""
        if self.query_one("#filter").display:
            self._close_filter()
        elif self.inside:
            self.go_inside(False)
        elif not self.left() and (self.words or self.faults):
            self.faults = False
            self.set_filter("")

    def go_inside(self, inside: bool = True) -> None:
        """Into the detail, or back to the list."""
        if self.detail is None:
            return
        self.inside = inside
        self.set_class(inside, "-inside")
        self.draw()
        self.monitor.ask()

    def scroll_detail(self, rows: int) -> None:
        """Scrolls the detail."""
        if self.detail is not None:
            self.detail.scroll_relative(y=rows, animate=False)

    def _close_filter(self) -> None:
        self.set_focus(None)
        self.query_one("#filter").display = False

    def _header(self, width: int) -> Text:
        status = self.status
        if status is None:
            return say(" ", ("reading …", "dim"))
        daemon = status.daemon
        left = say(" ", state_word(daemon.state))
        if daemon.uptime_s is not None and daemon.alive:
            left.append_text(say(f" {duration(daemon.uptime_s)}"))
        if daemon.loop_lag_ms is not None and width >= 60:
            left.append_text(say((f"  lag {daemon.loop_lag_ms:.0f}ms", "dim")))
        if daemon.pulse_at is not None and width >= 50:
            age = max(0, self.monitor.clock() - daemon.pulse_at) / 1000
            left.append_text(say((f"  db {duration(age)} ago", "dim")))
        left.append_text(say("  spend ", (money(status.spend.usd, status.spend.cap_usd), "bold")))
        if self.monitor.frozen:
            left.append_text(say("  ", ("‖ frozen", "bold yellow")))
        if status.commands and width >= 60:
            left.append_text(say((f"  {len(status.commands)} waiting", "yellow")))
        right = say(("? help  : go  / find ", "dim"))
        gap = width - left.cell_len - right.cell_len
        return _cut(say(left, " " * gap, right) if gap > 0 else left, width)

    def _footer(self, width: int) -> Text:
        parts: list[Any] = []
        for number, word in WORDS:
            here = number == self.number
            shown = word if width >= 70 or here else ""
            parts.append(
                (f" {number} {shown} " if shown else f" {number} ", "reverse bold" if here else "dim")
            )
        extra = [f"/ {self.words}"] if self.words else []
        extra += ["faults only"] if self.faults else []
        extra += ["in the detail"] if self.inside else []
        if extra:
            parts.append(("  " + "  ".join(extra), "yellow"))
        return _cut(say(*parts), width)


def _cut(text: Text, width: int) -> Text:
    text.truncate(max(1, width), overflow="ellipsis")
    return text


def sections(*parts: tuple[Text, list[Text]]) -> Text:
    """Headings with what stands below each; one without anything is left out."""
    whole: list[Text | str] = []
    for heading, below in parts:
        if below:
            whole += [*([""] if whole else []), heading, *below]
    return lines(whole)
