"""CPU for each durable, graded sample, and samples per second: `python -m bench.sampling`."""

from __future__ import annotations

import json

from bench.cli import alone
from bench.daemon_fixture import FinishedProcess, bare, daemon_fixture, measured
from bench.server import running
from bench.tables import Row, Table, ratio

QUESTIONS = 5_000
RATIONALES = 4
WORKERS = 100
UNLIMITED = 10_000_000
SIZES = {1_300: 8_000, 4_000: 4_000, 40_000: 1_000}
"""Bytes of an answer, as long as rationales and as chains of reasoning, and samples."""


def bench(quick: bool) -> Table:
    """The daemon beside the bare loop, with a teacher that answers immediately."""
    rationales = 1 if quick else RATIONALES
    samples = QUESTIONS * rationales
    with running() as server:
        ran, again = _daemon(server.url, QUESTIONS, rationales)
        times = server.stats()["accepted"]
        reference, seconds = bare(server.url, samples, WORKERS)
        client = _part("client", server.url, f"--requests={samples}", f"--workers={WORKERS}")
        with daemon_fixture() as other:
            other.populate(server.url, questions=QUESTIONS, rationales=rationales)
            storing = _part("storing", str(other.folder / "config.toml"))
    after = ran.cpu_s - again.cpu_s
    return Table(
        "CPU per sample",
        f"{samples:,} durable, graded samples, {WORKERS} in flight, a teacher that answers immediately.",
        [
            Row(
                "CPU per sample, whole process",
                f"{_us(ran.cpu_s, samples)} µs",
                f"{_us(reference.cpu_s, samples)} µs",
                ratio(ran.cpu_s, reference.cpu_s),
                "≤ 200 µs",
            ),
            Row("&nbsp; start, and the report at the end", f"{_us(again.cpu_s, samples)} µs"),
            Row("&nbsp; requests and responses: the client alone", f"{_us(client, samples)} µs"),
            Row("&nbsp; claims and storing alone", f"{_us(storing, samples)} µs"),
            Row(
                "&nbsp; everything else: limits, turns, grading, queues",
                f"{_us(after - client - storing, samples)} µs",
            ),
            Row(
                "samples per second, first to last",
                f"{samples / (times[-1] - times[0]):,.0f}",
                f"{samples / seconds:,.0f}",
                ratio(samples / (times[-1] - times[0]), samples / seconds),
            ),
            *(_sized(size, samples // (4 if quick else 1)) for size, samples in SIZES.items()),
            Row("worst loop lag", f"{ran.loop_lag_ms:.0f} ms"),
            Row("worst commit lag", f"{ran.commit_lag_ms:.0f} ms", wanted="≤ 250 ms"),
            Row("peak resident memory", f"{ran.memory_mb:.0f} MB", f"{reference.memory_mb:.0f} MB"),
        ],
    )


def _daemon(url: str, questions: int, rationales: int = 1) -> tuple[FinishedProcess, FinishedProcess]:
    """The daemon's process over all its work, and one that finds it finished: the cost of a start."""
    with daemon_fixture() as fixture:
        fixture.populate(
            url,
            questions=questions,
            rationales=rationales,
            concurrency=WORKERS,
            requests_per_minute=UNLIMITED,
        )
        ran = fixture.start().ended()
        counts = fixture.counts()
        if counts["accepted"] != questions * rationales or ran.code:  # figures of failed work mean nothing
            raise RuntimeError(f"exit {ran.code}, {counts}: {ran.output[-2000:]}")
        return ran, fixture.start().ended(look_s=0.02)


def _sized(size: int, samples: int) -> Row:
    """A sample without the start, with answers of this many bytes."""
    with running(answer_bytes=size) as server:
        ran, again = _daemon(server.url, samples)
        reference, _ = bare(server.url, samples, WORKERS)
    cost = ran.cpu_s - again.cpu_s
    return Row(
        f"CPU per sample without the start, answers of {size / 1000:g} kB",
        f"{_us(cost, samples)} µs",
        f"{_us(reference.cpu_s, samples)} µs",
        ratio(cost, reference.cpu_s),
        "≤ 2.00 times" if size == min(SIZES) else "",
    )


def _part(*arguments: str) -> float:
    """CPU seconds of one part of the daemon's work in a process of its own."""
    return float(json.loads(measured("bench.parts", *arguments).output)["cpu_s"])


def _us(seconds: float, samples: int) -> str:
    return f"{seconds / samples * 1e6:.0f}"


if __name__ == "__main__":
    alone(bench)
