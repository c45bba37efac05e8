from __future__ import annotations

import pytest

from engine.practice.rate_limits import MOST_KEYS, Limits, duration
from engine.practice.server_options import PracticeOptions


def taken(limits: Limits, now: float, count: int, tokens: int = 1) -> int:
    return sum(limits.take("k", tokens, now) is None for _ in range(count))


def test_requests_flow_back_continuously() -> None:
    limits = Limits(PracticeOptions(requests_per_minute=600, burst_seconds=1))
    assert taken(limits, 100.0, 50) == 10
    assert taken(limits, 100.35, 50) == 3
    assert taken(limits, 200.0, 50) == 10  # no more than the burst
    refused = limits.take("k", 1, 200.0)
    assert refused is not None and refused.kind == "requests" and refused.wait == pytest.approx(0.1)


def test_a_minute_yields_its_limit() -> None:
    limits = Limits(PracticeOptions(requests_per_minute=3000, burst_seconds=1))
    assert sum(taken(limits, tick / 100, 5) for tick in range(6000)) == pytest.approx(3000 + 50, abs=2)


def test_nothing_is_taken_where_one_bucket_lacks() -> None:
    limits = Limits(PracticeOptions(requests_per_minute=60, tokens_per_minute=100))
    assert limits.take("k", 80, 0.0) is None
    refused = limits.take("k", 80, 0.0)
    assert refused is not None and (refused.kind, refused.wait) == ("tokens", pytest.approx(36.0))
    assert [level.remaining for level in limits.levels("k", 0.0)] == [59, 20]


def test_a_request_larger_than_the_bucket_waits_for_a_full_one() -> None:
    limits = Limits(PracticeOptions(tokens_per_minute=100))
    assert limits.take("k", 500, 0.0) is None
    refused = limits.take("k", 500, 0.0)
    assert refused is not None and refused.wait == pytest.approx(300.0)  # the debt is paid off first
    assert limits.take("k", 500, 300.1) is None


def test_the_key_that_was_silent_longest_is_forgotten() -> None:
    limits = Limits(PracticeOptions(requests_per_minute=1))
    assert limits.take("first", 1, 0.0) is None
    for number in range(MOST_KEYS):
        limits.take(f"k{number}", 1, 0.0)
    assert limits.take("first", 1, 0.0) is None


@pytest.mark.parametrize(("seconds", "text"), [(0.0195, "20ms"), (0, "0ms"), (1.5, "1.5s"), (7, "7s"), (360, "6m0s"), (61.2, "1m2s")])  # fmt: skip
def test_durations(seconds: float, text: str) -> None:
    assert duration(seconds) == text
