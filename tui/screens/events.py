"""6 Events: what went wrong and what became of it, newest first. With the cursor at the top, the list follows new events."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from dataclasses import dataclass
from typing import Any

from rich.text import Text
from textual.app import ComposeResult
from textual.containers import Container, Vertical, VerticalScroll

from state.sqlite import Connection
from state.views.events import EventRow, events_by_time, newest_events
from state.views.format import age, clock, count
from state.views.status_records import Status
from tui.context import Context
from tui.database_reader import Query
from tui.event_words import VERB_CELLS, EventGroup, about, grouped, verb, what
from tui.screens.base_screen import MonitorScreen
from tui.text import Part, fields, one_line, say, sections, truncated
from tui.widgets.columns import Column
from tui.widgets.panel import Panel
from tui.widgets.row_list import RowList, Table
from tui.widgets.text_block import TextBlock

PAGE = 200
MAX_EVENTS = 5_000
BUCKETS = 120
"""Of the strip: how many stretches of time are counted at most."""
STRIP_HEIGHT = 30
"""Terminals with fewer rows have no strip of events by time."""


@dataclass(frozen=True, slots=True)
class EventLine:
    """Events that say the same, and how long ago the newest of them happened."""

    group: EventGroup
    age: str

    @property
    def event(self) -> EventRow:
        """The newest of them."""
        return self.group.event


@dataclass(frozen=True, slots=True)
class Strip:
    """Events by time: notes, warnings and errors of each bucket."""

    since: int
    bucket_ms: int
    counts: Mapping[int, tuple[int, int, int]]


def _verb(line: EventLine) -> Text:
    _, word, role = verb(line.event)
    return say((word, f"bold {role}" if role in ("bad", "attention") else "strong"))


COLUMNS: tuple[Column[EventLine], ...] = (
    Column("time", 8, lambda line: say((clock(line.event.at), "muted")), from_width=44),
    Column("age", 6, lambda line: say((line.age, "muted")), "right"),
    Column("", 1, lambda line: say(verb(line.event)[::2])),
    Column("what", VERB_CELLS, _verb),
    Column("", 0, lambda line: what(line.event, brief=True)),
    Column("", 4, lambda line: say((f"×{line.group.times}" if line.group.times > 1 else "", "attention")), from_width=64),
    Column("about", 14, lambda line: say((about(line.event), "accent")), from_width=104),
    Column("session", 7, lambda line: say((str(line.event.session or "–"), "muted")), "right", from_width=130),
    Column("id", 8, lambda line: say((str(line.event.id), "muted")), "right", from_width=130),
)  # fmt: skip


class EventsScreen(MonitorScreen):
    """All events, by level, with a filter."""

    number = "6"

    def __init__(self, context: Context) -> None:
        super().__init__(context)
        self.reset()
        self.limit = PAGE

    def compose_body(self) -> ComposeResult:
        """Events by time, the list, and the full event under the cursor."""
        with Vertical(id="listed"):
            yield Panel(id="strip")
            with Container(id="events"):
                with Panel(id="rows", classes="list"):
                    yield Table(COLUMNS, key=lambda line: line.group.oldest.id, id="list")
                with Panel(id="one"), VerticalScroll(classes="detail", can_focus=False):
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
        before, newest, start = self.strip, self.newest, self._start()

        def read(connection: Connection) -> tuple[list[EventRow], int, Strip | None]:
            found = newest_events(connection, faults=problems, text=words, limit=limit)
            last = next(iter(newest_events(connection, limit=1)), None)
            number = last.id if last is not None else 0
            if start is None or (before is not None and newest == number):  # nothing has happened
                return found, number, before
            since, bucket = start
            return found, number, Strip(since, bucket, events_by_time(connection, since, bucket))

        return Query(("events", limit, problems, words, start is None), read)

    def _start(self) -> tuple[int, int] | None:
        """Since when events are counted by time, and the length of a bucket, in milliseconds."""
        if self.status is None:
            return None
        daemon = self.status.daemon
        last = daemon.heartbeat_at or daemon.ended_at or self.status.at
        since = (self.status.at if daemon.alive else last) - round((daemon.uptime_s or 60.0) * 1_000)
        return since, max(1_000, (self.status.at - since) // BUCKETS + 1)

    def receive(self, payload: Any) -> None:
        """Takes the events."""
        self._take(*payload)

    def reset(self) -> None:
        """Forgets the events."""
        self._take([], 0, None)

    def _take(self, events: list[EventRow], newest: int, strip: Strip | None) -> None:
        self.events, self.newest, self.strip = events, newest, strip
        self.groups = grouped(events)

    def key_hints(self) -> list[tuple[str, str]]:
        """What you can do with events."""
        return [
            ("help", "help"),
            ("open", "go to subject"),
            ("faults", "all" if self.problems_only else "warnings, errors"),
            ("top", "newest"),
            ("filter", "filter"),
            ("detail_down", "scroll"),
            ("copy", "copy"),
        ]

    def breadcrumbs(self) -> list[str]:
        """Where you are, if it is not to be seen."""
        return [self.selected.kind] if self.in_detail and self.selected else []

    def on_row_list_moved(self) -> None:
        """Another event; older ones are read before the cursor reaches the end."""
        if not self.ready:
            return
        if self.table.cursor >= self.table.total() - 20 and len(self.events) >= self.limit < MAX_EVENTS:
            self.limit += PAGE
            self.request_read()
        self.draw()

    def on_row_list_chosen(self, message: RowList.Chosen) -> None:
        """A click on the event."""
        self.open_selected()

    def show(self, status: Status) -> None:
        """Draws strip, list and details."""
        self.table.show_when_empty(
            "No event matches; esc shows all."
            if self.filter_text or self.problems_only
            else "No events yet: they appear when the daemon runs (`coterie run`)."
        )
        self.table.show([EventLine(group, self._age(group, status.at)) for group in self.groups], follow=True)
        line = self.table.selected
        self._show_strip(status)
        rows, one = self.query_one("#rows", Panel), self.query_one("#one", Panel)
        rows.head("events", self._place(), (" · ".join(self.filters), "attention"))
        rows.activate(not self.in_detail)
        one.activate(self.in_detail)
        self.query_one("#events").styles.layout = "horizontal" if self.has_class("-wide") else "vertical"
        if line is not None:
            glyph, word, role = verb(line.event)
            one.head(
                say((f"{glyph} {word}", f"bold {role}"), (f" · {about(line.event)}", "bold")),
                say(clock(line.event.at), (f", {line.age} ago", "muted")),
            )
        self.query_one("#event", TextBlock).paint(
            lambda width: self._detail(line, status, width) if line is not None else say()
        )

    @staticmethod
    def _age(group: EventGroup, now: int) -> str:
        return age((now - group.event.at) / 1000)

    def moment(self) -> Hashable:
        """The ages of the events that are shown, and the bucket of the strip."""
        status, strip = self.status, self.strip
        if status is None or not self.ready:
            return None
        table = self.table
        shown = self.groups[table.top : table.top + table.page_rows + 1]
        chosen = [line.group for line in (table.selected,) if line is not None]
        ages = tuple(self._age(group, status.at) for group in (*shown, *chosen))
        return ages, status.at // max(strip.bucket_ms, 60_000) if strip is not None else 0

    def _place(self) -> Part:
        if self.table.cursor == 0:
            return ("newest first, following", "good")
        more = "+" if len(self.events) >= self.limit else ""
        return (f"{count(self.table.cursor + 1)} of {count(self.table.total())}{more}", "text")

    def _show_strip(self, status: Status) -> None:
        panel, strip = self.query_one("#strip", Panel), self.strip
        panel.display = strip is not None and self.size.height >= STRIP_HEIGHT and not self.has_class("-bare")
        if strip is None:
            return
        notes, warnings, errors = (sum(each[at] for each in strip.counts.values()) for at in range(3))
        summary = say(
            (f"✗ {count(errors)} error{'' if errors == 1 else 's'}  " if errors else "", "bold bad"),
            (f"▲ {count(warnings)} warning{'' if warnings == 1 else 's'}  " if warnings else "", "attention"),
            (f"· {count(notes)} other{'' if notes == 1 else 's'}", "muted"),
        )
        panel.head("events since the start", summary)
        panel.paint(lambda width, height: paint_strip(strip, status.at, width, height))

    def open_selected(self) -> None:
        """Goes to the event's subject."""
        if self.selected is not None and not self.go_to_subject(self.selected.subject):
            self.enter_detail()

    def _detail(self, line: EventLine, status: Status, width: int) -> Text:
        event = line.event
        alert = next((each for each in status.alerts if each.subject == event.subject != ""), None)
        since = f"since {clock(line.group.oldest.at)}"
        facts = fields(
            ("what to do", (one_line(alert.remedy), "accent"))
            if alert is not None and alert.remedy
            else None,
            ("repeated", f"{count(line.group.times)} times {since}") if line.group.times > 1 else None,
            ("subject", one_line(event.subject)),
            ("kind", one_line(event.kind)),
            width=12,
        )
        around = (
            [other for other in self.events if abs(other.id - event.id) <= 4]
            if self.has_class("-wide")
            else []
        )
        return sections(
            (say((event.message[:20_000], "text")), [say(), *facts]),
            (
                say(("around it", "muted")),
                [truncated(_brief(other, other.id == event.id), width) for other in around],
            ),
        )


def _brief(event: EventRow, here: bool) -> Text:
    glyph, word, role = verb(event)
    words = what(event, brief=True)
    return say(
        (f"{clock(event.at, seconds=False)} ", "muted"),
        (f"{glyph} ", role),
        (f"{word:<{VERB_CELLS - 1}} ", "strong" if here else "text"),
        (one_line(words, 80), "text" if here else "muted"),
    )


def paint_strip(strip: Strip, now: int, width: int, height: int) -> list[Text]:
    """A column of blocks for each stretch of time; errors and warnings stand on top."""
    rows = height - 1
    if rows < 1:
        return []
    cells = max(1, width // 2)
    first = strip.since // strip.bucket_ms
    size = max(1, now // strip.bucket_ms - first + 1)
    columns = [[0, 0, 0] for _ in range(cells)]
    for bucket, numbers in strip.counts.items():
        at = min(cells - 1, max(0, (bucket - first) * cells // size))
        columns[at] = [have + more for have, more in zip(columns[at], numbers, strict=True)]
    peak = max((sum(column) for column in columns), default=1)
    unit = max(1.0, peak / rows)
    grid: list[list[Part]] = [[] for _ in range(rows)]
    for notes, warnings, errors in columns:
        levels = [round(part / unit + 0.49) for part in (errors, warnings, notes)]
        while sum(levels) > rows and levels[2] > 0:
            levels[2] -= 1
        pile = [*["muted"] * levels[2], *["attention"] * levels[1], *["bad"] * levels[0]][-rows:]
        for row in range(rows):
            at = rows - 1 - row
            grid[row].append(("▇ ", pile[at]) if at < len(pile) else "  ")
    start, end = clock(strip.since, seconds=False), clock(now, seconds=False)
    middle = clock((strip.since + now) // 2, seconds=False)
    foot = f"{start}{middle:^{max(5, 2 * cells - 10)}}{end}"
    return [*(say(*line) for line in grid), say((foot, "muted"))]
