"""What panels cost: `python -m bench.panels [--quick] [--before FOLDER]`.

A panel of three, one of them slow, over 100,000 questions: the daemon's memory, and how far the others are ahead. With FOLDER, a checkout of another
version: CPU for each sample of an ordinary plan, there and here in turn.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import statistics
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from bench.daemon_fixture import ROOT, Daemon, DaemonFixture, daemon_fixture
from bench.server import running
from bench.tables import Row, Table
from state import sqlite
from state.database import open_reader
from state.errors import StateError

QUESTIONS = 100_000
FAST, SLOW = ("quick-a", "quick-b"), "slow"
AHEAD, GROWTH_MB, CPU_SHARE = 256, 50.0, 0.03
"""The limits: questions ahead, megabytes of growth after the first tenth of the questions, and the share of additional CPU."""
SLOW_MS, SLOW_AT_ONCE = 10, 8
PAIRS, SAMPLES = 9, 5_000
CONFIG = """\
[teachers.quick-a]
base_url = "{fast}"
model = "quick-a"
concurrency = 16
[teachers.quick-b]
base_url = "{fast}"
model = "quick-b"
concurrency = 16
[teachers.slow]
base_url = "{slow}"
model = "slow"
concurrency = {at_once}
[tasks.sums]
source = "sums.jsonl"
answer = "number"
dev = 0
[[plans]]
name = "panel"
strategy = "brainstorm"
teachers = ["quick-a", "quick-b", "slow"]
rounds = 3
"""


def memory(quick: bool) -> list[Row]:
    """The daemon over all questions of a panel with a slow member."""
    questions = QUESTIONS // 10 if quick else QUESTIONS
    with running() as fast, running(delay_ms=SLOW_MS) as slow, daemon_fixture() as fixture:
        fixture.populate(fast.url, questions=questions)
        text = CONFIG.format(fast=fast.url, slow=slow.url, at_once=SLOW_AT_ONCE)
        (fixture.folder / "config.toml").write_text(text, encoding="utf-8")
        started = time.monotonic()
        seen = _watch(fixture, fixture.start(), questions)
        took = time.monotonic() - started
        stored = fixture.counts()["stored"]
    if stored != 3 * questions:
        raise RuntimeError(f"{stored:,} of {3 * questions:,} samples were stored")
    settled = [(done, size) for done, size, _ in seen if done >= questions // 10]
    first = settled[0][1]
    sampling, ending = (
        [size for done, size in settled if (done < questions) is still] for still in (True, False)
    )
    shown = ", ".join(f"{size:.0f} at {done:,}" for done, size in _tenths(settled, questions))
    ahead = max(lead for _, _, lead in seen)
    return [
        Row(f"{questions:,} questions, {stored:,} samples, one member slow", f"{took:.0f} s, {stored / took:,.0f} samples/s"),
        Row("resident memory, MB, at questions of the slow member", shown),
        Row(
            "growth from a tenth of the questions on, until all are sampled",
            f"{max(sampling) - first:.0f} MB",
            wanted=f"≤ {GROWTH_MB:.0f} MB",
        ),
        Row("most after that, while the report is written", f"{max(ending, default=sampling[-1]):.0f} MB"),
        Row("most questions that a member was ahead of the slow one", f"{ahead:,}", wanted=f"≤ {AHEAD} and what is in flight"),
    ]  # fmt: skip


def _watch(fixture: DaemonFixture, daemon: Daemon, questions: int) -> list[tuple[int, float, int]]:
    """Questions of the slow member, resident megabytes and the lead of the fastest one, once a second until the end."""
    seen: list[tuple[int, float, int]] = []
    while daemon.process.poll() is None:
        with contextlib.suppress(StateError, sqlite.DatabaseError, OSError, KeyError):
            size = _resident_mb(daemon.process.pid)
            with contextlib.closing(open_reader(fixture.database)) as connection:
                rows = dict(connection.execute("SELECT name, stored FROM plan").fetchall())
            slow = rows[f"panel.{SLOW}"]
            seen.append((slow, size, max(rows[f"panel.{name}"] for name in FAST) - slow))
        time.sleep(1.0)
    if daemon.process.returncode:
        daemon.sink.seek(0)
        raise RuntimeError(daemon.sink.read().decode("utf-8", "replace")[-2000:])
    return seen


def _resident_mb(pid: int) -> float:
    pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 2**20


def _tenths(seen: Sequence[tuple[int, float]], questions: int) -> list[tuple[int, float]]:
    """The first figure after each tenth of the questions."""
    wanted = [questions * part // 10 for part in (1, 2, 4, 6, 8)]
    return [next(each for each in seen if each[0] >= least) for least in wanted] + [seen[-1]]


def cost(before: Path, quick: bool) -> list[Row]:
    """CPU for each sample of an ordinary plan, in another version and in this one, in turn."""
    found: dict[str, list[float]] = {"before": [], "now": []}
    with running() as server:
        for pair in range(3 if quick else PAIRS):
            order = (("before", before), ("now", ROOT))
            for name, root in order if pair % 2 else order[::-1]:
                found[name].append(_cpu_us(server.url, root))
    shares = [now / then - 1 for now, then in zip(found["now"], found["before"], strict=True)]
    each = ", ".join(f"{100 * share:+.1f}" for share in shares)
    return [
        Row("CPU per sample of an ordinary plan, median", f"{statistics.median(found['now']):.0f} µs", f"{statistics.median(found['before']):.0f} µs"),
        Row(
            f"more than in the other version, median of {len(shares)} pairs",
            f"{100 * statistics.median(shares):+.1f} %",
            wanted=f"≤ {100 * CPU_SHARE:.0f} %",
        ),
        Row("&nbsp; each pair, %", each),
    ]  # fmt: skip


def _cpu_us(url: str, root: Path) -> float:
    """CPU microseconds for each sample of a daemon of a version, from a tenth of the samples to nine tenths: without its start and its end."""
    with daemon_fixture(root) as fixture:
        fixture.populate(url, questions=SAMPLES, concurrency=100, requests_per_minute=10_000_000)
        daemon, seen = fixture.start(), [(0, 0.0)]
        while daemon.process.poll() is None:
            with contextlib.suppress(StateError, sqlite.DatabaseError, OSError, TypeError):
                used = _cpu_of(daemon.process.pid)
                with contextlib.closing(open_reader(fixture.database)) as connection:
                    seen.append((*connection.execute("SELECT stored FROM plan").fetchone(), used))
            time.sleep(0.05)
        if daemon.process.returncode or fixture.counts()["accepted"] != SAMPLES:
            raise RuntimeError(f"exit {daemon.process.returncode}, {fixture.counts()}")
    first, last = (next(each for each in seen if each[0] >= SAMPLES * part // 10) for part in (1, 9))
    return (last[1] - first[1]) / (last[0] - first[0]) * 1e6


def _cpu_of(pid: int) -> float:
    """User and system seconds of all threads of a process."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def main(argv: list[str] | None = None) -> int:
    """Prints the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="fewer questions and pairs")
    parser.add_argument(
        "--before", type=Path, metavar="FOLDER", help="a checkout of the version to compare with"
    )
    parser.add_argument("--only", choices=("memory", "cpu"), help="one of both")
    chosen = parser.parse_args(argv)
    parts: list[Callable[[], list[Row]]] = []
    if chosen.before is not None and chosen.only != "memory":
        parts.append(lambda: cost(chosen.before.resolve(), chosen.quick))
    if chosen.only != "cpu":
        parts.append(lambda: memory(chosen.quick))
    rows = [row for part in parts for row in part()]
    print(Table("Panels", "The reference is the other version.", rows).markdown())
    return 0


if __name__ == "__main__":
    sys.exit(main())
