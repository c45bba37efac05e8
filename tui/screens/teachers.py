"""3 Teachers: which works, what holds it back, its latency, failures and cost."""

from __future__ import annotations

import textwrap
from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from typing import Any

from rich.text import Text

from state.heartbeat import TeacherHeartbeat
from state.sqlite import Connection
from state.views.attempt_history import AttemptHistory, continue_attempts
from state.views.format import clock, count, duration, latency, money, per_thousand, percent, short
from state.views.sample_history import SampleHistory, continue_history
from state.views.status_records import Status, TeacherStatus
from state.views.teacher_counts import TeacherCounts, continue_counting
from tui.charts import bar
from tui.context import Context
from tui.database_reader import Query
from tui.messages import SamplesRequested
from tui.plots import Line, plot
from tui.screens.list_screen import ListScreen
from tui.screens.overview_panels import RECENT_MS, Overview, Shown, dotted, graph, health
from tui.text import Part, across, fields, one_line, say, shortened, truncated
from tui.widgets.columns import Column
from tui.widgets.panel import centred

COUNT_S = 0.03
"""Seconds of counting in one reading, for each of the three counts."""
LABEL = 14
"""Cells of the label column."""
KINDS = {
    "limited": "rate limit (429)",
    "transient": "server or network",
    "malformed": "no readable answer",
    "unknown": "no answer, maybe billed",
    "permanent": "request refused",
    "parked": "key, quota, balance",
}
"""The classes of errors, in words."""


@dataclass(frozen=True, slots=True)
class TeacherRow:
    """A teacher, the status it is part of, and what was counted so far."""

    view: Overview
    teacher: TeacherStatus
    attempts: AttemptHistory

    @property
    def counts(self) -> TeacherCounts:
        """The samples counted so far."""
        return self.view.counts

    @property
    def counted(self) -> float:
        """The share of the samples counted so far, 0 to 1."""
        return self.counts.upto / self.counts.high if self.counts.high and not self.counts.whole else 1.0

    @property
    def correct(self) -> str:
        """Its share of correct samples; while they are counted, how far that is in brackets."""
        if self.counted < 1:
            return f"({percent(self.counted)})"
        return percent(self.counts.correct_share(self.teacher.id), 1)

    @property
    def cost_of_correct(self) -> str:
        """Dollars spent per 1,000 correct samples; while they are counted, how far that is in brackets."""
        if self.counted < 1:
            return f"({percent(self.counted)})"
        usd = self.counts.usd_per_correct(self.teacher.id)
        return "free" if usd == 0 else per_thousand(usd)

    @property
    def now(self) -> TeacherHeartbeat:
        """What the daemon says of it."""
        return self.view.status.heartbeat.teachers.get(self.teacher.name) or TeacherHeartbeat()

    @property
    def share_429(self) -> float | None:
        """429s among its requests, 0 to 1."""
        return self.teacher.status_429 / self.teacher.requests if self.teacher.requests else None

    @property
    def limit_used(self) -> float:
        """The most used of its known limits, 0 to 1 and above."""
        found = [
            self.teacher.in_flight / self.teacher.cap if self.teacher.cap else 0.0,
            self.teacher.requests_per_minute / self.now.requests_limit if self.now.requests_limit else 0.0,
            self.teacher.tokens_per_minute / self.now.tokens_limit if self.now.tokens_limit else 0.0,
        ]
        return max(found)


class TeachersScreen(ListScreen):
    """All teachers, and four panels about one."""

    number = "3"
    noun = "teacher"
    columns = (
        Column("teacher", 0, lambda row: say((one_line(row.teacher.name), "strong")), whole=True, sort_by={"name": lambda row: row.teacher.name}),
        Column("state", 13, lambda row: health(row.teacher, row.view), from_width=56),
        Column("state", 9, lambda row: health(row.teacher, row.view), to_width=55),
        Column("slots", 6, lambda row: f"{row.teacher.in_flight}/{row.teacher.cap}", "right"),
        Column("now/s", 6, lambda row: f"{row.teacher.requests_per_minute / 60:.1f}", "right", from_width=44),
        Column("p50", 5, lambda row: latency(row.teacher.p50_ms), "right", from_width=68),
        Column("p95", 5, lambda row: latency(row.teacher.p95_ms), "right", from_width=68),
        Column("429s", 6, lambda row: percent(row.share_429, 1), "right", from_width=106),
        Column("answered", 8, lambda row: count(row.teacher.answered), "right", from_width=106, sort_by={"answered": lambda row: -row.teacher.answered}),
        Column("errors", 6, lambda row: short(row.teacher.errors), "right", from_width=130, sort_by={"errors": lambda row: -row.teacher.errors}),
        Column("correct", 7, lambda row: row.correct, "right", from_width=76),
        Column("tokens", 6, lambda row: short(row.teacher.prompt_tokens + row.teacher.completion_tokens), "right", from_width=114),
        Column("cost", 8, lambda row: money(row.teacher.usd, None) if row.teacher.usd else "free" if row.teacher.answered else "–", "right", from_width=36, sort_by={"cost": lambda row: -row.teacher.usd}),
        Column("/1k correct", 11, lambda row: row.cost_of_correct, "right", from_width=106),
        Column("limit", 6, lambda row: percent(row.limit_used), "right", from_width=140),
        Column("model", 18, lambda row: say((one_line(row.teacher.model), "muted")), from_width=150),
        Column("in/out", 13, lambda row: f"{short(row.teacher.prompt_tokens)}/{short(row.teacher.completion_tokens)}", "right", from_width=190),
    )  # fmt: skip

    def __init__(self, context: Context) -> None:
        super().__init__(context)
        self.reset()

    def reset(self) -> None:
        """Forgets what was counted."""
        self.counts, self.history, self.attempts = TeacherCounts(), SampleHistory(), AttemptHistory()

    def on_screen_resume(self) -> None:
        """Counts again: samples may have been regraded."""
        self.counts = TeacherCounts()

    def data_query(self) -> Query:
        """Samples, latencies and correct answers, as far as time allows."""
        counts, history, attempts = self.counts, self.history, self.attempts
        since = self._view(self.status).seen - RECENT_MS if self.status is not None else 0

        def read(connection: Connection) -> tuple[TeacherCounts, SampleHistory, AttemptHistory]:
            return (
                continue_counting(connection, counts, COUNT_S),
                continue_history(connection, history, since, COUNT_S),
                continue_attempts(connection, attempts, since, COUNT_S),
            )

        progress = (None if counts.whole else counts.upto, counts.high > 0, history.low, attempts.low)
        return Query(("teachers", since == 0), read, progress)

    def moment(self) -> Hashable:
        """The bucket of the graphs."""
        return self._view(self.status).seen // self.history.bucket_ms if self.status is not None else None

    def receive(self, payload: Any) -> None:
        """Takes the counts."""
        self.counts, self.history, self.attempts = payload

    def _view(self, status: Status) -> Overview:
        return Overview(status=status, history=self.history, counts=self.counts)

    def key_of(self, row: TeacherRow) -> str:
        """Its name."""
        return row.teacher.name

    def rows_of(self, status: Status) -> list[TeacherRow]:
        """The teachers that match."""
        view = self._view(status)
        return [
            TeacherRow(view, teacher, self.attempts)
            for teacher in status.teachers
            if self.filter_text.lower() in teacher.name.lower()
            and (not self.problems_only or teacher.state != "ready" or teacher.errors)
        ]

    def when_empty(self, status: Status) -> str:
        """None are configured, or none match."""
        return (
            "No teacher matches; esc shows all."
            if status.teachers
            else "No teachers yet: add [teachers.NAME] to config.toml."
        )

    def summary(self, status: Status) -> Part:
        """How fast, and how many wait for you."""
        halted = sum(teacher.state == "parked" for teacher in status.teachers)
        speed = f"{status.heartbeat.requests_per_second:.1f} requests/s" if status.daemon.alive else ""
        return dotted((speed, "text"), (f"{halted} parked" if halted else "", "bold bad"))

    def panels(self, row: TeacherRow) -> Sequence[Shown]:
        """Speed, latency, limits, trouble."""
        return speed(row), latencies(row), limits(row), errors(row)

    def key_hints(self) -> list[tuple[str, str]]:
        """What you can do with teachers."""
        row = self.table.selected
        halted = row is not None and row.teacher.state in ("paused", "parked")
        return [
            ("help", "help"),
            ("open", "its samples" if self.roomy else "details" if not self.in_detail else "in the details"),
            ("pause", "resume" if halted else "pause"),
            ("faults", "all" if self.problems_only else "problems"),
            ("filter", "filter"),
            ("sort", "sort"),
            ("copy", "copy"),
            ("budget", "budget"),
        ]

    def target_teacher(self) -> str | None:
        """The teacher under the cursor."""
        return self.target_name()

    def open_selected(self) -> None:
        """Shows the teacher's samples; on a small terminal its panels."""
        name = self.target_name()
        if self.roomy and name is not None:
            self.post_message(SamplesRequested(f'teacher:"{name}"' if " " in name else f"teacher:{name}"))
        else:
            self.enter_detail()


def _titled(row: TeacherRow, words: str) -> str:
    return f"{shortened(row.teacher.name, 16)} · {words}"


def _why_quiet(row: TeacherRow) -> str:
    """What keeps a teacher from answering until a person acts; empty if nothing does."""
    words = {"parked": "It is parked: its trouble stands below.", "paused": "It is paused: P resumes it."}
    return words.get(row.teacher.state, "")


def speed(row: TeacherRow) -> Shown:
    """How many samples arrive of it."""
    view = row.view
    stored, _ = view.history.series(view.seen - RECENT_MS, view.seen, row.teacher.id)
    title = _titled(row, "samples/s")
    if sum(value > 0 for value in stored) < 3:
        words = "Nothing arrived in the last ten minutes." if view.history.whole else "Reading …"
        return Shown(title, "", lambda width, height: centred(words, width, height, _why_quiet(row)))
    summary = say((f"{row.teacher.requests_per_minute / 60:.1f}", "strong"), (" requests/s now", "muted"))
    return Shown(
        title,
        summary if view.alive else say((f"as of {clock(view.seen)}", "attention")),
        lambda width, height: graph(stored, width, height - 1, view.seen - RECENT_MS, view.seen),
    )


def latencies(row: TeacherRow) -> Shown:
    """How long its answers took."""
    view, teacher, title = row.view, row.teacher, _titled(row, "latency")
    found = row.attempts.quantiles(teacher.id, view.seen - RECENT_MS)
    if len(found) < 3:
        words = "Too few answers for a curve."
        return Shown(title, "", lambda width, height: centred(words, width, height, _why_quiet(row)))
    times = [at for at, _, _ in found]
    curves = [
        Line(x=times, y=[late / 1000 for _, _, late in found], role="attention"),
        Line(x=times, y=[middle / 1000 for _, middle, _ in found]),
    ]
    summary = say(
        ("━ ", "accent"), ("p50 ", "muted"), latency(teacher.p50_ms or found[-1][1]),
        ("  ━ ", "attention"), ("p95 ", "muted"), latency(teacher.p95_ms or found[-1][2]),
    )  # fmt: skip

    def paint(width: int, height: int) -> list[Text]:
        top = max(late / 1000 for _, _, late in found)
        ends = (float(view.seen - RECENT_MS), float(view.seen))
        middle = (ends[0] + ends[1]) / 2
        return plot(
            curves,
            width,
            height,
            x=ends,
            y=(0.0, 1.05 * top),
            y_text=lambda value: f"{value:g}s",
            x_text=lambda at: clock(round(at), seconds=False),
            x_marks=(ends[0], middle, ends[1]),
        )

    return Shown(title, summary, paint)


def limits(row: TeacherRow) -> Shown:
    """How much of each limit is used, and what holds it back."""
    teacher, now, spend = row.teacher, row.now, row.view.status.spend
    held = one_line(now.bound_by) if row.view.alive else ""
    summary = say(("what holds it back: ", "muted"), (held, "accent")) if held else ""

    def paint(width: int, height: int) -> list[Text]:
        found = (
            [
                _gauge("slots", teacher.in_flight, teacher.cap, width),
                _gauge("requests/min", teacher.requests_per_minute, now.requests_limit, width),
                _gauge("tokens/min", teacher.tokens_per_minute, now.tokens_limit, width),
            ]
            if row.view.alive
            else []
        )
        share = money(teacher.usd, None) + (f" of {money(spend.usd, None)}" if spend.usd else "")
        found.append(
            _line("share of cost", teacher.usd / spend.usd if spend.usd else 0.0, share, "teacher", width)
        )
        pause = now.resumes_in_s
        found += [
            *([say()] if height >= 10 else []),
            *fields(
                ("pause", (f"resumes in {duration(pause)}", "attention")) if pause is not None else None,
                ("shared with", f"{now.shared_with} other processes on this machine")
                if now.shared_with
                else None,
                ("tokens", f"{short(teacher.prompt_tokens)} in, {short(teacher.completion_tokens)} out"),
                (
                    "correct",
                    count(row.counts.correct(teacher.id)),
                    (f"  {row.cost_of_correct} per 1,000", "muted"),
                )
                if row.counted >= 1
                else ("correct", f"counting … {percent(row.counted)}"),
                ("reserved", money(teacher.reserved_usd, None), ("  not ended yet", "muted"))
                if teacher.reserved_usd
                else None,
                ("unknown", money(teacher.unknown_usd, None), ("  possibly billed", "muted"))
                if teacher.unknown_usd
                else None,
                ("model", one_line(teacher.model)),
                width=LABEL,
            ),
        ]
        return [truncated(line, width) for line in found][:height]

    return Shown(_titled(row, "limits"), summary, paint)


def _gauge(name: str, used: float, limit: float | None, width: int) -> Text:
    if not limit:
        return across(say((name, "muted")), say(count(used), (", no known limit", "muted")), width)
    share = used / limit
    words = f"{count(used) if used < 100_000 else short(used)} of {count(limit) if limit < 100_000 else short(limit)}"
    return _line(name, share, words, "attention" if share >= 0.9 and name != "slots" else "accent", width)


def _line(name: str, share: float, words: str, role: str, width: int) -> Text:
    room = max(3, width - LABEL - 18)
    return across(say((f"{name:<{LABEL}}", "muted"), bar(share, room, role)), say(words), width)


def errors(row: TeacherRow) -> Shown:
    """What failed, by kind, and what became of it."""
    teacher, now = row.teacher, row.now
    kinds = {"limited": teacher.status_429} if teacher.status_429 and not now.errors else dict(now.errors)
    share = teacher.errors / teacher.requests if teacher.requests else None
    last = row.attempts.failures.get(teacher.id)

    def paint(width: int, height: int) -> list[Text]:
        found: list[Text] = []
        if teacher.reason:
            role = "bad" if teacher.state == "parked" else "attention"
            found += [
                say((line, f"bold {role}"))
                for line in textwrap.wrap(one_line(teacher.reason, 600), width, max_lines=3)
            ]
        if teacher.state == "parked":
            found.append(say("Fix it, then press ", ("P", "key"), " or run"))
            found.append(say((f"coterie resume --teacher {one_line(teacher.name)}", "accent")))
        elif teacher.state == "paused":
            found.append(say("paused by you; ", ("P", "key"), " resumes it"))
        most = max(kinds.values(), default=0)
        for kind, number in sorted(kinds.items(), key=lambda item: -item[1]):
            words = KINDS.get(kind, one_line(kind)[:24])
            role = "bad" if kind in ("permanent", "parked", "unknown") else "attention"
            room = width - 33
            line = bar(number / most if most else 0.0, room, role) if room >= 6 else say()
            found.append(across(say((f"{words:<24}", "text"), line), say(count(number)), width))
        if not kinds and not teacher.reason:
            found.append(say(("Nothing failed.", "muted")))
        facts = fields(
            ("retries", count(teacher.retries)) if teacher.retries else None,
            ("unknown", count(teacher.unknown_attempts), ("  requests that may be billed", "muted"))
            if teacher.unknown_attempts
            else None,
            ("last", f"{last.status or last.outcome} at {clock(last.at)}") if last is not None else None,
            ("it says", one_line(last.reason)) if last is not None and last.reason else None,
            width=9,
        )
        found += [*([say()] if facts and height > len(found) + len(facts) else []), *facts]
        return [truncated(line, width) for line in found][:height]

    summary = say((percent(share, 1), "text"), (" of requests", "muted")) if share else ""
    return Shown(_titled(row, "trouble"), summary, paint)
