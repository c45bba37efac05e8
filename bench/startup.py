"""How long a person waits: help, status, a second run, a run after kill -9: `python -m bench.startup`."""

from __future__ import annotations

import time
from statistics import median

from bench.cli import alone
from bench.daemon_fixture import House, Ran, house, measured
from bench.server import running
from bench.tables import Row, Table, ratio

SAMPLES = 2_000


def bench(quick: bool) -> Table:
    """Each the best of three, but for the kill."""
    samples = SAMPLES // 2 if quick else SAMPLES
    rows = []
    with running(delay_ms=100) as server, house() as home:
        home.furnish(server.url, questions=samples, concurrency=50)
        killed = home.start()
        killed.ended(each=lambda: len(server.stats()["seen"]) >= samples // 2, look_s=0.02)
        before = home.counts()
        stats = server.stats()
        answered, sent = len(stats["accepted"]), len(stats["seen"])
        started = time.monotonic()
        second = home.start()
        first_s = 0.0

        def looked() -> bool:
            nonlocal first_s
            if not first_s and len(server.stats()["seen"]) > sent:
                first_s = time.monotonic() - started
            return False

        ended = second.ended(each=looked, look_s=0.02)
        after = home.counts()
        rows += [
            Row("kill -9 half-way: first new request", f"{first_s:.2f} s", wanted="< 2 s"),
            Row(
                "  stored in the end, lost, surplus calls",
                f"{after['stored']} of {samples}, {before['stored'] - min(before['stored'], after['stored'])}"
                f" lost, {len(server.stats()['accepted']) - samples} surplus"
                f" ({after.get('unknown', 0)} attempts unknown)"
                + (f", exit {ended.code}" if ended.code else ""),
                wanted=f"all, 0, at most {min(50, answered)} in flight",
            ),
            _best("second run on finished work", home, "run", "--until-idle", "--no-tui"),
            _status(home, 5 if quick else 15),
        ]
    rows.append(_best("coterie --help", home, "--help"))
    return Table("Start", f"{samples:,} samples, 50 in flight, 100 ms each.", rows)


def _best(what: str, home: House, *arguments: str) -> Row:
    runs: list[Ran] = [home.command(*arguments) for _ in range(3)]
    code = max(run.code for run in runs)
    wall, cpu = min(run.wall_s for run in runs), min(run.cpu_s for run in runs)
    return Row(what, f"{wall:.2f} s, CPU {cpu:.2f} s" + (f", exit {code}" if code else ""))


def _status(home: House, runs: int) -> Row:
    """CPU of `coterie status` against a library that most Python programs import, turn by turn."""
    pairs = [
        (home.command("status"), measured("timeit", "-n1", "-r1", "import pydantic")) for _ in range(runs)
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
