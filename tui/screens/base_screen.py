"""What the six screens share: header, banner, filter line, footer, and how data and keys reach them.

Invariants: a screen draws only while it is shown; it reads only through `data_query`; all text goes through
`TextBlock` or `RowList`; a screen knows the application only by `Context` and by the messages it posts.
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from typing import Any, ClassVar

from textual import on
from textual.app import ComposeResult
from textual.containers import VerticalScroll
from textual.screen import Screen
from textual.widgets import Input

from state.safe import safe
from state.views.status_records import Alert, RunStatus, Status
from tui.context import Context
from tui.database_reader import Query
from tui.key_bindings import KEYS
from tui.messages import ActionRequested, ReadRequested, RowRequested
from tui.screens import header_footer
from tui.text import lines
from tui.widgets.row_list import RowList
from tui.widgets.text_block import TextBlock

WRITING_KEYS = {key.id for key in KEYS if key.writes}
AROUND = ("header", "tabs", "banner", "footer")
"""Blocks that are not part of the screen's own text."""
BANNER_LINES = ((6, 0), (16, 1), (30, 2), (10_000, 3))
"""Terminals with fewer rows than the first number show this many banner lines."""
BARE_WIDTH, BARE_HEIGHT = 60, 16
"""Smaller terminals show one column without frames."""
WIDE = 150
"""From this width on there are more columns, and longer words."""
BROAD = 190
"""From this width on a list of samples takes most of it."""


class MonitorScreen(Screen[None]):
    """A screen of the monitor."""

    AUTO_FOCUS = ""
    HORIZONTAL_BREAKPOINTS = [(0, "-one"), (80, "-two"), (120, "-three")]  # noqa: RUF012
    number: ClassVar[str] = "1"
    filter_hint: ClassVar[str] = "words"

    def __init__(self, context: Context) -> None:
        super().__init__()
        self.context = context
        self.status: Status | None = None
        self.filter_text = ""
        self.problems_only = False
        self.in_detail = False
        self._tab_links, self._key_links = header_footer.Links(), header_footer.Links()
        self._complete = False  # all its widgets exist
        self._payload: Any = None
        self._stale = True  # something has changed since the body was drawn
        self._drawn_for: Hashable = None

    @property
    def ready(self) -> bool:
        """Whether its widgets exist: neither before it is mounted, nor while the monitor ends."""
        # If the monitor ends while a screen is being created, the screen is mounted without its widgets.
        self._complete = self._complete or bool(self.query("#footer"))
        return self._complete and self.is_mounted and self.is_attached and self.app.is_running

    # For subclasses: content

    def compose_body(self) -> ComposeResult:
        """The widgets between header and footer."""
        yield from ()

    def data_query(self) -> Query | None:
        """What to read beside the status."""
        return None

    def receive(self, payload: Any) -> None:
        """Takes the result of the query."""

    def show(self, status: Status) -> None:
        """Draws the body."""

    def moment(self) -> Hashable:
        """What the passing of time alone changes in the body: it is drawn again when this differs."""
        return None

    def reset(self) -> None:
        """Forgets everything that was read: the database was replaced."""

    def key_hints(self) -> list[tuple[str, str]]:
        """The keys that do something here, the most useful first: id of the binding, words."""
        return [("help", "help"), ("palette", "go to")]

    def breadcrumbs(self) -> list[str]:
        """Where you are within the screen."""
        return self.breadcrumb_path([])

    def breadcrumb_path(self, subject: list[str]) -> list[str]:
        """The filter, then the row under the cursor, then whether you are in its details."""
        return [*self.filters, *subject, *(["details"] if self.in_detail else [])]

    @property
    def filters(self) -> list[str]:
        """What limits the rows, in words."""
        return [f"/ {self.filter_text}"] * bool(self.filter_text) + ["problems only"] * self.problems_only

    def banner_alerts(self, alerts: Sequence[Alert]) -> list[Alert]:
        """Those that concern everything; the others stand beside the tabs and in their own rows."""
        return [alert for alert in alerts if not alert.subject or alert.subject.startswith("task:")]

    # For subclasses: keys

    def open_selected(self) -> None:
        """`enter`: by default, goes into the details."""
        self.enter_detail()

    def sort_next(self) -> None:
        """`s`."""

    def toggle_problems(self) -> None:
        """`f`."""
        self.problems_only = not self.problems_only

    def go_to_wrong(self, step: int) -> None:
        """`n` and `N`: the next or the previous wrong sample."""

    def toggle_mark(self) -> None:
        """`m`."""

    def toggle_unsolved(self) -> None:
        """`u`: only questions that nobody solved."""

    def toggle_differences(self) -> None:
        """`d`: how runs, or the rationales of a question, differ."""

    def shuffle(self) -> None:
        """`r`: random order."""

    def go_sideways(self, step: int) -> None:
        """`←` and `→`."""

    def next_tab(self, step: int) -> None:
        """`[` and `]`."""

    def reached_bottom(self) -> None:
        """`G` in the details."""

    def target_task(self) -> str | None:
        """The task that `t` trains."""
        return None

    def target_teacher(self) -> str | None:
        """The teacher that `P` pauses."""
        return None

    def target_student(self) -> str | None:
        """The student that `t` trains; None for every student of the task."""
        return None

    def target_run(self) -> RunStatus | None:
        """The run that `x` stops."""
        return None

    def text_to_copy(self) -> str:
        """The text that `y` copies."""
        return "\n\n".join(block.plain for block in self.query(TextBlock) if block.id not in AROUND)

    def text_to_page(self) -> str:
        """The text that `o` shows in a pager."""
        return self.text_to_copy()

    @property
    def row_list(self) -> RowList | None:
        """The list in which j and k move."""
        found = self.query(RowList)
        return found.first() if found else None

    @property
    def detail(self) -> VerticalScroll | None:
        """The scrolling part beside the list."""
        found = self.query(VerticalScroll).filter(".detail")
        return found.first() if found else None

    # What they share

    def compose(self) -> ComposeResult:
        """Header, tabs, banner, body, filter line, footer."""
        yield TextBlock(id="header", classes="line")
        yield TextBlock(id="tabs", classes="line")
        yield TextBlock(id="banner")
        yield from self.compose_body()
        line = Input(id="filter", placeholder=self.filter_hint, compact=True)
        line.display = False  # until `/`
        yield line
        yield TextBlock(id="footer", classes="line")

    def on_mount(self) -> None:
        """Draws what is known already."""
        self.draw()

    def on_screen_resume(self) -> None:
        """The screen is shown again: draws, and reads at once."""
        self.draw()
        self.request_read()

    def on_resize(self) -> None:
        """Frames need room."""
        width, height = self.size
        self.set_class(width < BARE_WIDTH or height < BARE_HEIGHT, "-bare")
        self.set_class(width >= WIDE, "-wide")
        self.set_class(width >= BROAD, "-broad")
        self.draw()

    def restyle(self) -> None:
        """Other colours: everything is drawn again."""
        for rows in self.query(RowList):
            rows.restyle()
        self.draw()

    def on_text_block_clicked(self, message: TextBlock.Clicked) -> None:
        """A click on a tab, on what needs you, or on a key of the footer."""
        target = None
        if message.block.id == "tabs":
            target = self._tab_links.at(message.column)
        elif message.block.id == "footer":
            target = self._key_links.at(message.column)
        if isinstance(target, Alert):
            self.go_to_subject(target.subject)
        elif isinstance(target, str):
            tab = message.block.id == "tabs"
            self.post_message(ActionRequested(f"go('{target}')" if tab else target))

    def go_to_subject(self, subject: str) -> bool:
        """Goes to the row that an alert or an event is about; returns False if it has none."""
        kind, _, name = subject.partition(":")
        if kind == "run" and name.isdecimal():
            self.post_message(RowRequested("runs", int(name)))
        elif kind in ("task", "teacher") and name:
            self.post_message(RowRequested(f"{kind}s", name))
        else:
            return False
        return True

    def request_read(self) -> None:
        """Asks the application to read now."""
        self.post_message(ReadRequested())

    def notice(self, words: str, severity: Any = "information") -> None:
        """Shows a short notice; never as markup."""
        self.notify(safe(words), severity=severity, markup=False, timeout=6)

    def take(self, status: Status, payload: Any) -> None:
        """Takes what was read; it is drawn by the next `refresh_view`, if it says something new."""
        if payload is not None:
            self._stale = self._stale or payload != self._payload
            self._payload = payload
        self._stale = self._stale or self.status is None or not status.says_the_same(self.status)
        self.status = status
        if payload is not None:
            self.receive(payload)

    def refresh_view(self) -> None:
        """Draws what has changed since the last drawing: often only the clock."""
        if not self.ready or not self.is_current:
            return
        if self._stale or self._drawn_for != self._looks():
            self.draw()
        else:
            self._draw_clock()

    def _looks(self) -> Hashable:
        return self.moment(), self.context.problem, self.context.frozen, tuple(self.size)

    def draw(self) -> None:
        """Draws everything that is known."""
        if not self.ready or not self.is_current:
            return
        self._stale, self._drawn_for = False, self._looks()
        if self.status is not None:
            self.show(self.status)
        self._draw_header()
        self._draw_footer()

    def _draw_clock(self) -> None:
        context, status = self.context, self.status
        self.query_one("#header", TextBlock).paint(
            lambda width: header_footer.header(
                status,
                width,
                place=context.place,
                now=context.clock(),
                frozen=context.frozen,
                readonly=context.readonly,
                lost=bool(context.problem),
            )
        )

    def _draw_header(self) -> None:
        context, status = self.context, self.status
        self._draw_clock()
        alerts = status.alerts if status is not None else ()
        crumbs = self.breadcrumbs()
        self.query_one("#tabs", TextBlock).paint(
            lambda width: header_footer.tabs(self.number, alerts, crumbs, width, self._tab_links)
        )
        most = next(lines for rows, lines in BANNER_LINES if self.size.height < rows)
        general = self.banner_alerts(alerts)
        banner = self.query_one("#banner", TextBlock)
        banner.display = bool(context.problem or general) and most > 0
        banner.paint(lambda width: lines(header_footer.banner_lines(context.problem, general, width, most)))

    def _draw_footer(self) -> None:
        context = self.context
        line = self.query_one("#footer", TextBlock)
        line.display = self.size.height >= 8
        hints = [item for item in self.key_hints() if not (context.readonly and item[0] in WRITING_KEYS)]
        line.paint(lambda width: header_footer.footer(hints, context.remapped, width, self._key_links))

    def open_filter(self) -> None:
        """`/`: shows the filter line."""
        line = self.query_one("#filter", Input)
        line.display = True
        line.value = self.filter_text
        line.focus()

    @on(Input.Submitted)
    def filter_submitted(self, event: Input.Submitted) -> None:
        """`enter` in the filter line."""
        event.stop()
        self._close_filter()
        self.set_filter(event.value.strip())

    def set_filter(self, words: str) -> None:
        """Filters by these words."""
        self.filter_text = words
        self.draw()
        self.request_read()

    def go_back(self) -> None:
        """`esc`: leaves the filter line, the details or the filter, whichever comes first."""
        if self.query_one("#filter").display:
            self._close_filter()
        elif self.in_detail:
            self.enter_detail(False)
        elif self.filter_text or self.problems_only:
            self.problems_only = False
            self.set_filter("")

    def enter_detail(self, inside: bool = True) -> None:
        """Goes into the details, or back to the list."""
        if self.detail is None:
            return
        self.in_detail = inside
        self.set_class(inside, "-inside")
        self.draw()
        self.request_read()

    def scroll_detail(self, rows: int) -> None:
        """Scrolls the details."""
        if self.detail is not None:
            self.detail.scroll_relative(y=rows, animate=False)

    def _close_filter(self) -> None:
        self.set_focus(None)
        self.query_one("#filter").display = False
