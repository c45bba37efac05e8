"""One line of status, and the words for durations, counts and shares that every display uses.

`status_line` is safe for a terminal whatever the database holds.
"""

from __future__ import annotations

import math
import textwrap

from state.safe import safe
from state.views.status_records import RunStatus, Status, TaskStatus


def duration(seconds: float | None) -> str:
    """Two units at most: `48s`, `6m05`, `2h14`, `3d04h`."""
    if seconds is None:
        return "–"
    whole = max(0, round(seconds))
    if whole < 60:
        return f"{whole}s"
    if whole < 3_600:
        return f"{whole // 60}m{whole % 60:02}"
    if whole < 86_400:
        return f"{whole // 3_600}h{whole % 3_600 // 60:02}"
    return f"{whole // 86_400}d{whole % 86_400 // 3_600:02}h"


def count(number: float) -> str:
    """A whole number with thin groups: `3 812`."""
    return f"{round(number):,}".replace(",", " ")


def short(number: float | None) -> str:
    """A number in about four cells: `812`, `3.8k`, `1.2M`."""
    if number is None:
        return "–"
    for limit, unit in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if abs(number) >= limit:
            value = number / limit
            return f"{value:.1f}{unit}" if value < 100 else f"{value:.0f}{unit}"
    return f"{number:.0f}" if number >= 100 or float(number).is_integer() else f"{number:.1f}"


def percent(share: float | None, digits: int = 0) -> str:
    """A share of 0 to 1 as percent."""
    return "–" if share is None else f"{100 * share:.{digits}f}%"


def money(usd: float, cap: float | None) -> str:
    """`$3.12 / 5.00`; cents only where they matter."""
    digits = 2 if usd >= 0.01 or usd == 0 else 4
    return f"${usd:.{digits}f}" + (
        f" / {cap:.{2 if cap >= 0.01 or cap == 0 else 4}f}" if cap is not None else ""
    )


def dollars(usd: float | None) -> str:
    """A small price, three digits that count: `$0.000123`; in cents where they are enough."""
    if usd is None:
        return "–"
    if usd >= 0.1 or usd == 0:
        return f"${usd:.2f}"
    return f"${usd:.{min(8, 2 - math.floor(math.log10(usd)))}f}"


def cost(usd: float | None) -> str:
    """What one thing cost, in three figures: `$0.0123`, `$0.00000412`; a dash where it is not known."""
    if usd is None:
        return "–"
    if usd <= 0:
        return "$0"
    return f"${usd:.{max(2, 2 - math.floor(math.log10(usd)))}f}"


def status_line(status: Status) -> str:
    """The status in one line of printable text, for logs and displays without a terminal."""
    daemon = status.daemon
    parts = [f"{daemon.state} {duration(daemon.uptime_s)}" if daemon.uptime_s else daemon.state]
    parts.append(money(status.spend.usd, status.spend.cap_usd))
    if daemon.alive:
        heartbeat = status.heartbeat
        rate = f"{heartbeat.requests_per_second:.1f} req/s"
        parts.append(rate + (f" 429 {percent(heartbeat.share_429, 1)}" if heartbeat.share_429 else ""))
    parts += [_task(task) for task in status.tasks]
    parts += [_run(run) for run in status.active_runs]
    parts += [f"! {textwrap.shorten(notice, 120, placeholder='…')}" for notice in status.notices]
    return safe(" | ".join(parts)).replace("\n", " ").replace("\t", " ")


def _task(task: TaskStatus) -> str:
    if task.trigger is None:
        text = f"{task.name} {task.accepted} accepted"
    else:
        unit = " sampled" if task.trigger.complete else ""
        text = f"{task.name} {task.trigger.have}/{task.trigger.goal}{unit}"
    if task.correct_share is not None:
        text += f" {percent(task.correct_share)} correct"
    return text + (f" ETA {duration(task.eta_s)}" if task.eta_s is not None else "")


def _run(run: RunStatus) -> str:
    text = f"run {run.id} {run.student}/{run.task} {run.state} {run.step}/{run.steps}"
    text += f" loss {run.loss:.3f}" if run.loss is not None else ""
    return text + (f" ETA {duration(run.eta_s)}" if run.eta_s is not None else "")
