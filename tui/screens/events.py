"""6 Events: what happened, newest first; with the cursor at the top it follows."""

from __future__ import annotations

from typing import Any

from rich.text import Text
from textual.app import ComposeResult
from textual.containers import Horizontal, VerticalScroll

from state.sqlite import Connection
from state.views.events import EventRow, newest_events
from state.views.format import duration
from state.views.status_records import Status
from tui.feed import Wish
from tui.screens.view import View, sections
from tui.text import level_word, one_line, say, title
from tui.widgets.block import Block
from tui.widgets.row_list import Column, RowList, Table

COLUMNS = (
    Column("age", 7, "right"),
    Column("level", 9),
    Column("subject", 16, least=50),
    Column("what", 0),
)
STEP = 200
MOST = 5_000


class Events(View):
    """All events, levelled and filtered."""

    number = "6"

    def __init__(self) -> None:
        super().__init__()
        self.events: list[EventRow] = []
        self.limit = STEP

    def body(self) -> ComposeResult:
        """List, and the chosen event whole."""
        with Horizontal(classes="split long"):
            yield Table(COLUMNS, id="list")
            with VerticalScroll(classes="detail", can_focus=False):
                yield Block(id="event")

    def wish(self) -> Wish:
        """The newest events that fit; more of them when the cursor nears the end."""
        limit, faults, words = self.limit, self.faults, self.words

        def read(connection: Connection) -> list[EventRow]:
            return newest_events(connection, faults=faults, text=words, limit=limit)

        return Wish(("events", limit, faults, words), read)

    def learn(self, payload: Any) -> None:
        """Takes the events."""
        self.events = payload

    def new_database(self) -> None:
        """Other events."""
        self.events = []

    def hints(self) -> list[tuple[str, str]]:
        """What can be done with events."""
        return [
            ("help", "help"),
            ("open", "its subject"),
            ("faults", "all" if self.faults else "warnings and errors"),
            ("filter", "filter"),
            ("top", "follow"),
            ("detail_down", "scroll"),
            ("copy", "copy"),
            ("quit", "leave"),
        ]

    def crumbs(self) -> list[str]:
        """Whether it follows, or the event under the cursor."""
        event = self._event()
        at_top = self.query_one(Table).cursor == 0
        return super().crumbs() + (["newest, following"] if at_top else [event.kind] if event else [])

    def on_row_list_moved(self) -> None:
        """Another event; older ones are read before the end is reached."""
        if not self.ready:
            return
        if self.query_one(Table).cursor >= len(self.events) - 20 and len(self.events) >= self.limit < MOST:
            self.limit += STEP
            self.monitor.ask()
        self.draw()

    def on_row_list_chosen(self, message: RowList.Chosen) -> None:
        """A click on the event."""
        self.opened()

    def show(self, status: Status) -> None:
        """List and detail."""
        table = self.query_one(Table)
        filtered = self.words or self.faults
        table.explain(
            "no event fits; esc shows all"
            if filtered
            else "No event yet: they come when the daemon runs (`coterie run`)."
        )
        table.show([(event.id, _cells(event, status.at)) for event in self.events], follow=True)
        event = self._event()
        self.query_one("#event", Block).write(_detail(event, status.at) if event is not None else say())

    def opened(self) -> None:
        """Where the event's subject is."""
        event = self._event()
        if event is None:
            return
        kind, _, name = event.subject.partition(":")
        if kind == "run" and name.isdecimal():
            self.run_worker(self.monitor.go_to("runs", int(name)))
        elif kind in ("task", "teacher"):
            self.run_worker(self.monitor.go_to(f"{kind}s", name))
        else:
            self.go_inside()

    def _event(self) -> EventRow | None:
        key = self.query_one(Table).key
        return next((event for event in self.events if event.id == key), None)


def _cells(event: EventRow, now: int) -> list[Text]:
    return [
        say((duration((now - event.at) / 1000), "dim")),
        level_word(event.level),
        say(one_line(event.subject)),
        say(one_line(event.message or event.kind)),
    ]


def _detail(event: EventRow, now: int) -> Text:
    return sections(
        (
            title(one_line(event.kind)),
            [
                say(level_word(event.level), (f"  {duration((now - event.at) / 1000)} ago", "dim")),
                say(("subject  ", "dim"), one_line(event.subject)),
                say(),
                say(event.message[:20_000]),
            ],
        ),
    )
