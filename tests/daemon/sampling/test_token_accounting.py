"""What is booked: exact sums, the provider's own dollars, what is unknown, and answers that tell nothing."""

from __future__ import annotations

import math
import random
from collections import defaultdict
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from daemon.sampling.budget import PARTS
from daemon.sampling.token_accounting import TokenAccounting
from engine.config import TeacherConfig
from engine.teachers.dialects.usage import share
from engine.teachers.failures import Failure
from engine.teachers.messages import Usage

CHEAP = {"usd_per_million_input": 0.02, "usd_per_million_output": 0.08}


def accounting(**prices: Any) -> TokenAccounting:
    return TokenAccounting(TeacherConfig(base_url="http://x/v1", model="m", **prices))


def used(prompt: int, completion: int, **more: Any) -> Usage:
    return Usage(prompt_tokens=prompt, completion_tokens=completion, **more)


def test_thousands_of_cheap_answers_add_up_to_what_their_tokens_cost() -> None:
    rng, tokens = random.Random(0), accounting(**CHEAP)
    exact, booked = 0.0, 0
    for _ in range(5_000):
        prompt, completion = rng.randint(20, 90), rng.randint(1, 40)
        exact += 0.02 * prompt + 0.08 * completion
        (found,) = tokens.booked(1, [used(prompt, completion)], [10**6])
        assert found.cost <= tokens.price.bound(prompt, completion), "at most what such a request reserves"
        booked += found.cost
    assert abs(booked - exact) <= 1 and exact < 20_000, "a rounding up of each would be 2,500 more"


def test_restarts_cost_no_more_than_half_a_micro_dollar_each() -> None:
    booked = sum(
        tokens.booked(1, [used(7, 3)], [10**6])[0].cost
        for tokens in (accounting(**CHEAP) for _ in range(100))
        for _ in range(50)
    )
    assert abs(booked - 5_000 * 0.38) <= 50


@given(
    requests=st.lists(
        st.tuples(
            st.integers(1, 3),
            st.lists(st.tuples(st.integers(0, 500), st.integers(0, 500)), min_size=1, max_size=6),
        ),
        max_size=40,
    ),
    prices=st.tuples(st.floats(0, 5), st.floats(0, 20), st.floats(0, 5)),
)
def test_plans_groups_and_single_answers_stay_within_a_micro_dollar(requests, prices) -> None:
    tokens = accounting(
        usd_per_million_input=prices[0], usd_per_million_output=prices[1], usd_per_million_cached=prices[2]
    )
    exact: dict[int, int] = defaultdict(int)
    booked: dict[int, int] = defaultdict(int)
    for plan, parts in requests:
        usages = [used(prompt, completion, cached_tokens=prompt // 3) for prompt, completion in parts]
        costs = [each.cost for each in tokens.booked(plan, usages, [10**9] * len(parts))]
        assert min(costs) >= 0
        whole = tuple(map(sum, zip(*parts, strict=True)))
        assert sum(costs) <= tokens.price.bound(*whole), "a request is booked with at most what it reserves"
        booked[plan] += sum(costs)
        exact[plan] += sum(tokens.price.parts(p, c, p // 3) for p, c in parts)
        assert abs(booked[plan] * PARTS - exact[plan]) < PARTS


def test_a_group_is_shared_by_what_its_parts_cost() -> None:
    tokens = accounting(usd_per_million_input=0.15, usd_per_million_output=0.6)
    usages = [used(34, 7), used(33, 1), used(33, 90)]
    first, second, third = (each.cost for each in tokens.booked(1, usages, [99] * 3))
    assert first + second + third == 74 and third > first > second  # 73.8
    assert [each.cost for each in accounting().booked(1, usages, [0] * 3)] == [0, 0, 0]


def test_the_dollars_of_the_provider_are_booked_in_place_of_tokens() -> None:
    tokens = accounting(usd_per_million_input=5.0, usd_per_million_output=5.0)
    (found,) = tokens.booked(1, [used(100, 100, cost_usd=0.0123)], [1000])
    assert (found.cost, found.unknown) == (12_300, 0)
    (free,) = tokens.booked(1, [used(100, 100, cost_usd=0.0)], [1000])
    assert free.cost == 0
    (told,) = tokens.booked(1, [used(0, 0, estimated=True, cost_usd=0.002)], [1000])
    assert told.cost == 2_000, "dollars without tokens are as good"
    costs = [
        each.cost for each in tokens.booked(1, share(used(10, 100, cost_usd=0.001), ["a", "b" * 80]), [9, 9])
    ]
    assert sum(costs) == 1_000 and costs[1] > costs[0]


def test_the_dollars_of_the_provider_count_without_prices() -> None:
    tokens = accounting()
    booked = [
        each.cost
        for _ in range(1_000)
        for each in tokens.booked(1, share(used(10, 9, cost_usd=0.0000013), ["a", "b", "c"]), [0, 0, 0])
    ]
    assert abs(sum(booked) - 1_300) <= 1


def test_one_answer_by_itself_has_its_exact_cost() -> None:
    tokens = accounting(**CHEAP)
    assert tokens.exact_usd([used(7, 3)]) == pytest.approx(0.38e-6)
    assert tokens.exact_usd([used(7, 3), used(7, 3, cost_usd=0.5)]) == pytest.approx(0.50000038)


@pytest.mark.parametrize("told", [math.nan, math.inf, -0.5, 1e12])
def test_dollars_that_cannot_be_are_not_believed(told: float) -> None:
    tokens = accounting(usd_per_million_input=2.0, usd_per_million_output=0.0)
    (found,) = tokens.booked(1, [used(100, 0, cost_usd=told)], [1000])
    assert found.cost == 200


def test_an_answer_without_usage_is_booked_with_what_was_reserved() -> None:
    tokens = accounting(usd_per_million_input=1.0, usd_per_million_output=1.0)
    found = tokens.booked(1, [used(9, 3, estimated=True), used(9, 5, estimated=True)], [700, 300, 300])
    assert [(each.cost, each.unknown) for each in found] == [(700, 0), (300, 0)]


def test_a_request_without_a_completion_is_booked_by_what_is_known_of_it() -> None:
    tokens = accounting(usd_per_million_input=1.0, usd_per_million_output=1.0)

    def booked(**more: Any) -> list[tuple[int, int, int]]:
        failure = Failure(reason="", **more)
        found = tokens.charged(1, failure, [70, 30])
        return [(each.cost, each.unknown, each.usage.prompt_tokens) for each in found]

    assert booked(kind="ambiguous") == [(0, 70, 0), (0, 30, 0)]
    assert booked(kind="malformed", charge="unknown") == [(0, 70, 0), (0, 30, 0)]
    assert booked(kind="transient", charge="unknown") == [(0, 70, 0), (0, 30, 0)]
    assert booked(kind="transient") == booked(kind="malformed", charge="none") == [(0, 0, 0), (0, 0, 0)]
    assert booked(kind="malformed", usage=used(10, 8)) == [(9, 0, 5), (9, 0, 5)]
    assert booked(kind="ambiguous", usage=used(10, 8)) == [(9, 0, 5), (9, 0, 5)], "a cut stream that said it"
    assert booked(kind="malformed", usage=used(10, 8, cost_usd=0.00005)) == [(25, 0, 5), (25, 0, 5)]
    assert booked(kind="permanent", usage=used(10, 0), charge="none") == [(0, 0, 0), (0, 0, 0)]


def test_other_prices_hold_from_now_on() -> None:
    tokens = accounting(**CHEAP)
    tokens.configure(TeacherConfig(base_url="http://x/v1", model="m", usd_per_million_input=3.0))
    assert tokens.booked(1, [used(10, 5)], [100])[0].cost == 30
    assert tokens.price.bound(10, 5) == 30, "what the next request reserves"


def test_a_batch_takes_its_share_of_each_price() -> None:
    prices = {
        "usd_per_million_input": 2.0,
        "usd_per_million_output": 8.0,
        "usd_per_million_cached": 1.0,
        "usd_per_million_reasoning": 4.0,
    }
    usage = used(1_000, 500, cached_tokens=400, reasoning_tokens=100)
    (live,) = accounting(**prices).booked(1, [usage], [10**6])
    (batch,) = accounting(dialect="openai-batch", **prices).booked(1, [usage], [10**6])
    assert (live.cost, batch.cost) == (600 * 2 + 400 + 400 * 8 + 100 * 4, live.cost / 2)


def test_tokens_from_a_cache_count_where_the_provider_counts_them() -> None:
    usage = used(1_000, 50, cached_tokens=900)
    assert accounting().counted(usage) == 1_050
    assert accounting(dialect="anthropic-messages").counted(usage) == 150
