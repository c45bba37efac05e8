"""What the overview shows, and its panels about samples: sampling and teachers. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from rich.text import Text

from state.views.accuracies import RunNow, TestResult
from state.views.costs import usd_per_correct, widest
from state.views.events import EventRow
from state.views.format import clock, count, duration, latency, money, per_thousand, percent, rate, short
from state.views.sample_history import SampleHistory
from state.views.samples import SampleRow
from state.views.status_records import PlanStatus, RunStatus, Status, TeacherStatus
from state.views.teacher_counts import TeacherCounts
from tui.charts import area, bar, round_top, sparkline
from tui.text import Part, across, one_line, say, shortened, state_word, truncated
from tui.widgets.panel import Painter, centred, fitted

RECENT_MS = 600_000
"""The time that the graph of a running daemon shows."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Overview:
    """Everything that the overview shows."""

    status: Status
    history: SampleHistory = field(default_factory=SampleHistory)
    counts: TeacherCounts = field(default_factory=TeacherCounts)
    events: Sequence[EventRow] = ()
    results: Sequence[TestResult] = ()
    runs: Mapping[int, RunNow] = field(default_factory=dict)
    losses: Mapping[int, Sequence[float]] = field(default_factory=dict)
    """Of active runs, by id, oldest first."""
    answers: Sequence[SampleRow] = ()
    """The newest samples."""
    report: str = ""
    """The report's path, if there is one."""
    size: int = 0
    """Bytes of the database."""
    plans: Sequence[PlanStatus] = field(init=False, default=())
    """Of plans that share samples the largest."""
    usd_of: Mapping[str, float] = field(init=False, default_factory=dict)
    """Dollars known to be billed, by task."""
    runs_of: Mapping[str, Sequence[RunStatus]] = field(init=False, default_factory=dict)
    """By task, oldest first."""

    def __post_init__(self) -> None:
        plans, usd, runs = widest(self.status.plans), dict[str, float](), dict[str, list[RunStatus]]()
        for plan in plans:
            usd[plan.task] = usd.get(plan.task, 0.0) + plan.usd
        for run in self.status.runs:
            runs.setdefault(run.task, []).append(run)
        for name, value in (("plans", plans), ("usd_of", usd), ("runs_of", runs)):
            object.__setattr__(self, name, value)

    @property
    def alive(self) -> bool:
        """Whether a daemon runs."""
        return self.status.daemon.alive

    @property
    def seen(self) -> int:
        """The time that the figures are of: now, or when the daemon was last seen."""
        daemon = self.status.daemon
        last = daemon.heartbeat_at or daemon.ended_at
        return self.status.at if daemon.alive or last is None else last

    @property
    def to_go(self) -> int:
        """Samples that are still wanted."""
        return sum(
            max(0, plan.wanted - plan.stored - plan.failed - plan.skipped + plan.given_up)
            for plan in self.plans
        )

    @property
    def eta_s(self) -> float | None:
        """Seconds until all are sampled, at the rate of the last minutes."""
        if self.status.daemon.state != "running" or not self.to_go:
            return None
        stored, _ = self.history.series(self.seen - 180_000, self.seen)
        speed = sum(stored) / len(stored) if stored else 0.0
        return self.to_go / speed if speed > 0 else None

    @property
    def usd_at_end(self) -> float | None:
        """Dollars spent when all is sampled, at each plan's cost so far; None before there is one."""
        whole = self.status.spend.usd
        for plan in self.plans:
            left = max(0, plan.wanted - plan.stored - plan.failed - plan.skipped)
            if left and not plan.stored:
                return None
            whole += left * plan.usd / plan.stored if plan.stored else 0.0
        return whole


@dataclass(frozen=True, slots=True)
class Shown:
    """One panel: the text in its frame, and its lines."""

    title: Part
    summary: Part
    paint: Painter
    pointer: Part = ""
    targets: Sequence[object] = ()
    """What a click on a line goes to: (mode, key), a mode, or None."""


def dotted(*parts: Part) -> Text:
    """Parts joined by dots; empty ones are left out."""
    shown = [
        each
        for each in parts
        if (each if isinstance(each, str) else each.plain if isinstance(each, Text) else each[0])
    ]
    return say(*(piece for at, part in enumerate(shown) for piece in (*((" · ", "muted"),) * (at > 0), part)))


# Sampling


def sampling(view: Overview) -> Shown:
    """How fast samples arrive, how many are missing, and when they are there."""
    to_go, eta = view.to_go, view.eta_s
    stored, correct = view.history.series(view.seen - RECENT_MS, view.seen)
    if to_go:
        summary = dotted(
            (f"{count(to_go)} to go", "text"), (duration(eta) if eta is not None else "", "strong")
        )
    else:
        summary = say(("✓ complete", "good"))
    peak = max(stored, default=0.0)
    # The first ten seconds show nothing yet.
    known = [at for at, value in enumerate(stored) if value]
    if len(known) < 3:
        begun = any(plan.stored for plan in view.status.plans)
        words = (
            "The first samples are on their way."
            if view.alive and to_go and not begun
            else "Samples are arriving: the graph needs a few seconds more."
            if view.alive and known
            else "Reading the last ten minutes …"
            if begun and not view.history.whole
            else "Nothing was sampled in the last ten minutes."
        )
        return Shown("sampling", summary, lambda width, height: centred(words, width, height))
    return Shown(
        "sampling",
        summary,
        lambda width, height: _sampling(view, stored, correct, width, height),
        say((f"peak {peak:.1f}/s · last 10 min", "muted")),
    )


def _sampling(
    view: Overview, stored: list[float], correct: list[float], width: int, height: int
) -> list[Text]:
    beat = view.status.heartbeat
    head = (
        [
            across(
                say((f"{beat.requests_per_second:.1f}", "strong"), (" requests/s", "muted")),
                say((short(beat.tokens_per_second), "strong"), (" tokens/s", "muted")),
                width,
            )
        ]
        if view.alive
        else [say((f"as of {clock(view.seen)}", "attention"))]
    )
    shares = [right / some if some else 0.0 for some, right in zip(stored, correct, strict=True)]
    known = [share for share, some in zip(shares, stored, strict=True) if some]
    share = sum(correct) / sum(stored) if sum(stored) else None
    rows = height - 2
    foot: list[Text] = []
    if rows >= 8:
        room = max(4, width - 19)
        foot = [
            _row("correct", percent(share, 1), sparkline(known, room, 1.0), "good"),
            _row("in flight", count(beat.in_flight), bar(_used(view), room)),
            _row("429s", percent(beat.share_429, 1), sparkline(beat.limited, room), "attention"),
        ]
        foot = foot if view.alive else foot[:1]
    elif rows >= 3:
        foot = [
            fit(
                width,
                (percent(share, 1), "strong"),
                (" correct  ", "muted"),
                (percent(beat.share_429, 1), "strong"),
                (" 429s", "muted"),
            )
        ]
    rows -= len(foot) - (1 if rows < 5 else 0)  # no axis where it is tight
    return [*head, *graph(stored, width, rows, view.seen - RECENT_MS, view.seen, axis=height >= 7), *foot][
        :height
    ]


def fit(width: int, *parts: Part) -> Text:
    """Parts in one line, cut at the width."""
    return truncated(say(*parts), width)


def _row(name: str, value: str, line: str | Text, role: str = "text") -> Text:
    return say(
        (f"{name:<10}", "muted"),
        (f"{value:>7}  ", "strong"),
        line if isinstance(line, Text) else (line, role),
    )


def _used(view: Overview) -> float:
    """The share of all requests that may be in flight that is."""
    most = sum(each.cap for each in view.status.teachers)
    return min(1.0, view.status.heartbeat.in_flight / most) if most else 0.0


def graph(
    values: Sequence[float], width: int, rows: int, start: int, end: int, *, axis: bool = True, unit: str = ""
) -> list[Text]:
    """Values over time as a filled area with its axes, in `rows` lines and one more for the times."""
    if rows < 1:
        return []
    top = round_top(max(values, default=0.0))
    labels = {0: f"{top:g}{unit}", rows - 1: "0"}
    if rows >= 5:
        labels[(rows - 1) // 2] = f"{top / 2:g}{unit}"
    margin = max(len(label) for label in labels.values()) + 1
    drawn = area(values, width - margin, rows, top)
    found = [say((f"{labels.get(at, ''):>{margin - 1}} ", "muted"), line) for at, line in enumerate(drawn)]
    if axis:
        room = width - margin
        seconds = room >= 60 or (end - start < 180_000 and room >= 28)  # the same minute twice says nothing
        left, right = clock(start, seconds=seconds), clock(end, seconds=seconds)
        middle = clock((start + end) // 2, seconds=seconds)
        gap = (room - len(middle)) // 2 - len(left)
        line = f"{left}{' ' * gap}{middle}" if gap > 1 else left
        found.append(say((" " * margin + line + right.rjust(room - len(line)), "muted")))
    return found


# Teachers


def teachers(view: Overview) -> Shown:
    """Each teacher: its state, what holds it back, its cost."""
    status = view.status
    if not status.teachers:
        return Shown(
            "teachers",
            "",
            lambda width, height: centred(
                "No teachers yet.", width, height, "Add [teachers.NAME] to config.toml."
            ),
        )
    states = [teacher.state for teacher in status.teachers]
    halted = sum(state == "parked" for state in states)
    working = sum(state in ("ready", "limited") for state in states) if view.alive else 0
    summary = dotted(
        (f"{working} sampling" if working and view.to_go else f"{working} ready" if working else "", "text"),
        (f"{halted} parked" if halted else "", "bold bad"),
    )

    def paint(width: int, height: int) -> list[Text]:
        whole = [
            _teacher(view, each, width)
            if width >= 56 and height >= 2 * len(states)
            else _brief_teacher(view, each, width)
            for each in status.teachers
        ]
        while sum(map(len, whole)) > height and max(map(len, whole)) > 1:
            max(reversed(whole), key=len).pop()
        spaced = height >= sum(map(len, whole)) + len(whole) - 1 and max(map(len, whole)) > 1
        found = [
            line for each in whole for line in ([say(), *each] if spaced and each is not whole[0] else each)
        ]
        if len(whole) > height:
            return fitted(found, height)
        if width < 56 and len(found) < height:
            cost = usd_per_correct(view.status.plans)
            if cost is not None:
                found.append(fit(width, (per_thousand(cost), "strong"), (" per 1,000 correct", "muted")))
        return found[:height]

    targets = [("teachers", teacher.name) for teacher in status.teachers]
    return Shown("teachers", summary, paint, say(("3 ", "key"), ("all teachers", "muted")), targets)


def health(teacher: TeacherStatus, view: Overview) -> Text:
    """Glyph and word: `● healthy`, `◐ slots full`, `■ parked`."""
    if teacher.state in ("ready", "limited") and view.alive:
        now = view.status.heartbeat.teachers.get(teacher.name)
        if now is not None and now.resumes_in_s is not None:
            return say((f"■ waits {duration(now.resumes_in_s)}", "attention"))
        if teacher.cap and teacher.in_flight >= teacher.cap:
            return say(("◐ slots full", "accent"))
        return say(("● healthy", "good")) if teacher.answered else say(("◐ asked", "accent"))
    return state_word(teacher.state) if view.alive or teacher.state != "ready" else say(("○ ready", "muted"))


def _a_second(teacher: TeacherStatus) -> float:
    return teacher.requests_per_minute / 60


def _teacher(view: Overview, teacher: TeacherStatus, width: int) -> list[Text]:
    """Three lines: state and speed; slots and latency, or the reason; answers and cost."""
    name = max(9, *(len(each.name[:14]) for each in view.status.teachers)) + 2
    stored, _ = view.history.series(view.seen - RECENT_MS, view.seen, teacher.id)
    room = max(6, min(24, width - name - 36))
    line = sparkline(stored, room) if view.alive and any(stored) else ""
    first = say((f"{shortened(teacher.name, name - 2):<{name}}", "strong"), health(teacher, view))
    if line:
        first = across(
            first, say(f"{_a_second(teacher):.1f} requests/s ", (f"{line:>{room}}", "accent")), width
        )
    cost = view.counts.usd_per_correct(teacher.id)
    share = percent(view.counts.correct_share(teacher.id), 1) if view.counts.whole else ""
    money_words = (
        say(("free", "strong"), (" of charge", "muted"))
        if teacher.answered and not teacher.usd
        else dotted(
            (money(teacher.usd, None), "strong"),
            say(per_thousand(cost), ("/1k correct", "muted")) if cost is not None else "",
        )
    )
    last = across(
        say(
            (f"{'answered':<{name}}", "muted"),
            f"{count(teacher.answered):>9}",
            (f"  {share}" if share else "", "text"),
            (" correct" if share else "", "muted"),
        ),
        money_words,
        width,
    )
    if teacher.reason or teacher.state in ("parked", "paused"):
        return [first, _remedy(teacher, width), last]
    if not view.alive:
        return [first, last]
    slots = bar(teacher.in_flight / teacher.cap if teacher.cap else 0.0, max(6, min(22, width - name - 36)))
    middle = across(
        say((f"{'in flight':<{name}}", "muted"), slots, f" {teacher.in_flight} of {teacher.cap}"),
        say(
            ("p50 ", "muted"),
            f"{latency(teacher.p50_ms):>5}",
            ("  p95 ", "muted"),
            f"{latency(teacher.p95_ms):>5}",
        ),
        width,
    )
    return [first, middle, last]


def _remedy(teacher: TeacherStatus, width: int) -> Text:
    if teacher.state == "paused":
        return fit(width, ("paused by you: ", "attention"), ("P", "key"), " on 3 resumes it")
    if teacher.state != "parked":
        return fit(width, (one_line(teacher.reason), "attention"))
    tail = say("; fix it, then ", ("P", "key"), " on 3 resumes it")
    return say((shortened(teacher.reason, max(12, width - tail.cell_len)), "bold bad"), tail)


def _brief_teacher(view: Overview, teacher: TeacherStatus, width: int) -> list[Text]:
    name = max(6, *(len(each.name[:12]) for each in view.status.teachers)) + 1
    head = say((f"{shortened(teacher.name, name - 1):<{name}} ", "strong"))
    if teacher.reason or not view.alive:
        word = health(teacher, view)
        reason = f": {one_line(teacher.reason)}" if teacher.reason else f" {count(teacher.answered)} answered"
        lines = [truncated(say(head, word, (reason, "muted" if not teacher.reason else "bad")), width)]
        if teacher.state == "parked":
            lines.append(
                fit(width, ("└ fix it, then ", "muted"), ("P", "key"), (" on 3 resumes it", "muted"))
            )
        return lines
    slots = f"{teacher.in_flight}/{teacher.cap}"
    tail = say(f"{rate(_a_second(teacher)):>7}", ("  p95 ", "muted"), f"{latency(teacher.p95_ms)}")
    return [across(say(head, health(teacher, view)[:1], f" {slots}"), tail, width)]
