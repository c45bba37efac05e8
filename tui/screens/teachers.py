"""3 Teachers: how much of each limit is used, how fast they answer, what goes wrong, what it costs."""

from __future__ import annotations

from typing import Any

from rich.text import Text
from textual.app import ComposeResult
from textual.containers import Horizontal, VerticalScroll

from state.heartbeat import TeacherHeartbeat
from state.sqlite import Connection
from state.views.format import cost, count, duration, money, percent, short
from state.views.status_records import Status, TeacherStatus
from state.views.teacher_counts import TeacherCounts, continue_counting
from tui.feed import Wish
from tui.meter import bar, spark
from tui.screens.frame import cut
from tui.screens.view import View, sections
from tui.text import one_line, say, state_word, title
from tui.widgets.block import Block
from tui.widgets.row_list import Column, RowList, Table

COLUMNS = (
    Column("teacher", 0),
    Column("state", 10),
    Column("in flight", 9, "right"),
    Column("req/min", 7, "right", least=44),
    Column("p50", 6, "right", least=72),
    Column("429", 5, "right", least=80),
    Column("cost", 8, "right", least=36),
    Column("$/right", 10, "right", least=60),
)
COUNT_S = 0.04
"""Of counting in one reading."""
ORDERS = ("as configured", "name", "cost", "errors")


class Teachers(View):
    """All teachers, and one of them in detail."""

    number = "3"

    def __init__(self) -> None:
        super().__init__()
        self.order = 0
        self.continue_counting = TeacherCounts()

    def body(self) -> ComposeResult:
        """List and detail."""
        with Horizontal(classes="split wide"):
            yield Table(COLUMNS, id="list")
            with VerticalScroll(classes="detail", can_focus=False):
                yield Block(id="teacher")

    def wish(self) -> Wish:
        """What each spent, and its correct samples, as far as there is time to count them."""
        before = self.continue_counting

        def read(connection: Connection) -> TeacherCounts:
            return continue_counting(connection, before, COUNT_S)

        return Wish(("teachers", None if before.whole else before.upto, before.high > 0), read)

    def learn(self, payload: Any) -> None:
        """Takes it."""
        self.continue_counting = payload

    def new_database(self) -> None:
        """Other samples."""
        self.continue_counting = TeacherCounts()

    def on_screen_resume(self) -> None:
        """Counted anew: samples may have been graded anew."""
        self.continue_counting = TeacherCounts()

    def subject_teacher(self) -> str | None:
        """The teacher under the cursor."""
        key = self.query_one(Table).key
        return key if isinstance(key, str) else None

    def hints(self) -> list[tuple[str, str]]:
        """What can be done with teachers."""
        name = self.subject_teacher()
        halted = self.status is not None and any(
            item.name == name and item.state in ("paused", "parked") for item in self.status.teachers
        )
        return [
            ("help", "help"),
            ("pause", "resume" if halted else "pause"),
            ("budget", "budget"),
            ("filter", "filter"),
            ("faults", "faults"),
            ("open", "scroll" if not self.inside else "in the detail"),
            ("sort", f"by {ORDERS[self.order]}"),
            ("copy", "copy"),
            ("quit", "leave"),
        ]

    def crumbs(self) -> list[str]:
        """The teacher under the cursor."""
        name = self.subject_teacher()
        return self.way([f"teacher {name}"] if name else [])

    def on_row_list_moved(self) -> None:
        """Another teacher."""
        self.draw()

    def on_row_list_chosen(self, message: RowList.Chosen) -> None:
        """A click on the teacher."""
        self.opened()

    def sorted_next(self) -> None:
        """Another order."""
        self.order = (self.order + 1) % len(ORDERS)
        self.monitor.tell(f"sorted by {ORDERS[self.order]}")
        self.draw()

    def show(self, status: Status) -> None:
        """List and detail."""
        table = self.query_one(Table)
        found = [item for item in status.teachers if self.words.lower() in item.name.lower()]
        if self.faults:
            found = [item for item in found if item.state != "ready" or item.errors]
        by = ORDERS[self.order]
        if by == "name":
            found.sort(key=lambda item: item.name)
        elif by != ORDERS[0]:
            found.sort(key=lambda item: -(item.usd if by == "cost" else item.errors))
        hint = (
            "no teacher fits; esc shows all"
            if status.teachers
            else "No teacher yet: [teachers.NAME] in config.toml."
        )
        table.explain(hint)
        counted = self.continue_counting
        table.show([(item.name, _cells(item, counted)) for item in found])
        chosen = next((item for item in found if item.name == table.key), None)
        self.query_one("#teacher", Block).paint(lambda width: paint_teacher(status, chosen, counted, width))


def _cells(teacher: TeacherStatus, counted: TeacherCounts) -> list[Text]:
    return [
        say(one_line(teacher.name)),
        state_word(teacher.state),
        say(f"{teacher.in_flight}/{teacher.cap}"),
        say(short(teacher.requests_per_minute)),
        say(_ms(teacher.p50_ms)),
        say(short(teacher.status_429)),
        say(money(teacher.usd, None)),
        say(_price(teacher, counted)),
    ]


def _price(teacher: TeacherStatus, counted: TeacherCounts) -> str:
    """Dollars a correct sample; how far they are counted, while they are."""
    if counted.high and not counted.whole:
        return f"({percent(counted.upto / counted.high)})"
    return cost(counted.usd_per_correct(teacher.id))


def _ms(value: float | None) -> str:
    return "–" if value is None else f"{value:.0f}ms" if value < 10_000 else f"{value / 1000:.0f}s"


def paint_teacher(status: Status, teacher: TeacherStatus | None, counted: TeacherCounts, width: int) -> Text:
    """One teacher: why it waits, its limits, its answers, its cost."""
    if teacher is None:
        return say()
    now = status.heartbeat.teachers.get(teacher.name) or TeacherHeartbeat()
    head = [say(state_word(teacher.state), (f"  {one_line(teacher.model)}", "dim"))]
    if now.resumes_in_s is not None:
        head.append(say((f"goes on in {duration(now.resumes_in_s)}", "yellow")))
    if now.bound_by:
        head.append(say(f"held back by {one_line(now.bound_by)}"))
    if teacher.reason:
        colour = {"parked": "red", "cooling": "yellow"}.get(teacher.state, "dim")
        head.append(say((teacher.reason[:2_000], colour)))
    if teacher.state == "parked":
        name = one_line(teacher.name)
        head.append(say(("mend it (key, quota, address), then P or", "yellow")))
        head.append(say((f"`coterie resume --teacher {name}`", "yellow")))
    elif teacher.state == "paused":
        head.append(say(("paused by a person; P goes on", "dim")))
    room = max(6, width - 34)
    load = [
        _gauge("in flight", teacher.in_flight, teacher.cap, room),
        _gauge("requests/min", teacher.requests_per_minute, now.requests_limit, room),
        _gauge("tokens/min", teacher.tokens_per_minute, now.tokens_limit, room),
        say(("cap          ", "dim"), (spark(now.caps, max(8, width - 14)), "cyan")) if now.caps else say(),
    ]
    shown = count if width >= 44 else short
    answered = [
        say(("time         ", "dim"), f"p50 {_ms(teacher.p50_ms)}  p95 {_ms(teacher.p95_ms)}"),
        say(("requests     ", "dim"), f"{shown(teacher.requests)}, {shown(teacher.answered)} answered"),
        say(
            ("429s         ", "dim"),
            f"{count(teacher.status_429)} ({percent(teacher.status_429 / max(1, teacher.requests), 1)})",
        ),
        say(("retries      ", "dim"), count(teacher.retries)),
        say(("errors       ", "dim"), count(teacher.errors)),
        *(say((f"  {one_line(kind)[:20]:<11}", "dim"), count(number)) for kind, number in now.errors.items()),
        say(("unknown      ", "dim"), count(teacher.unknown_attempts), (" maybe billed", "dim")),
    ]
    each = f"{count(counted.correct(teacher.id))} correct" if counted.whole else "samples counted"
    spent = [
        say(
            ("tokens       ", "dim"),
            f"{short(teacher.prompt_tokens)} in, {short(teacher.completion_tokens)} out",
        ),
        say(("cost         ", "dim"), money(teacher.usd, None)),
        say(("per correct  ", "dim"), _price(teacher, counted), (f"  {each}", "dim")),
    ]
    return sections(
        (title(one_line(teacher.name)), head),
        (title("now"), [cut(line, max(20, width)) for line in load] if status.daemon.alive else []),
        (title("cost"), spent),
        (title("answers"), answered),
    )


def _gauge(name: str, used: float, limit: float | None, room: int) -> Text:
    if not limit:
        return say((f"{name:<13}", "dim"), f"{short(used):>6} ", ("no limit known", "dim"))
    return say(
        (f"{name:<13}", "dim"), f"{short(used):>6} / {short(limit):<6} ", (bar(used / limit, room), "green")
    )
