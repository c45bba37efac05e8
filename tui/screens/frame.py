"""What stands around every screen: header, troubles, hints, footer with the way here. Pure.

Invariants: each is cut to the width by leaving out whole parts, the least needed first; the state of the daemon and
the age of what is shown are never left out.
"""

from __future__ import annotations

import textwrap
from collections.abc import Mapping, Sequence

from rich.text import Text

from state.views.format import duration, money
from state.views.status_records import Alert, Status
from tui.keys import KEYS, shown
from tui.text import one_line, say, shortened, state_word

MODES = (
    ("1", "Overview"),
    ("2", "Tasks"),
    ("3", "Teachers"),
    ("4", "Samples"),
    ("5", "Runs"),
    ("6", "Events"),
)
WORD = 12
"""Cells that a line loses to its last word, which stands on the next."""
_BY_ID = {key.id: key for key in KEYS}
Part = tuple[int, Text]
"""A text, and how much it is needed: parts of the highest number are left out first."""


def cut(text: Text, width: int) -> Text:
    """One line at most `width` cells long."""
    text.truncate(max(1, width), overflow="ellipsis")
    return text


def fitted(parts: Sequence[Part], width: int) -> Text:
    """The parts that fit side by side, in their order."""
    kept = list(parts)
    while len(kept) > 1 and sum(text.cell_len for _, text in kept) > width:
        kept.remove(max(kept, key=lambda part: part[0]))
    return cut(say(*(text for _, text in kept)), width)


def header(status: Status | None, width: int, *, now: int, frozen: bool, readonly: bool, lost: bool) -> Text:
    """The daemon's state, how old that is, money, and what is wrong."""
    if status is None:
        return say(" ", ("reading …", "dim"))
    daemon = status.daemon
    at = daemon.heartbeat_at if daemon.heartbeat_at is not None else daemon.ended_at
    age = duration(max(0, now - at) / 1000) if at is not None else ""
    stale = lost or (at is not None and now - at > 5_000 and daemon.alive)
    parts: list[Part] = [(0, say(" ", state_word(daemon.state)))]
    if daemon.uptime_s is not None and daemon.alive:
        parts.append((5, say(f" {duration(daemon.uptime_s)}")))
    if age:
        if daemon.alive:
            parts.append((4, say(("  pulse", "dim"))))
        parts.append((1, say((f" {age} ago", "bold yellow" if stale else "dim"))))
    if daemon.loop_lag_ms is not None:
        parts.append((7, say((f"  lag {daemon.loop_lag_ms:.0f}ms", "dim"))))
    parts.append((3, say("  spend ", (money(status.spend.usd, status.spend.cap_usd), "bold"))))
    for kind, word in (("teacher:", "parked"), ("run:", "failed")):
        number = sum(trouble.subject.startswith(kind) for trouble in status.alerts)
        if number:
            parts.append((2, say("  ", (f"✗ {number} {word}", "bold red"))))
    if frozen:
        parts.append((2, say("  ", ("‖ frozen", "bold yellow"))))
    if status.commands:
        parts.append((4, say((f"  ◌ {len(status.commands)} asked", "yellow"))))
    if readonly:
        parts.append((8, say(("  read-only", "dim"))))
    return fitted(parts, width)


def trouble_lines(problem: str, alerts: Sequence[Alert], width: int, most: int) -> list[Text]:
    """What is wrong, in at most `most` lines: what and what to do, and of the reason as much as there is room for.

    Each has a line; where some are left over, the first ones that need more have them.
    """
    whole = ([Alert(what=problem)] if problem else []) + list(alerts)
    more, spare = len(whole) - most, most - len(whole)
    found: list[Text] = []
    for at, trouble in enumerate(whole[:most]):
        last = f"  (+{more} more)" if more > 0 and at == most - 1 else ""
        rows = 1 + max(0, spare)
        wrapped = textwrap.wrap(
            _trouble(trouble, rows * (width - 4) - len(last) - WORD * (rows - 1)),
            max(1, width - 4 - len(last)),
            max_lines=rows,
            placeholder=" …",
        ) or [""]
        spare -= len(wrapped) - 1
        found += [cut(say(" ! " if row == 0 else "   ", text), width) for row, text in enumerate(wrapped)]
        found[-1].append(last)
    return found


def _trouble(trouble: Alert, room: int) -> str:
    """What, why and the remedy, the reason cut so that all of it fits where it can."""
    what, why = one_line(trouble.what), one_line(trouble.why)
    remedy = f" → {one_line(trouble.remedy)}" if trouble.remedy else ""
    room -= len(what) + len(remedy) + 2
    return what + (f": {shortened(why, room)}" if why and room >= 12 else "") + remedy


def hints(given: Sequence[tuple[str, str]], remapped: Mapping[str, str], width: int) -> Text:
    """Keys that do something here: (id, words), the most useful first."""
    parts: list[Part] = []
    for need, (name, words) in enumerate(given):
        key = shown(_BY_ID[name], remapped).split(" ")[0]
        parts.append((need, say(" ", (key, "bold cyan"), (f" {words} ", "dim"))))
    return fitted(parts, width)


def footer(number: str, crumbs: Sequence[str], width: int) -> Text:
    """The screens, and the way to what is shown."""
    way = say(*(piece for crumb in crumbs for piece in ((" › ", "dim"), (one_line(crumb), "yellow"))))
    words = width >= 62 + way.cell_len
    parts: list[tuple[str, str]] = []
    for key, word in MODES:
        here = key == number
        parts.append((f" {key} {word} " if words or here else f" {key} ", "reverse bold" if here else "dim"))
    return cut(say(*parts, way), width)
