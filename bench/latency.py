"""Many slow requests in flight, 1,000 of 500 ms each: `python -m bench.latency`."""

from __future__ import annotations

from bench.cli import alone
from bench.daemon_fixture import bare, daemon_fixture
from bench.server import running
from bench.tables import Row, Table, ratio

DELAY_MS = 500
IN_FLIGHT = 1_000


def bench(quick: bool) -> Table:
    """The daemon beside the bare loop; the ideal is 2,000 samples per second."""
    samples = 4_000 if quick else 10_000
    with running(delay_ms=DELAY_MS) as server, daemon_fixture() as fixture:
        fixture.populate(server.url, questions=samples, concurrency=IN_FLIGHT, requests_per_minute=10_000_000)
        ran = fixture.start().ended()
        counts = fixture.counts()
        if counts["accepted"] != samples or ran.code:  # figures of failed work mean nothing
            raise RuntimeError(f"exit {ran.code}, {counts}: {ran.output[-2000:]}")
        times = server.stats()["accepted"]
        reference, seconds = bare(server.url, samples, IN_FLIGHT)
    work = times[-1] - times[0] + DELAY_MS / 1000
    return Table(
        "Many slow requests at once",
        f"{samples:,} requests of {DELAY_MS} ms, {IN_FLIGHT:,} in flight: at most 2,000 per second.",
        [
            Row(
                "samples per second after the start",
                f"{samples / work:,.0f}",
                f"{samples / seconds:,.0f}",
                ratio(samples / work, samples / seconds),
                "≥ 1,600",
            ),
            Row(
                "samples per second, whole process",
                f"{samples / ran.wall_s:,.0f}",
                f"{samples / reference.wall_s:,.0f}",
                ratio(samples / ran.wall_s, samples / reference.wall_s),
            ),
            Row(
                "CPU, whole process",
                f"{ran.cpu_s:.1f} s",
                f"{reference.cpu_s:.1f} s",
                ratio(ran.cpu_s, reference.cpu_s),
            ),
            Row("worst loop lag", f"{ran.loop_lag_ms:.0f} ms"),
            Row("worst commit lag", f"{ran.commit_lag_ms:.0f} ms", wanted="≤ 250 ms"),
        ],
    )


if __name__ == "__main__":
    alone(bench)
