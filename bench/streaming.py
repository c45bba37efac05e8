"""What streaming costs in CPU for each sample, beside answers in one piece: `python -m bench.streaming`."""

from __future__ import annotations

import json

from bench.cli import alone
from bench.daemon_fixture import measured
from bench.server import running
from bench.tables import Row, Table, ratio

SIZES = (1_300, 40_000)
"""Bytes of an answer: a rationale, and a long chain of reasoning."""
REQUESTS = {1_300: 10_000, 40_000: 500}
WORKERS = 100


def bench(quick: bool) -> Table:
    """The client alone, streamed and not, in turns: the rest of the daemon sees the same answer."""
    rows = []
    for size in SIZES:
        requests = REQUESTS[size] // (10 if quick else 1)
        with running(answer_bytes=size) as server:
            whole, streamed = 0.0, 0.0
            for _ in range(2):
                whole += _cpu_s(server.url, requests)
                streamed += _cpu_s(server.url, requests, "--stream")
        each, per = 1e6 / (2 * requests), f"{size / 1000:g} kB"
        rows.append(
            Row(
                f"CPU of the client per sample, streamed, {per}",
                f"{streamed * each:,.0f} µs",
                f"{whole * each:,.0f} µs in one piece",
                ratio(streamed, whole),
            )
        )
        rows.append(
            Row(
                f"&nbsp; per event of about 4 bytes, {per}",
                f"{(streamed - whole) * each / (size / 4):.1f} µs",
            )
        )
    return Table(
        "Streaming",
        f"The client alone, {WORKERS} in flight, a teacher that answers immediately with an event for each token.",
        rows,
    )


def _cpu_s(url: str, requests: int, *more: str) -> float:
    ran = measured("bench.parts", "client", url, f"--requests={requests}", f"--workers={WORKERS}", *more)
    return float(json.loads(ran.output)["cpu_s"])


if __name__ == "__main__":
    alone(bench)
