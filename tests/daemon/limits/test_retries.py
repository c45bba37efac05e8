from __future__ import annotations

import math
import random

from daemon.limits.retries import Breaker, RetryBudget, backoff


def test_backoff_is_full_jitter_under_a_doubling_bound() -> None:
    rng = random.Random(1)
    for attempt, bound in ((1, 1), (2, 2), (3, 4), (6, 32), (7, 60), (50, 60)):
        waits = [backoff(attempt, rng) for _ in range(300)]
        assert bound / 10 <= min(waits) < bound * 0.2
        assert bound * 0.9 < max(waits) <= bound


def test_backoff_is_repeatable() -> None:
    assert [backoff(n, random.Random(5)) for n in range(1, 9)] == [
        backoff(n, random.Random(5)) for n in range(1, 9)
    ]


def test_a_storm_spends_the_budget_and_time_refills_it() -> None:
    budget = RetryBudget(0.0, capacity=10, per_second=2)
    waits = [budget.spend(0.0) for _ in range(20)]
    assert waits[:10] == [0.0] * 10
    assert waits[10:12] == [0.5, 1.0]
    assert waits[-1] == 5.0
    assert budget.spend(100.0) == 0.0


def test_successes_earn_retries() -> None:
    budget = RetryBudget(0.0, capacity=1, share=0.5)
    assert budget.spend(0.0) == 0.0
    assert budget.spend(0.0) > 0
    for _ in range(6):
        budget.succeeded(0.0)
    assert budget.spend(0.0) == 0.0


def test_retries_come_back_at_the_rate_of_the_answers_and_stop_with_them() -> None:
    budget, now = RetryBudget(0.0), 0.0
    for _ in range(600):  # twenty answers a second, and as many failures
        now += 0.05
        budget.succeeded(now)
        assert budget.spend(now) == 0.0
    backlog = [budget.spend(now) for _ in range(400)]
    assert 5 < max(backlog) < 25, "some 200 more than was saved up, at about twenty a second"
    later = RetryBudget(0.0)
    for second in range(100):
        later.succeeded(second / 100)
    now = 300.0  # nothing is answered for minutes
    storm = [later.spend(now + index / 1000) for index in range(1000)]
    assert sum(wait <= 0 for wait in storm) <= 51, "only what is saved up goes at once"
    assert max(storm) > 900


def test_the_breaker_opens_probes_and_closes() -> None:
    breaker = Breaker(threshold=3)
    assert [breaker.failed(0.0) for _ in range(3)] == [False, False, True]
    assert breaker.ready_at(0.0) == 1.0
    breaker.sent()
    assert breaker.ready_at(1.0) == math.inf
    breaker.failed(1.5)
    assert breaker.ready_at(1.5) == 3.5
    breaker.sent()
    breaker.succeeded()
    assert not breaker.open
    assert breaker.ready_at(4.0) == 4.0


def test_a_success_between_keeps_the_breaker_closed() -> None:
    breaker = Breaker(threshold=3)
    for _ in range(10):
        breaker.failed(0.0)
        breaker.failed(0.0)
        breaker.succeeded()
    assert not breaker.open


def test_late_failures_while_open_do_not_move_the_probe() -> None:
    breaker = Breaker(threshold=2)
    breaker.failed(0.0)
    breaker.failed(0.0)
    breaker.failed(0.9)
    assert breaker.ready_at(0.9) == 1.0
    breaker.sent()
    breaker.withdrawn()
    assert breaker.ready_at(2.0) == 2.0


def test_an_hour_of_failures_is_met_by_single_probes_further_and_further_apart() -> None:
    breaker, now, sent = Breaker(), 0.0, []
    while now < 3600:
        at = breaker.ready_at(now)
        assert at < math.inf
        now = max(now, at)
        breaker.sent()
        assert not breaker.open or breaker.ready_at(now) == math.inf, "one probe at a time"
        sent.append(now)
        now += 0.05
        breaker.failed(now)
    assert len(sent) < 10 + 70
    assert 59 < sent[-1] - sent[-2] < 61, (
        "and no further than a minute, so that it is noticed when it is over"
    )


def test_a_storm_of_retries_never_exceeds_the_budget() -> None:
    budget = RetryBudget(0.0, capacity=50, per_second=1)
    waits = [budget.spend(second / 100) for second in range(6000)]  # a hundred failures a second for a minute
    sends = sum(wait <= 0 for wait in waits)
    assert sends <= 50 + 60 + 1
    assert max(waits) > 3600, "nothing is dropped: the rest waits its turn"
