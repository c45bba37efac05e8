"""How every display writes durations, counts, shares and money; and the status in one line.

`status_line` is safe for a terminal whatever the database holds.
"""

from __future__ import annotations

import math
import textwrap
import time

from state.safe import safe
from state.views.status_records import Accuracy, RunStatus, Spend, Status, TaskStatus


def duration(seconds: float | None) -> str:
    """Two units at most: `48s`, `6m05s`, `2h14m`, `3d04h`."""
    if seconds is None:
        return "–"
    whole = max(0, round(seconds))
    if whole < 60:
        return f"{whole}s"
    if whole < 3_600:
        return f"{whole // 60}m{whole % 60:02}s"
    if whole < 86_400:
        return f"{whole // 3_600}h{whole % 3_600 // 60:02}m"
    return f"{whole // 86_400}d{whole % 86_400 // 3_600:02}h"


def age(seconds: float | None) -> str:
    """How long ago something was, in one unit below an hour: `48s`, `6m`, `2h14m`, `3d04h`."""
    if seconds is None or not 60 <= (whole := max(0, round(seconds))) < 3_600:
        return duration(seconds)
    return f"{whole // 60}m"


def latency(ms: float | None) -> str:
    """How long an answer took: `0.8s`, `12s`; milliseconds below a tenth of a second."""
    if ms is None:
        return "–"
    return f"{ms:.0f}ms" if ms < 100 else f"{ms / 1000:.1f}s" if ms < 9_950 else duration(ms / 1000)


def rate(a_second: float | None) -> str:
    """How many a second: `27.3/s`."""
    return "–" if a_second is None else f"{a_second:,.1f}/s" if a_second < 1_000 else f"{short(a_second)}/s"


def clock(ms: int, *, seconds: bool = True) -> str:
    """The local time of a moment in UTC milliseconds: `14:32:07`."""
    return time.strftime("%H:%M:%S" if seconds else "%H:%M", time.localtime(ms / 1000))


def count(number: float) -> str:
    """A whole number: `3,812`."""
    return f"{round(number):,}"


def counted(number: float, noun: str, several: str = "") -> str:
    """`1 sample`, `2 samples`; `several` where the plural is not the noun with an s."""
    return f"{count(number)} {noun}" if round(number) == 1 else f"{count(number)} {several or f'{noun}s'}"


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
    """A share of 0 to 1 as percent: `66 %`, with one digit `66.0 %`."""
    return "–" if share is None else f"{100 * share:.{digits}f} %"


def interval(share: float, low: float, high: float) -> str:
    """An accuracy with its interval, in percent: `66.0 (58.1–73.1)`."""
    return f"{100 * share:.1f} ({100 * low:.1f}–{100 * high:.1f})"


def accuracy_words(found: Accuracy | None) -> str:
    """An accuracy with all that it takes to judge it: `66.0 (58.1–73.1), n = 150, seed 0`."""
    if found is None:
        return "–"
    seed = f", seed {found.seed}" if found.seed is not None else ""
    return f"{interval(found.accuracy, found.low, found.high)}, n = {count(found.n)}{seed}"


def money(usd: float, cap: float | None) -> str:
    """`$3.12`, or with its cap `$3.12 of $5.00`; less than a cent has four digits."""
    return _amount(usd) + (f" of {_amount(cap)}" if cap is not None else "")


def spending(spend: Spend) -> str:
    """The three figures that count against the cap: "spent $3.10 of $5.00, reserved $0.02, unknown $0.00"."""
    reserved, unknown = money(spend.reserved_usd, None), money(spend.unknown_usd, None)
    return f"spent {money(spend.usd, spend.cap_usd)}, reserved {reserved}, unknown {unknown}"


def exact_spending(spent: float, reserved: float, unknown: float, cap: float | None) -> str:
    """The same with more digits: "$0.0198 of $0.02 spent, $0.0000 reserved, $0.0001 unknown"."""
    digits = 4 if cap is None or cap >= 0.01 else 6
    of = f" of {_cap(cap)}" if cap is not None else ""
    return f"${spent:,.{digits}f}{of} spent, ${reserved:,.{digits}f} reserved, ${unknown:,.{digits}f} unknown"


def _cap(usd: float) -> str:
    """A cap as it was configured: `$5.00`, `$0.02`, `$0.0125`."""
    text = f"{usd:,.6f}".rstrip("0")
    whole, _, digits = text.partition(".")
    return f"${whole}.{digits:0<2}"


def _amount(usd: float) -> str:
    return f"${usd:,.2f}" if usd >= 0.01 or usd == 0 else f"${usd:.4f}"


def per_thousand(usd: float | None) -> str:
    """The cost of a thousand of what costs `usd`: `$6.90`, `$0.095`; a dash where it is not known."""
    if usd is None:
        return "–"
    thousand = 1000 * usd
    return (
        f"${thousand:,.2f}" if thousand >= 1 else f"${thousand:.3f}" if thousand >= 0.001 else cost(thousand)
    )


def dollars(usd: float | None) -> str:
    """A price, in cents where they are enough, else with three significant digits: `$0.000123`."""
    if usd is None:
        return "–"
    if usd >= 0.1 or usd == 0:
        return f"${usd:.2f}"
    return f"${usd:.{min(8, 2 - math.floor(math.log10(usd)))}f}"


def cost(usd: float | None) -> str:
    """A price with three significant digits: `$0.0123`, `$0.00000412`; a dash where it is not known."""
    if usd is None:
        return "–"
    if usd <= 0:
        return "$0"
    return f"${usd:.{max(2, 2 - math.floor(math.log10(usd)))}f}"


def status_line(status: Status) -> str:
    """The status in one printable line, for logs and displays without a terminal."""
    daemon = status.daemon
    parts = [f"{daemon.state} {duration(daemon.uptime_s)}" if daemon.uptime_s else daemon.state]
    parts.append(money(status.spend.usd, status.spend.cap_usd))
    if daemon.alive:
        heartbeat = status.heartbeat
        rate = f"{heartbeat.requests_per_second:.1f} req/s"
        parts.append(rate + (f", {percent(heartbeat.share_429, 1)} 429s" if heartbeat.share_429 else ""))
    parts += [_task(task) for task in status.tasks]
    parts += [_run(run) for run in status.active_runs]
    parts += [f"! {textwrap.shorten(notice, 120, placeholder='…')}" for notice in status.notices]
    return safe(" | ".join(parts)).replace("\n", " ").replace("\t", " ")


def _task(task: TaskStatus) -> str:
    if task.trigger is None:
        text = f"{task.name} {count(task.accepted)} {task.good_word}"
    else:
        text = f"{task.name} {task.trigger.text()}"
    if task.correct_share is not None:
        text += f", {percent(task.correct_share)} correct"
    timed = task.trigger is not None and task.trigger.progress.unit == "seconds"  # it says itself when
    return text + (f" ETA {duration(task.eta_s)}" if task.eta_s is not None and not timed else "")


def _run(run: RunStatus) -> str:
    text = f"run {run.id} {run.student}/{run.task} {run.state_text}"
    text += f" {run.step}/{run.steps}" if run.steps else ""  # a base that is measured has none
    text += f" loss {run.loss:.3f}" if run.loss is not None else ""
    return text + (f" ETA {duration(run.eta_s)}" if run.eta_s is not None else "")
