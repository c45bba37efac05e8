"""How much of a rate limit is used, and how many requests are refused: `python -m bench.limits`."""

from __future__ import annotations

from bench import servers
from bench.cli import alone
from bench.daemon_fixture import daemon_fixture
from bench.server import running
from bench.tables import Row, Table

LIMIT = 3_000
FIRST_S = 2.0
"""The share is counted after these seconds; before that, the server's full bucket empties."""


def bench(quick: bool) -> Table:
    """A rate limit, a period in which everything is refused, and a concurrency limit."""
    seconds = 8 if quick else 15
    rows = [
        _rate("correct", LIMIT, seconds, "≥ 99 %, ≤ 5 429s"),
        _rate("twice too high", 2 * LIMIT, seconds, "≥ 95 %"),
        _rate("unset", None, seconds, "≥ 95 %"),
        _storm(),
        _at_once(),
        *servers.rows(quick),
    ]
    about = f"A server that accepts {LIMIT:,} requests per minute (50 per second), for about {seconds} s each; then {servers.ABOUT}"
    return Table("Limits", about, rows)


def _rate(setting: str, configured: int | None, seconds: int, wanted: str) -> Row:
    samples = LIMIT // 60 * seconds
    with running(requests_per_minute=LIMIT, delay_ms=50) as server, daemon_fixture() as fixture:
        limits = {} if configured is None else {"requests_per_minute": configured}
        fixture.populate(server.url, questions=samples, **limits)
        ran = fixture.start().ended()
        stats = server.stats()
    accepted = stats["accepted"]
    late = [moment for moment in accepted if moment >= accepted[0] + FIRST_S]
    rest = (len(late) - 1) / ((late[-1] - late[0]) * LIMIT / 60)
    return Row(
        f"limit {setting}: share used",
        f"{rest:.1%}, {stats['refused']} 429s" + _unless_zero(ran.code),
        wanted=wanted,
    )


def _storm() -> Row:
    with running(refuse_s=8, retry_after=5, delay_ms=50) as server, daemon_fixture() as fixture:
        fixture.populate(server.url, questions=200)
        ran = fixture.start().ended()
        stats, counts = server.stats(), fixture.counts()
    seen = stats["seen"]
    return Row(
        "200 requests, 429 with Retry-After 5 for 8 s",
        f"{counts['stored']} of 200 in {seen[-1] - seen[0] + 0.05:.1f} s with {len(seen)} requests"
        + _unless_zero(ran.code),
        wanted="200 in ≤ 10 s, ≤ 240 requests",
    )


def _at_once() -> Row:
    with running(concurrency=20, delay_ms=200) as server, daemon_fixture() as fixture:
        fixture.populate(server.url, questions=1_000)
        ran = fixture.start().ended()
        stats, counts = server.stats(), fixture.counts()
    seen = stats["seen"]
    return Row(
        "1,000 requests of 200 ms, at most 20 in flight",
        f"{counts['stored']} in {seen[-1] - seen[0] + 0.2:.1f} s, {stats['refused']} 429s"
        + _unless_zero(ran.code),
        wanted="≤ 12 s (ideal 10 s)",
    )


def _unless_zero(code: int) -> str:
    return f", exit {code}" if code else ""


if __name__ == "__main__":
    alone(bench)
