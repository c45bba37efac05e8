"""3 Teachers: how much of each limit is used, how fast teachers answer, what fails, and what they cost."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from rich.text import Text
from textual.app import ComposeResult
from textual.containers import Horizontal, VerticalScroll

from state.heartbeat import TeacherHeartbeat
from state.sqlite import Connection
from state.views.format import count, duration, money, per_thousand, percent, short
from state.views.status_records import Status, TeacherStatus
from state.views.teacher_counts import TeacherCounts, continue_counting
from tui.charts import progress, sparkline
from tui.database_reader import Query
from tui.screens.base_screen import MonitorScreen
from tui.text import Part, fields, one_line, say, sections, state_word, title, truncated
from tui.widgets.columns import Column
from tui.widgets.row_list import RowList, Table
from tui.widgets.text_block import TextBlock

COUNT_S = 0.04
"""Seconds of counting in one reading."""
LABEL = 13
"""Cells of the label column."""


@dataclass(frozen=True, slots=True)
class TeacherRow:
    """A teacher, the status it is part of, and the samples counted so far."""

    status: Status
    teacher: TeacherStatus
    counts: TeacherCounts

    @property
    def counted(self) -> float:
        """The share of the samples counted so far, 0 to 1."""
        return self.counts.upto / self.counts.high if self.counts.high and not self.counts.whole else 1.0

    @property
    def cost_of_correct(self) -> str:
        """Dollars spent per 1,000 correct samples; while the samples are being counted, the share counted in brackets."""
        if self.counted < 1:
            return f"({percent(self.counted)})"
        return per_thousand(self.counts.usd_per_correct(self.teacher.id))


COLUMNS: tuple[Column[TeacherRow], ...] = (
    Column(
        "teacher", 0, lambda row: one_line(row.teacher.name), sort_by={"name": lambda row: row.teacher.name}
    ),
    Column("state", 10, lambda row: state_word(row.teacher.state)),
    Column("in flight", 9, lambda row: f"{row.teacher.in_flight}/{row.teacher.cap}", "right"),
    Column("req/min", 7, lambda row: short(row.teacher.requests_per_minute), "right", from_width=44),
    Column("p50", 6, lambda row: milliseconds(row.teacher.p50_ms), "right", from_width=72),
    Column("429", 5, lambda row: short(row.teacher.status_429), "right", from_width=80),
    Column(
        "errors",
        6,
        lambda row: short(row.teacher.errors),
        "right",
        from_width=88,
        sort_by={"errors": lambda row: -row.teacher.errors},
    ),
    Column(
        "spent",
        8,
        lambda row: money(row.teacher.usd, None),
        "right",
        from_width=36,
        sort_by={"spent": lambda row: -row.teacher.usd},
    ),
    Column("$/1k correct", 12, lambda row: row.cost_of_correct, "right", from_width=68),
)


class TeachersScreen(MonitorScreen):
    """All teachers, and the details of one."""

    number = "3"
    counts = TeacherCounts()

    def compose_body(self) -> ComposeResult:
        """List and details."""
        with Horizontal(classes="split wide"):
            yield Table(COLUMNS, key=lambda row: row.teacher.name, order="as configured", id="list")
            with VerticalScroll(classes="detail", can_focus=False):
                yield TextBlock(id="teacher")

    @property
    def table(self) -> Table[TeacherRow]:
        """The list."""
        return self.query_one(Table)

    def data_query(self) -> Query:
        """Each teacher's spending and correct samples, counted as far as time allows."""
        before = self.counts

        def read(connection: Connection) -> TeacherCounts:
            return continue_counting(connection, before, COUNT_S)

        return Query(("teachers", None if before.whole else before.upto, before.high > 0), read)

    def receive(self, payload: Any) -> None:
        """Takes the counts."""
        self.counts = payload

    def reset(self) -> None:
        """Forgets the counts."""
        self.counts = TeacherCounts()

    def on_screen_resume(self) -> None:
        """Counts again: samples may have been regraded."""
        self.counts = TeacherCounts()

    def target_teacher(self) -> str | None:
        """The teacher under the cursor."""
        row = self.table.selected
        return row.teacher.name if row is not None else None

    def key_hints(self) -> list[tuple[str, str]]:
        """What you can do with teachers."""
        row = self.table.selected
        halted = row is not None and row.teacher.state in ("paused", "parked")
        return [
            ("help", "help"),
            ("pause", "resume" if halted else "pause"),
            ("budget", "budget"),
            ("filter", "filter"),
            ("faults", "problems"),
            ("open", "scroll" if not self.in_detail else "in the details"),
            ("sort", f"by {self.table.order}"),
            ("copy", "copy"),
            ("quit", "quit"),
        ]

    def breadcrumbs(self) -> list[str]:
        """The teacher under the cursor."""
        name = self.target_teacher()
        return self.breadcrumb_path([f"teacher {name}"] if name else [])

    def on_row_list_moved(self) -> None:
        """Another teacher."""
        self.draw()

    def on_row_list_chosen(self, message: RowList.Chosen) -> None:
        """A click on the teacher."""
        self.open_selected()

    def sort_next(self) -> None:
        """Sorts by the next column."""
        self.notice(f"sorted by {self.table.sort_next()}")
        self.draw()

    def show(self, status: Status) -> None:
        """Draws list and details."""
        rows = [
            TeacherRow(status, teacher, self.counts)
            for teacher in status.teachers
            if self.filter_text.lower() in teacher.name.lower()
            and (not self.problems_only or teacher.state != "ready" or teacher.errors)
        ]
        self.table.show_when_empty(
            "No teacher matches; esc shows all."
            if status.teachers
            else "No teachers yet: add [teachers.NAME] to config.toml."
        )
        self.table.show(rows)
        row = self.table.selected
        self.query_one("#teacher", TextBlock).paint(lambda width: paint_teacher(row, width))


def milliseconds(value: float | None) -> str:
    """A latency: `41ms`, `12s`."""
    return "–" if value is None else f"{value:.0f}ms" if value < 10_000 else f"{value / 1000:.0f}s"


def paint_teacher(row: TeacherRow | None, width: int) -> Text:
    """One teacher: why it waits, its limits, its answers, its cost."""
    if row is None:
        return say()
    teacher = row.teacher
    now = row.status.heartbeat.teachers.get(teacher.name) or TeacherHeartbeat()
    return sections(
        (title(one_line(teacher.name)), _state(teacher, now)),
        (title("now"), _now(teacher, now, width) if row.status.daemon.alive else []),
        (title("cost"), _cost(row)),
        (title("requests"), _requests(teacher, now, count if width >= 44 else short)),
    )


def _state(teacher: TeacherStatus, now: TeacherHeartbeat) -> list[Text]:
    """State, reason and remedy."""
    found = [say(state_word(teacher.state), (f"  {one_line(teacher.model)}", "muted"))]
    if now.resumes_in_s is not None:
        found.append(say((f"resumes in {duration(now.resumes_in_s)}", "attention")))
    if now.bound_by:
        found.append(say(f"limited by {one_line(now.bound_by)}"))
    if teacher.reason:
        colour = {"parked": "bad", "cooling": "attention"}.get(teacher.state, "muted")
        found.append(say((teacher.reason[:2_000], colour)))
    if teacher.state == "parked":
        command = f"`coterie resume --teacher {one_line(teacher.name)}`"
        found.append(say(("Fix the key, quota or URL, then press P or run", "attention")))
        found.append(say((command, "attention")))
    elif teacher.state == "paused":
        found.append(say(("paused by you; P resumes it", "muted")))
    return found


def _now(teacher: TeacherStatus, now: TeacherHeartbeat, width: int) -> list[Text]:
    """How much of each limit is used."""
    room = max(6, width - 34)
    found = fields(
        _gauge("in flight", teacher.in_flight, teacher.cap, room),
        _gauge("requests/min", teacher.requests_per_minute, now.requests_limit, room),
        _gauge("tokens/min", teacher.tokens_per_minute, now.tokens_limit, room),
        ("concurrency", (sparkline(now.caps, max(8, width - 14)), "accent")) if now.caps else None,
        width=LABEL,
    )
    return [truncated(line, max(20, width)) for line in found]


def _gauge(name: str, used: float, limit: float | None, room: int) -> tuple[Part, ...]:
    if not limit:
        return name, f"{short(used):>6} ", ("no known limit", "muted")
    return name, f"{short(used):>6} / {short(limit):<6} ", progress(used / limit, room)


def _cost(row: TeacherRow) -> list[Text]:
    teacher, counts = row.teacher, row.counts
    counted = row.counted >= 1
    return fields(
        (
            "correct",
            count(counts.correct(teacher.id)) if counted else f"counting … {percent(row.counted)}",
        ),
        ("tokens", f"{short(teacher.prompt_tokens)} in, {short(teacher.completion_tokens)} out"),
        ("spent", money(teacher.usd, None)),
        ("", f"{row.cost_of_correct} per 1,000 correct") if counted else None,
        ("reserved", money(teacher.reserved_usd, None), ("  not ended yet", "muted")),
        ("unknown", money(teacher.unknown_usd, None), ("  possibly billed", "muted")),
        width=LABEL,
    )


def _requests(teacher: TeacherStatus, now: TeacherHeartbeat, shown: Callable[[float], str]) -> list[Text]:
    """How fast it answers, and what fails."""
    share_429 = percent(teacher.status_429 / max(1, teacher.requests), 1)
    return fields(
        ("latency", f"p50 {milliseconds(teacher.p50_ms)}  p95 {milliseconds(teacher.p95_ms)}"),
        ("requests", f"{shown(teacher.requests)}, {shown(teacher.answered)} answered"),
        ("429s", f"{count(teacher.status_429)} ({share_429})"),
        ("retries", count(teacher.retries)),
        ("errors", count(teacher.errors)),
        *((f"  {one_line(kind)[:20]:<11}", count(number)) for kind, number in now.errors.items()),
        ("unknown", count(teacher.unknown_attempts), (" possibly billed", "muted")),
        width=LABEL,
    )
