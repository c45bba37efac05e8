"""The lines around every screen: header, tabs with what needs you, banner, footer. Pure.

Invariants: a line that is too long loses whole parts, the least important first; the daemon's state and the money spent
are always shown, and so is how to leave.
"""

from __future__ import annotations

import textwrap
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from rich.text import Text

from state.views.format import age, clock, duration, money
from state.views.status_records import Alert, DaemonStatus, Spend, Status
from tui.charts import bar
from tui.key_bindings import KEYS, key_label
from tui.text import Part, across, fit_parts, one_line, say, shortened, state_word, truncated

MODES = (
    ("1", "Overview"),
    ("2", "Tasks"),
    ("3", "Teachers"),
    ("4", "Samples"),
    ("5", "Runs"),
    ("6", "Events"),
)
WORD = 12
"""Cells that a line loses when its last word moves to the next line."""
_BY_ID = {key.id: key for key in KEYS}


@dataclass(slots=True)
class Links:
    """What a click on a line does: the cells, from and to, and the target."""

    found: list[tuple[int, int, object]] = field(default_factory=list)

    def at(self, column: int) -> object | None:
        """The target at a cell."""
        return next((target for start, end, target in self.found if start <= column < end), None)


def header(
    status: Status | None, width: int, *, place: str, now: int, frozen: bool, readonly: bool, lost: bool
) -> Text:
    """Name, host and database; the daemon's state with its age, the clock, the budget."""
    host, _, path = place.partition(":")
    if status is None:
        return across(say(" ", ("coterie", "key"), f"  {host}"), say(("reading … ", "muted")), width)
    right: list[tuple[int, Text]] = [(0, state_and_age(status, now, lost))]
    if frozen:
        right.append((2, say("  ", ("■ frozen", "bold attention"))))
    if status.commands:
        right.append((6, say((f"  ◐ {len(status.commands)} queued", "attention"))))
    if readonly:
        right.append((10, say(("  read-only", "muted"))))
    right.append((7, say((f"  {clock(now)}", "muted"))))
    right += _budget(status.spend, width)
    shown = fit_parts(right, width - len(f" coterie  {host}   ") if width >= 60 else width - 2)
    shown = say(shown, " ") if shown.cell_len < width - 1 else shown
    free = width - shown.cell_len - len(" coterie  ")
    left: list[Part] = (
        [" ", ("coterie", "key"), "  "] if free >= 0 else [" "] if shown.cell_len < width else []
    )
    for words in (f"{host}:{path}", f"{host}:{path.rsplit('/', 1)[-1]}", host):
        if 0 < len(words) < free - 1:
            name, _, rest = words.partition(":")
            left += [name, (f":{rest}" if rest else "", "muted")]
            break
    return across(say(*left), shown, width)


def state_and_age(status: Status, now: int, lost: bool) -> Text:
    """`● running 1h22m`; when it last wrote, if that is too long ago."""
    daemon = status.daemon
    if status.finished and daemon.alive and not lost:
        return say(("✓ all done", "bold good"), f" {duration(daemon.uptime_s)}")
    word = state_word(daemon.state)
    word.stylize("bold")
    at = _last_seen(daemon)
    silent = max(0, now - at) / 1000 if at is not None else None
    if not daemon.alive:
        return say(word, (f" {age(silent)} ago" if silent is not None else "", "muted"))
    stale = silent is not None and (lost or silent > 5)
    uptime = f" {duration(daemon.uptime_s)}" if daemon.uptime_s is not None else ""
    return say(word, uptime, (f"  {age(silent)} ago" if stale else "", "bold attention"))


def _last_seen(daemon: DaemonStatus) -> int | None:
    return daemon.heartbeat_at if daemon.heartbeat_at is not None else daemon.ended_at


def _budget(spend: Spend, width: int) -> list[tuple[int, Text]]:
    """Money at stake outlasts everything but the state: what is spent, of how much, reserved, unknown; the bar only repeats it."""
    parts: list[tuple[int, Text]] = []
    if spend.cap_usd is not None and spend.cap_usd > 0:
        room = 14 if width >= 100 else 6
        share, all_used = spend.usd / spend.cap_usd, spend.used_usd / spend.cap_usd
        role = "bad" if all_used >= 1 else "attention" if all_used >= 0.9 else "good"
        parts += [
            (9, say(("  budget" if width >= 100 else "", "muted"))),
            (8, say("  " if width < 100 else " ", bar(share, room, role))),
        ]
    else:
        parts.append((9, say(("  spent", "muted"))))
    parts.append((1, say(("  " if spend.cap_usd is None else " ", ""), (money(spend.usd, None), "strong"))))
    if spend.reserved_usd >= 0.005:
        parts.append((4, say((f" + {spend.reserved_usd:,.2f}", "attention"))))
    if spend.unknown_usd >= 0.005:
        parts.append((5, say((f" + {spend.unknown_usd:,.2f} unknown", "attention"))))
    if spend.cap_usd is not None:
        parts.append((3, say((f" of {money(spend.cap_usd, None)}", "muted"))))
    return parts


def tabs(number: str, alerts: Sequence[Alert], crumbs: Sequence[str], width: int, links: Links) -> Text:
    """The screens; at the right what needs you, worst first, or how many things do."""
    words = width >= 64
    links.found.clear()
    parts: list[Part] = [" "]
    column = 1
    for key, word in MODES:
        here = key == number
        shown = f" {key} {word} " if words or (here and width >= 30) else f" {key} "
        links.found.append((column, column + len(shown), word.lower()))
        column += len(shown)
        parts.append((shown, "tab") if here else say((f" {key}", "text"), (shown[2:], "muted")))
    left = say(*parts)
    named = [(alert, brief(alert)) for alert in alerts if alert.subject]
    found, right = say(), list(named)
    while right:
        found = say(*(part for _, text in right for part in (text, "  ")))
        more = len(named) - len(right)
        found = say(found, (f"+{more} " if more else "", "muted"))
        if found.cell_len <= width - left.cell_len - 2:
            break
        right.pop()
    if named and not right:
        found = say((f"▲ {len(named)} to look at ", "bold bad"))
        right = named[:1]
        if found.cell_len > width - left.cell_len - 1:
            found = say((f"▲ {len(named)} ", "bold bad"))
    free = width - left.cell_len - found.cell_len - 1
    for start in range(len(crumbs)):  # the last crumbs are where one is
        trail = say(("".join(f" › {one_line(crumb)}" for crumb in crumbs[start:]), "muted"))
        if trail.cell_len <= free:
            left = say(left, trail)
            break
    column = width - found.cell_len
    for alert, text in right:
        end = width if len(right) == 1 else column + text.cell_len + 1
        links.found.append((column, end, alert))
        column += text.cell_len + 2
    return across(left, found, width)


def brief(alert: Alert) -> Text:
    """An alert in two or three words: `■ gpt parked`, `✗ run 7 failed`."""
    kind, _, name = alert.subject.partition(":")
    if kind == "teacher" and "parked" in alert.what:
        return say((f"■ {shortened(name, 16)} parked", "bold bad"))
    if kind == "run" and name:
        return say((f"✗ run {shortened(name, 8)} failed", "bad"))
    if kind == "task":
        return say((f"■ {shortened(name, 16)} held", "attention"))
    if kind == "teacher":
        word = "at its daily limit" if "daily" in alert.what else "failing"
        return say((f"▲ {shortened(name, 16)} {word}", "attention"))
    return say((f"✗ {shortened(alert.what, 24)}", "bad"))


def banner_lines(problem: str, alerts: Sequence[Alert], width: int, most: int) -> list[Text]:
    """The problems in at most `most` lines: what is wrong, what to do, and as much of the reason as fits.

    Each has one line; spare lines go to the first ones that need more.
    """
    whole = ([Alert(what=problem)] if problem else []) + list(alerts)
    more, spare = len(whole) - most, most - len(whole)
    found: list[Text] = []
    for at, alert in enumerate(whole[:most]):
        last = f"  (+{more} more)" if more > 0 and at == most - 1 else ""
        rows = 1 + max(0, spare)
        wrapped = textwrap.wrap(
            _alert(alert, rows * (width - 4) - len(last) - WORD * (rows - 1)),
            max(1, width - 4 - len(last)),
            max_lines=rows,
            placeholder=" …",
        ) or [""]
        spare -= len(wrapped) - 1
        found += [
            truncated(say(" ▲ " if row == 0 else "   ", text), width) for row, text in enumerate(wrapped)
        ]
        found[-1].append(last)
    return found


def _alert(alert: Alert, room: int) -> str:
    """The problem, its reason and the remedy; the reason is cut so that the rest fits."""
    what, why = one_line(alert.what), one_line(alert.why)
    remedy = f" → {one_line(alert.remedy)}" if alert.remedy else ""
    room -= len(what) + len(remedy) + 2
    return what + (f": {shortened(why, room)}" if why and room >= 12 else "") + remedy


def footer(given: Sequence[tuple[str, str]], remapped: Mapping[str, str], width: int, links: Links) -> Text:
    """The keys that do something here, (id, words), the most used first; at the right how to leave."""

    def shown(name: str, words: str) -> Text:
        key = key_label(_BY_ID[name], remapped).split(" ")[0]
        return say((key, "key"), (f" {words}", "muted"))

    links.found.clear()
    leave = say(shown("quit", "leave"), " ")
    links.found.append((width - leave.cell_len, width, _BY_ID["quit"].action))
    left, column = say(" "), 1
    for name, words in given:
        item = shown(name, words)
        if name == "quit":
            continue
        if column + item.cell_len + 2 > width - leave.cell_len:
            break
        links.found.append((column, column + item.cell_len, _BY_ID[name].action))
        left, column = say(left, item, "   "), column + item.cell_len + 3
    return across(left, leave, width)
