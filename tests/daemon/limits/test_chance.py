"""Refusals that come by chance, and servers that have no room: told from limits by what else is answered."""

from __future__ import annotations

import random
import statistics
from collections.abc import Callable
from typing import Any

import pytest

from daemon.limits.key_limits import KeyLimits
from tests.daemon.simulation import AtOnce, ByChance, ClosedUntil, Result, Server, TokenBucket, simulate

CLEAN = 80.0
"""Answers a second of 16 in flight, 200 ms each."""
MINUTE = 600


def limits(**given: Any) -> Callable[[float], KeyLimits]:
    return lambda now: KeyLimits(now, **given)


def runs(make: Callable[[], Server], seconds: float, seeds: int = 6, **given: Any) -> list[Result]:
    found = []
    for seed in range(seeds):
        server = make()
        server.random = random.Random(seed)
        found.append(simulate(limits(**given), server, seconds=seconds))
    return found


@pytest.mark.parametrize("share", [0.05, 0.1])
@pytest.mark.parametrize("retry_after", [1.0, None])
@pytest.mark.parametrize("refusal_s", [0.0, 0.2])
def test_refusals_by_chance_cost_their_share_and_little_more(
    share: float, retry_after: float | None, refusal_s: float
) -> None:
    told = runs(
        lambda: ByChance(latency=0.2, share=share, retry_after=retry_after, refusal_s=refusal_s),
        30,
        concurrency=16,
    )
    rates = [len(each.accepted) / each.seconds / CLEAN for each in told]
    assert statistics.median(rates) >= 0.75
    assert min(rates) >= 0.5


def test_words_of_a_limit_make_chance_no_limit() -> None:
    for scope in ("tokens", "concurrency"):
        told = runs(lambda scope=scope: ByChance(latency=0.2, scope=scope), 30, concurrency=16)
        assert statistics.median(len(each.accepted) / each.seconds / CLEAN for each in told) >= 0.75


def test_refusals_by_chance_do_not_keep_an_unset_concurrency_from_growing() -> None:
    told = runs(lambda: ByChance(latency=0.2), 8, seeds=3)
    assert statistics.median(each.most for each in told) >= 500


def test_a_configured_limit_is_used_though_some_are_refused_by_chance() -> None:
    told = runs(lambda: ByChance(latency=0.2), 90, requests_per_minute=MINUTE)
    assert statistics.mean(len(each.accepted) / each.seconds / 10 for each in told) >= 0.9
    assert max(each.calls / each.seconds / 10 for each in told) <= 1.02, "the refused ones count as well"


@pytest.mark.parametrize("given", [{}, {"requests_per_minute": 1200}, {"concurrency": 16}])
def test_a_true_limit_is_found_and_kept_among_refusals_by_chance(given: dict[str, int]) -> None:
    told = runs(
        lambda: ByChance(latency=0.2, within=TokenBucket(limit=MINUTE, burst=10)), 120, seeds=4, **given
    )
    assert statistics.median(len(each.accepted) / each.seconds / 10 for each in told) >= 0.75
    assert statistics.median(each.refused / each.calls for each in told) <= 0.2


@pytest.mark.parametrize("given", [{"requests_per_minute": MINUTE}, {"requests_per_minute": 1200}, {}])
def test_a_true_limit_is_doubted_seldom(given: dict[str, int]) -> None:
    result = simulate(limits(**given), TokenBucket(latency=0.2, limit=MINUTE, burst=10), seconds=120)
    assert len(result.accepted) / result.seconds >= 0.95 * 10
    assert result.refused <= (0 if given.get("requests_per_minute") == MINUTE else 80)


def test_chance_ends_when_everything_is_refused() -> None:
    server = ByChance(latency=0.2, retry_after=None)
    key = limits(concurrency=16)
    before = simulate(key, server, seconds=10)
    server = ByChance(latency=0.2, retry_after=None, within=TurnsOff(at=1010.0))
    result = simulate(key, server, seconds=70)
    late = [at for at in result.sends if 12 < at]
    assert len(before.accepted) > 400
    assert len(late) <= 30, "pauses double again"


class TurnsOff(Server):
    """Refuses everything from a time on."""

    def __init__(self, at: float) -> None:
        super().__init__()
        self._closed = ClosedUntil(until=10.0**9, retry_after=None)
        self._at = at

    def judge(self, now: float):  # type: ignore[no-untyped-def]
        return self._closed.judge(now) if now >= self._at else super().judge(now)


@pytest.mark.parametrize("retry_after", [None, 1.0])
def test_a_server_with_eight_slots_that_refuses_more_is_kept_full(retry_after: float | None) -> None:
    result = simulate(limits(), AtOnce(latency=1.0, limit=8, retry_after=retry_after), requests=271)
    assert result.seconds <= 38, "34 seconds at best"
    assert result.refused <= 25


def answered(key: KeyLimits, count: int, now: float, seconds: float = 1.0) -> float:
    """Sends this many requests, one after another."""
    for _ in range(count):
        key.succeeded(key.take(now, 1), now + seconds, 1)
        now += seconds
    return now


def test_an_error_at_once_means_no_room_where_more_are_in_flight_than_ever() -> None:
    key = KeyLimits(0.0)
    now = answered(key, 3, 0.0)
    flying = [key.take(now, 1) for _ in range(7)]
    assert key.busy(flying[-1], now + 0.01)
    key.limited(flying[-1], now + 0.01, None, None, "concurrency")
    assert key.cap == 6


def test_an_error_at_once_means_no_room_where_others_sent_since_are_answered() -> None:
    key = KeyLimits(0.0, concurrency=8)
    now = answered(key, 3, 0.0)
    for one in [key.take(now, 1) for _ in range(8)]:
        key.succeeded(one, now + 1, 1)
    one, other = key.take(now + 2, 1), key.take(now + 2.1, 1)
    assert not key.busy(one, now + 2.01), "an outage begins like that"
    key.failed(one, now + 2.01)
    key.succeeded(other, now + 3.1, 1)
    assert key.busy(key.take(now + 3.2, 1), now + 3.21)


def test_an_error_is_no_refusal_before_an_answer_or_when_it_comes_late() -> None:
    key = KeyLimits(0.0)
    assert not key.busy(key.take(0.0, 1), 0.01)
    now = answered(key, 3, 1.0)
    flying = [key.take(now, 1) for _ in range(7)]
    assert not key.busy(flying[-1], now + 0.9), "it was worked on"


def test_an_outage_that_looked_like_no_room_leaves_the_cap_as_it_was() -> None:
    key = KeyLimits(0.0, concurrency=64)
    now = answered(key, 3, 0.0)
    flying = [key.take(now, 1) for _ in range(40)]
    for one in flying[20:]:
        assert key.busy(one, now + 0.01)
        key.limited(one, now + 0.01, None, None, "concurrency")
    assert key.cap < 64
    key.fails(now + 0.5)
    assert key.cap == 64
