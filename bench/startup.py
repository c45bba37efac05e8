"""Waiting times of help, status, a second run and a run after kill -9: `python -m bench.startup`."""

from __future__ import annotations

import time
from statistics import median

from bench.cli import alone
from bench.daemon_fixture import DaemonFixture, FinishedProcess, daemon_fixture, measured
from bench.server import running
from bench.tables import Row, Table, ratio

SAMPLES = 2_000


def bench(quick: bool) -> Table:
    """Each figure is the best of three, except the kill."""
    samples = SAMPLES // 2 if quick else SAMPLES
    rows = []
    with running(delay_ms=100) as server, daemon_fixture() as fixture:
        fixture.populate(server.url, questions=samples, concurrency=50)
        killed = fixture.start()
        killed.ended(each=lambda: len(server.stats()["seen"]) >= samples // 2, look_s=0.02)
        before = fixture.counts()
        stats = server.stats()
        answered, sent = len(stats["accepted"]), len(stats["seen"])
        started = time.monotonic()
        second = fixture.start()
        first_s = 0.0

        def noticed() -> bool:
            nonlocal first_s
            if not first_s and len(server.stats()["seen"]) > sent:
                first_s = time.monotonic() - started
            return False

        ended = second.ended(each=noticed, look_s=0.02)
        after = fixture.counts()
        rows += [
            Row("kill -9 half-way: first new request", f"{first_s:.2f} s", wanted="< 2 s"),
            Row(
                "  stored in the end, lost, surplus requests",
                f"{after['stored']} of {samples}, {before['stored'] - min(before['stored'], after['stored'])}"
                f" lost, {len(server.stats()['accepted']) - samples} surplus"
                f" ({after.get('unknown', 0)} attempts unknown)"
                + (f", exit {ended.code}" if ended.code else ""),
                wanted=f"all, 0, at most {min(50, answered)} in flight",
            ),
            _best("second run on finished work", fixture, "run", "--until-idle", "--no-tui"),
            _status(fixture, 5 if quick else 15),
        ]
    rows.append(_best("coterie --help", fixture, "--help"))
    return Table("Start", f"{samples:,} samples, 50 in flight, 100 ms each.", rows)


def _best(what: str, fixture: DaemonFixture, *arguments: str) -> Row:
    runs: list[FinishedProcess] = [fixture.command(*arguments) for _ in range(3)]
    code = max(run.code for run in runs)
    wall, cpu = min(run.wall_s for run in runs), min(run.cpu_s for run in runs)
    return Row(what, f"{wall:.2f} s, CPU {cpu:.2f} s" + (f", exit {code}" if code else ""))


def _status(fixture: DaemonFixture, runs: int) -> Row:
    """CPU of `coterie status` against a library that most Python programs import, turn by turn."""
    pairs = [
        (fixture.command("status"), measured("timeit", "-n1", "-r1", "import pydantic")) for _ in range(runs)
    ]
    status = median(ran.cpu_s for ran, _ in pairs)
    reference = median(ran.cpu_s for _, ran in pairs)
    return Row(
        "coterie status, CPU",
        f"{status:.3f} s",
        f"import pydantic: {reference:.3f} s",
        ratio(status, reference),
        "≤ 3",
    )


if __name__ == "__main__":
    alone(bench)
