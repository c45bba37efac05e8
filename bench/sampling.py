"""CPU for each durable, graded sample, and samples a second: `python -m bench.sampling`."""

from __future__ import annotations

import json

from bench.cli import alone
from bench.daemon_fixture import bare, house, measured
from bench.server import running
from bench.tables import Row, Table, ratio

QUESTIONS = 5_000
RATIONALES = 4
WORKERS = 100
UNLIMITED = 10_000_000


def bench(quick: bool) -> Table:
    """The daemon against the bare loop on a teacher that answers at once."""
    rationales = 1 if quick else RATIONALES
    samples = QUESTIONS * rationales
    with running() as server, house() as home:
        home.furnish(
            server.url,
            questions=QUESTIONS,
            rationales=rationales,
            concurrency=WORKERS,
            requests_per_minute=UNLIMITED,
        )
        ran = home.start().ended()
        counts = home.counts()
        if counts["accepted"] != samples or ran.code:  # a figure of failed work is none
            raise RuntimeError(f"exit {ran.code}, {counts}: {ran.output[-2000:]}")
        times = server.stats()["accepted"]
        again = home.start().ended(look_s=0.02)  # finished work: what a start costs
        reference, seconds = bare(server.url, samples, WORKERS)
        client = _part("client", server.url, f"--requests={samples}", f"--workers={WORKERS}")
        with house() as other:
            other.furnish(server.url, questions=QUESTIONS, rationales=rationales)
            storing = _part("storing", str(other.folder / "config.toml"))
    after = ran.cpu_s - again.cpu_s
    return Table(
        "CPU a sample",
        f"{samples:,} durable, graded samples, {WORKERS} in flight, a teacher that answers at once.",
        [
            Row(
                "CPU a sample, whole process",
                f"{_us(ran.cpu_s, samples)} µs",
                f"{_us(reference.cpu_s, samples)} µs",
                ratio(ran.cpu_s, reference.cpu_s),
                "≤ 200 µs",
            ),
            Row("&nbsp; start, and the report at the end", f"{_us(again.cpu_s, samples)} µs"),
            Row("&nbsp; requests and answers: the client by itself", f"{_us(client, samples)} µs"),
            Row("&nbsp; claims and storing by themselves", f"{_us(storing, samples)} µs"),
            Row(
                "&nbsp; all else: limits, turns, grading, hand-overs",
                f"{_us(after - client - storing, samples)} µs",
            ),
            Row(
                "samples a second, first to last",
                f"{samples / (times[-1] - times[0]):,.0f}",
                f"{samples / seconds:,.0f}",
                ratio(samples / (times[-1] - times[0]), samples / seconds),
            ),
            Row("worst loop lag", f"{ran.loop_lag_ms:.0f} ms"),
            Row("worst commit lag", f"{ran.commit_lag_ms:.0f} ms", wanted="≤ 250 ms"),
            Row("resident memory, at most", f"{ran.memory_mb:.0f} MB", f"{reference.memory_mb:.0f} MB"),
        ],
    )


def _part(*arguments: str) -> float:
    """CPU seconds of one part of the daemon's work, alone in a process of its own."""
    return float(json.loads(measured("bench.parts", *arguments).output)["cpu_s"])


def _us(seconds: float, samples: int) -> str:
    return f"{seconds / samples * 1e6:.0f}"


if __name__ == "__main__":
    alone(bench)
