"""Servers as they are: full, moody, queueing, scaling; the daemon beside a bare loop: `python -m bench.servers`."""

from __future__ import annotations

import contextlib
import json
import time

from bench.cli import alone
from bench.daemon_fixture import DaemonFixture, FinishedProcess, daemon_fixture, measured
from bench.server import Server, running
from bench.tables import Row, Table, ratio
from state import sqlite
from state.database import open_reader
from state.errors import StateError

SLOTS = 8
MINUTE = 600
QUEUE = 4


ABOUT = (
    "servers that are full, refuse by chance, queue or scale. Their figures are samples per second between the first request and the last"
    " answer. The reference is a bare loop with the best fixed number of requests in flight, right after the daemon; it sends a"
    " refused request again after its `Retry-After`, or 50 ms."
)


def rows(quick: bool) -> list[Row]:
    """The figures of each server."""
    share = 0.4 if quick else 1.0
    return [
        _busy(503, round(271 * share)),
        _busy(429, round(271 * share)),
        _chance(round(2000 * share)),
        _limit(round(600 * share)),
        *_queue(round(480 * share)),
        *_scale(round(20_000 * share)),
    ]


def bench(quick: bool) -> Table:
    """All of them as a table."""
    return Table("Servers", f"Servers as they are: {ABOUT}", rows(quick))


def _sample(
    server: Server, fixture: DaemonFixture, samples: int, **limits: int
) -> tuple[FinishedProcess, float]:
    """Runs the daemon; returns its process and its rate."""
    fixture.populate(server.url, questions=samples, **limits)
    ran = fixture.start().ended()
    counts = fixture.counts()
    if counts["stored"] != samples or ran.code:
        raise RuntimeError(f"exit {ran.code}, {counts}: {ran.output[-2000:]}")
    return ran, samples / _seconds(server)


def _seconds(server: Server) -> float:
    """From the first request to the last answer."""
    stats = server.stats()
    return float(stats["answered"][-1] - stats["seen"][0])


def _bare(server: Server, requests: int, workers: int, per_minute: int | None = None) -> float:
    pace = [] if per_minute is None else [f"--per-minute={per_minute}"]
    ran = measured("bench.bare", server.url, f"--requests={requests}", f"--workers={workers}", *pace)
    found = json.loads(ran.output)
    if found["good"] != requests:
        raise RuntimeError(f"the reference got {found['good']} of {requests} answers")
    return requests / float(found["seconds"])


def _row(what: str, rate: float, bare: float, wanted: str, more: str = "") -> Row:
    return Row(what, f"{rate:,.1f}/s{more}", f"{bare:,.1f}/s", ratio(rate, bare), wanted)


def _busy(status: int, samples: int) -> Row:
    options = {"concurrency": SLOTS, "delay_ms": 1000, "refusal_status": status}
    with running(**options) as server, daemon_fixture() as fixture:
        _, rate = _sample(server, fixture, samples)
        refused = server.stats()["refused"]
    with running(**options) as server:
        bare = _bare(server, samples, SLOTS)
    what = f"{samples} requests of 1 s, more than {SLOTS} get {status} “busy”"
    return _row(what, rate, bare, "≥ 6 a second (271 in 45 s)", f", {refused} refused")


def _chance(samples: int) -> Row:
    options = {"chance": 0.05, "delay_ms": 200, "retry_after": 1}
    with running(**options) as server, daemon_fixture() as fixture:
        _, rate = _sample(server, fixture, samples, concurrency=16)
        refused = server.stats()["refused"]
    with running(delay_ms=200) as server:
        clean = _bare(server, samples, 16)
    what = f"{samples:,} requests of 200 ms, 16 in flight, 5 % get 429 by chance; reference: without refusals"
    return _row(what, rate, clean, "≥ 0.6", f", {refused} refused")


def _limit(samples: int) -> Row:
    options = {"chance": 0.05, "delay_ms": 200, "retry_after": 1, "requests_per_minute": MINUTE}
    with running(**options) as server, daemon_fixture() as fixture:
        _, rate = _sample(server, fixture, samples, requests_per_minute=MINUTE)
        refused = server.stats()["refused"]
    with running(**options) as server:
        bare = _bare(server, samples, 16, per_minute=MINUTE)
    return _row(
        f"the same under a true limit of {MINUTE} a minute",
        rate,
        bare,
        "≥ 9 a second",
        f", {refused} refused",
    )


def _queue(samples: int) -> list[Row]:
    options = {"slots": QUEUE, "delay_ms": 500}
    with running(**options) as server, daemon_fixture() as fixture:
        _, rate = _sample(server, fixture, samples)
        stats = server.stats()
    with running(**options) as server:
        bare = _bare(server, samples, QUEUE)
    late = [
        level for at, level in zip(stats["seen"], stats["levels"], strict=True) if at > stats["seen"][0] + 20
    ]
    return [
        _row(f"{samples} requests of 500 ms, {QUEUE} slots and a queue", rate, bare, "≥ 0.95"),
        Row(
            "most in flight there after 20 s",
            f"{max(late, default=0)}",
            f"{QUEUE}",
            wanted=f"≤ {2 * QUEUE} (within a minute)",
        ),
    ]


def _scale(samples: int) -> list[Row]:
    allowed: list[float] = []
    with running(delay_ms=500) as server, daemon_fixture() as fixture:
        fixture.populate(server.url, questions=samples, requests_per_minute=10_000_000)

        def look() -> bool:
            if not allowed and _cap(fixture) >= 1_000:
                allowed.append(time.monotonic())
            return False

        ran = fixture.start().ended(look)
        if ran.code:
            raise RuntimeError(f"exit {ran.code}: {ran.output[-2000:]}")
        first, rate, most = (
            server.stats()["seen"][0],
            samples / _seconds(server),
            max(server.stats()["levels"]),
        )
        bare = _bare(server, samples, 1_000)
    return [
        _row(f"{samples:,} requests of 500 ms on a server that scales, `concurrency` unset", rate, bare, ""),
        Row(
            "1,000 in flight are allowed there after",
            (f"{allowed[0] - first:.1f} s" if allowed else "never") + f"; at most {most} were",
            wanted="≤ 10 s",
        ),
    ]


def _cap(fixture: DaemonFixture) -> int:
    """The cap in the daemon's latest heartbeat."""
    with (
        contextlib.suppress(StateError, sqlite.DatabaseError, TypeError),
        contextlib.closing(open_reader(fixture.database)) as connection,
    ):
        (data,) = connection.execute("SELECT data FROM pulse ORDER BY at DESC LIMIT 1").fetchone()
        return max((int(teacher["cap"]) for teacher in json.loads(data)["teachers"].values()), default=0)
    return 0


if __name__ == "__main__":
    alone(bench)
