"""The lines around every screen: header, banner, key hints, footer with breadcrumbs. Pure.

Invariants: a line that is too long loses whole parts, the least important first; the daemon's state and the age of the
data are always shown.
"""

from __future__ import annotations

import textwrap
from collections.abc import Mapping, Sequence

from rich.text import Text

from state.views.format import duration, money
from state.views.status_records import Alert, Status
from tui.key_bindings import KEYS, key_label
from tui.text import fit_parts, one_line, say, shortened, state_word, truncated

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


def header(status: Status | None, width: int, *, now: int, frozen: bool, readonly: bool, lost: bool) -> Text:
    """The daemon's state and its age, the spending, and the number of problems."""
    if status is None:
        return say(" ", ("reading …", "dim"))
    daemon = status.daemon
    at = daemon.heartbeat_at if daemon.heartbeat_at is not None else daemon.ended_at
    age = duration(max(0, now - at) / 1000) if at is not None else ""
    stale = lost or (at is not None and now - at > 5_000 and daemon.alive)
    parts: list[tuple[int, Text]] = [(0, say(" ", state_word(daemon.state)))]
    if daemon.uptime_s is not None and daemon.alive:
        parts.append((5, say(f" {duration(daemon.uptime_s)}")))
    if age:
        if daemon.alive:
            parts.append((4, say(("  heartbeat", "dim"))))
        parts.append((1, say((f" {age} ago", "bold yellow" if stale else "dim"))))
    if daemon.loop_lag_ms is not None:
        parts.append((7, say((f"  lag {daemon.loop_lag_ms:.0f}ms", "dim"))))
    spend = status.spend
    parts.append((3, say("  spent ", (money(spend.usd, spend.cap_usd), "bold"))))
    if spend.reserved_usd:
        parts.append((6, say((f" +{money(spend.reserved_usd, None)} reserved", "dim"))))
    if spend.unknown_usd:
        parts.append((6, say((f" +{money(spend.unknown_usd, None)} unknown", "yellow"))))
    for kind, word in (("teacher:", "parked"), ("run:", "failed")):
        number = sum(alert.subject.startswith(kind) for alert in status.alerts)
        if number:
            parts.append((2, say("  ", (f"✗ {number} {word}", "bold red"))))
    if frozen:
        parts.append((2, say("  ", ("‖ frozen", "bold yellow"))))
    if status.commands:
        parts.append((4, say((f"  ◌ {len(status.commands)} queued", "yellow"))))
    if readonly:
        parts.append((8, say(("  read-only", "dim"))))
    return fit_parts(parts, width)


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
            truncated(say(" ! " if row == 0 else "   ", text), width) for row, text in enumerate(wrapped)
        ]
        found[-1].append(last)
    return found


def _alert(alert: Alert, room: int) -> str:
    """The problem, its reason and the remedy; the reason is cut so that the rest fits."""
    what, why = one_line(alert.what), one_line(alert.why)
    remedy = f" → {one_line(alert.remedy)}" if alert.remedy else ""
    room -= len(what) + len(remedy) + 2
    return what + (f": {shortened(why, room)}" if why and room >= 12 else "") + remedy


def key_line(given: Sequence[tuple[str, str]], remapped: Mapping[str, str], width: int) -> Text:
    """The keys that do something here: (id, words), the most useful first."""
    parts: list[tuple[int, Text]] = []
    for need, (name, words) in enumerate(given):
        key = key_label(_BY_ID[name], remapped).split(" ")[0]
        parts.append((need, say(" ", (key, "bold cyan"), (f" {words} ", "dim"))))
    return fit_parts(parts, width)


def footer(number: str, crumbs: Sequence[str], width: int) -> Text:
    """The screens, and the breadcrumbs within this one."""
    trail = say(*(piece for crumb in crumbs for piece in ((" › ", "dim"), (one_line(crumb), "yellow"))))
    words = width >= 62 + trail.cell_len
    parts: list[tuple[str, str]] = []
    for key, word in MODES:
        here = key == number
        parts.append((f" {key} {word} " if words or here else f" {key} ", "reverse bold" if here else "dim"))
    return truncated(say(*parts, trail), width)
