"""How much of a limit is used, and at what price in refusals: `python -m bench.limits`."""

from __future__ import annotations

from bench.cli import alone
from bench.daemon_fixture import house
from bench.server import running
from bench.tables import Row, Table

LIMIT = 3_000
FIRST_S = 2.0
"""The share used is counted from here on: before, the server gives what it had saved up."""


def bench(quick: bool) -> Table:
    """A rate, a refusal of everything, and a limit of requests at once."""
    seconds = 8 if quick else 15
    rows = [
        _rate("right", LIMIT, seconds, "≥ 99 %, ≤ 5 429s"),
        _rate("twice too high", 2 * LIMIT, seconds, "≥ 95 %"),
        _rate("unset", None, seconds, "≥ 95 %"),
        _storm(),
        _at_once(),
    ]
    about = (
        f"A server that takes {LIMIT:,} requests a minute (50 a second), asked for about {seconds} s each."
    )
    return Table("Limits", about, rows)


def _rate(said: str, configured: int | None, seconds: int, wanted: str) -> Row:
    samples = LIMIT // 60 * seconds
    with running(requests_per_minute=LIMIT, delay_ms=50) as server, house() as home:
        limits = {} if configured is None else {"requests_per_minute": configured}
        home.furnish(server.url, questions=samples, **limits)
        ran = home.start().ended()
        stats = server.stats()
    accepted = stats["accepted"]
    late = [moment for moment in accepted if moment >= accepted[0] + FIRST_S]
    rest = (len(late) - 1) / ((late[-1] - late[0]) * LIMIT / 60)
    return Row(
        f"limit {said}: share used",
        f"{rest:.1%}, {stats['refused']} 429s" + _unless_zero(ran.code),
        wanted=wanted,
    )


def _storm() -> Row:
    with running(refuse_s=8, retry_after=5, delay_ms=50) as server, house() as home:
        home.furnish(server.url, questions=200)
        ran = home.start().ended()
        stats, counts = server.stats(), home.counts()
    seen = stats["seen"]
    return Row(
        "200 requests, 429 with Retry-After 5 for 8 s",
        f"{counts['stored']} of 200 in {seen[-1] - seen[0] + 0.05:.1f} s with {len(seen)} calls"
        + _unless_zero(ran.code),
        wanted="200 in ≤ 10 s, ≤ 240 calls",
    )


def _at_once() -> Row:
    with running(concurrency=20, delay_ms=200) as server, house() as home:
        home.furnish(server.url, questions=1_000)
        ran = home.start().ended()
        stats, counts = server.stats(), home.counts()
    seen = stats["seen"]
    return Row(
        "1,000 requests of 200 ms, 20 at once are taken",
        f"{counts['stored']} in {seen[-1] - seen[0] + 0.2:.1f} s, {stats['refused']} 429s"
        + _unless_zero(ran.code),
        wanted="≤ 12 s (10 are possible)",
    )


def _unless_zero(code: int) -> str:
    return f", exit {code}" if code else ""


if __name__ == "__main__":
    alone(bench)
