"""6 Events: what happened, newest first. With the cursor at the top, the list follows new events."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from rich.text import Text
from textual.app import ComposeResult
from textual.containers import Horizontal, VerticalScroll

from state.sqlite import Connection
from state.views.events import EventRow, newest_events
from state.views.format import duration
from state.views.status_records import Status
from tui.context import Context
from tui.database_reader import Query
from tui.messages import RowRequested
from tui.screens.base_screen import MonitorScreen
from tui.text import fields, level_word, one_line, say, sections, title
from tui.widgets.columns import Column
from tui.widgets.row_list import RowList, Table
from tui.widgets.text_block import TextBlock

PAGE = 200
MAX_EVENTS = 5_000


@dataclass(frozen=True, slots=True)
class EventLine:
    """An event, and the time at which it is shown."""

    event: EventRow
    now: int

    @property
    def age(self) -> str:
        """How long ago it happened."""
        return duration((self.now - self.event.at) / 1000)


COLUMNS: tuple[Column[EventLine], ...] = (
    Column("age", 7, lambda line: say((line.age, "muted")), "right"),
    Column("level", 9, lambda line: level_word(line.event.level)),
    Column("subject", 16, lambda line: one_line(line.event.subject), from_width=50),
    Column("event", 0, lambda line: one_line(line.event.message or line.event.kind)),
)


class EventsScreen(MonitorScreen):
    """All events, by level, with a filter."""

    number = "6"

    def __init__(self, context: Context) -> None:
        super().__init__(context)
        self.events: list[EventRow] = []
        self.limit = PAGE

    def compose_body(self) -> ComposeResult:
        """The list, and the full event under the cursor."""
        with Horizontal(classes="split long"):
            yield Table(COLUMNS, key=lambda line: line.event.id, id="list")
            with VerticalScroll(classes="detail", can_focus=False):
                yield TextBlock(id="event")

    @property
    def table(self) -> Table[EventLine]:
        """The list."""
        return self.query_one(Table)

    @property
    def selected(self) -> EventRow | None:
        """The event under the cursor."""
        line = self.table.selected
        return line.event if line is not None else None

    def data_query(self) -> Query:
        """The newest events; more of them as the cursor nears the end."""
        limit, problems, words = self.limit, self.problems_only, self.filter_text

        def read(connection: Connection) -> list[EventRow]:
            return newest_events(connection, faults=problems, text=words, limit=limit)

        return Query(("events", limit, problems, words), read)

    def receive(self, payload: Any) -> None:
        """Takes the events."""
        self.events = payload

    def reset(self) -> None:
        """Forgets the events."""
        self.events = []

    def key_hints(self) -> list[tuple[str, str]]:
        """What you can do with events."""
        return [
            ("help", "help"),
            ("open", "go to subject"),
            ("faults", "all" if self.problems_only else "warnings and errors"),
            ("filter", "filter"),
            ("top", "follow"),
            ("detail_down", "scroll"),
            ("copy", "copy"),
            ("quit", "quit"),
        ]

    def breadcrumbs(self) -> list[str]:
        """Whether the list follows new events, or the event under the cursor."""
        if self.table.cursor == 0:
            return [*super().breadcrumbs(), "newest, following"]
        return super().breadcrumbs() + ([self.selected.kind] if self.selected else [])

    def on_row_list_moved(self) -> None:
        """Another event; older ones are read before the cursor reaches the end."""
        if not self.ready:
            return
        if self.table.cursor >= len(self.events) - 20 and len(self.events) >= self.limit < MAX_EVENTS:
            self.limit += PAGE
            self.request_read()
        self.draw()

    def on_row_list_chosen(self, message: RowList.Chosen) -> None:
        """A click on the event."""
        self.open_selected()

    def show(self, status: Status) -> None:
        """Draws list and details."""
        self.table.show_when_empty(
            "No event matches; esc shows all."
            if self.filter_text or self.problems_only
            else "No events yet: they appear when the daemon runs (`coterie run`)."
        )
        self.table.show([EventLine(event, status.at) for event in self.events], follow=True)
        line = self.table.selected
        self.query_one("#event", TextBlock).write(_detail(line) if line is not None else say())

    def open_selected(self) -> None:
        """Goes to the event's subject."""
        if self.selected is None:
            return
        kind, _, name = self.selected.subject.partition(":")
        if kind == "run" and name.isdecimal():
            self.post_message(RowRequested("runs", int(name)))
        elif kind in ("task", "teacher"):
            self.post_message(RowRequested(f"{kind}s", name))
        else:
            self.enter_detail()


def _detail(line: EventLine) -> Text:
    event = line.event
    about = [
        say(level_word(event.level), (f"  {line.age} ago", "muted")),
        *fields(("subject", one_line(event.subject)), width=9),
        say(),
        say(event.message[:20_000]),
    ]
    return sections((title(one_line(event.kind)), about))
