"""What the six screens share: header, banner, filter line, footer, and how data and keys reach them.

Invariants: a screen draws only while it is the one shown; it reads through `wish` alone; whatever it
shows goes through `Block` or `RowList`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

from rich.text import Text
from textual import on
from textual.app import ComposeResult
from textual.containers import Vertical, VerticalScroll
from textual.screen import Screen
from textual.widgets import Input

from state.views.status_records import RunStatus, Status
from tui.feed import Wish
from tui.keys import KEYS
from tui.screens import frame
from tui.text import lines
from tui.widgets.block import Block
from tui.widgets.row_list import RowList

if TYPE_CHECKING:
    from tui.app import Monitor

ASKING = {key.id for key in KEYS if key.writes}
FRAME = ("header", "banner", "hints", "footer")
TROUBLE_LINES = ((6, 0), (16, 1), (30, 2), (10_000, 3))
"""Terminals with fewer rows than the first number have so many lines for what is wrong."""


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
        # Ended while it is being made, a screen is mounted without its widgets.
        return self.is_mounted and self.is_attached and self.app.is_running and bool(self.query("#footer"))

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

    def hop(self, step: int) -> None:
        """`n` and `N`: the next wrong one, where there are such."""

    def mark(self) -> None:
        """`m`: where something can be marked."""

    def hints(self) -> list[tuple[str, str]]:
        """Keys that do something here, the most useful first: id of the binding, words."""
        return [("help", "help"), ("palette", "go"), ("quit", "leave")]

    def crumbs(self) -> list[str]:
        """The way to what is shown, below the screen itself."""
        return self.way([])

    def way(self, subject: list[str]) -> list[str]:
        """The filter, then what is under the cursor, then whether one is inside it."""
        found = [f"/ {self.words}"] if self.words else []
        found += ["faults only"] if self.faults else []
        return [*found, *subject, *(["detail"] if self.inside else [])]

    def at_bottom(self) -> None:
        """`G` in the detail."""

    def next_tab(self, step: int) -> None:
        """`[` and `]`."""

    def new_database(self) -> None:
        """The database was replaced: nothing of what was read holds."""

    def subject_task(self) -> str | None:
        """The task that `t` means."""
        return None

    def subject_teacher(self) -> str | None:
        """The teacher that `P` means."""
        return None

    def subject_student(self) -> str | None:
        """The student that `t` means; None for every student of the task."""
        return None

    def subject_run(self) -> RunStatus | None:
        """The run that `x` means."""
        return None

    def copied(self) -> str:
        """What `y` copies."""
        return "\n\n".join(block.plain for block in self.query(Block) if block.id not in FRAME)

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
        yield Block(id="banner")
        yield from self.body()
        line = Input(id="filter", placeholder=self.filter_hint, compact=True)
        line.display = False  # until `/`
        yield line
        with Vertical(id="feet"):
            yield Block(id="hints", classes="line")
            yield Block(id="footer", classes="line")

    def on_mount(self) -> None:
        """Draws what is known already."""
        self.draw()

    def on_screen_resume(self) -> None:
        """Shown again: draws, and reads at once."""
        self.draw()
        self.monitor.ask()

    def draw(self) -> None:
        """Draws everything that is known."""
        if not self.ready or not self.is_current:
            return
        monitor, status = self.monitor, self.status
        self.query_one("#header", Block).paint(
            lambda width: frame.header(
                status,
                width,
                now=monitor.clock(),
                frozen=monitor.frozen,
                readonly=monitor.readonly,
                lost=bool(monitor.problem),
            )
        )
        crumbs = self.crumbs()
        self.query_one("#footer", Block).paint(lambda width: frame.footer(self.number, crumbs, width))
        line = self.query_one("#hints", Block)
        line.display = self.size.height >= 16
        given = [item for item in self.hints() if not (monitor.readonly and item[0] in ASKING)]
        line.paint(lambda width: frame.hints(given, monitor.remapped, width))
        alerts = status.alerts if status is not None else ()
        most = next(lines for rows, lines in TROUBLE_LINES if self.size.height < rows)
        banner = self.query_one("#banner", Block)
        banner.display = bool(monitor.problem or alerts) and most > 0
        banner.paint(lambda width: lines(frame.trouble_lines(monitor.problem, alerts, width, most)))
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


def sections(*parts: tuple[Text, list[Text]]) -> Text:
    """Headings with what stands below each; one without anything is left out."""
    whole: list[Text | str] = []
    for heading, below in parts:
        if below:
            whole += [*([""] if whole else []), heading, *below]
    return lines(whole)
