from __future__ import annotations

import pytest

from daemon.limits.key_limits import KeyLimits
from daemon.limits.pacing import RequestKind, paced_seconds

SMALL = RequestKind(held=300, held_output=200, used=150, used_output=50, latency_s=0.2)


def seconds(count: int, kind: RequestKind = SMALL, **limits: int) -> float:
    return paced_seconds(KeyLimits(0.0, **limits), kind, count)


def test_a_limit_on_requests_alone_is_what_they_take() -> None:
    assert seconds(600, requests_per_minute=1200) == pytest.approx(30, rel=0.05)


def test_tokens_count_as_they_were_used_not_as_they_were_held() -> None:
    assert seconds(600, tokens_per_minute=90_000) == pytest.approx(60, rel=0.1)


def test_prompt_tokens_have_a_limit_of_their_own() -> None:
    assert seconds(600, input_tokens_per_minute=60_000) == pytest.approx(60, rel=0.1)


def test_concurrency_binds_by_the_response_time() -> None:
    assert seconds(600, concurrency=4) == pytest.approx(600 * 0.2 / 4, rel=0.05)


def test_the_tightest_limit_decides_and_twice_as_much_takes_twice_as_long() -> None:
    alone = seconds(600, concurrency=4)
    assert seconds(600, concurrency=4, requests_per_minute=60_000) == pytest.approx(alone, rel=0.05)
    assert seconds(6_000, requests_per_minute=1200) == pytest.approx(
        10 * seconds(600, requests_per_minute=1200), rel=0.05
    )
    assert seconds(12_000, concurrency=4) == pytest.approx(20 * alone, rel=0.05)
