from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from daemon.sampling.budget import PARTS, Budget, PerAccount, Price, micros
from state.budget import Spending


def budget(
    total: int | None = None, teacher: int | None = None, plan: int | None = None, used: int = 0
) -> Budget:
    found = Budget(total, Spending(used))
    found.add_teacher(1, teacher, Spending(used))
    found.add_plan(1, plan, Spending(used))
    return found


def test_a_price_is_micro_dollars_a_token() -> None:
    price = Price(input=2.0, output=8.0, cached=0.5)
    assert price.parts(100, 10) == 280 * PARTS
    assert price.parts(100, 10, cached=60) == (80 + 30 + 80) * PARTS
    assert Price(0.15, 0.6, 0.15).parts(3, 1) == 1.05 * PARTS, "exact, whatever floating point makes of 0.15"
    assert price.bound(100, 10) == 280
    assert Price(0.15, 0.6, 0.15).bound(3, 1) == 2, "1.05: never below what is billed"
    assert Price(0.15, 0.6, 0.15).bound(100, 0) == 15, "and not above by what floating point adds"


def test_cached_tokens_may_cost_more_than_others() -> None:
    assert Price(input=1.0, output=0.0, cached=1.25).bound(100, 0) == 125


def test_cache_writes_and_reasoning_have_prices_of_their_own() -> None:
    price = Price(input=3.0, output=15.0, cached=0.3, cache_write=3.75, reasoning=20.0)
    used = {"cached": 400, "cache_write": 200, "reasoning": 40}
    assert price.parts(1000, 100, **used) == (1200 + 120 + 750 + 900 + 800) * PARTS
    assert price.bound(1000, 100) == 3750 + 2000
    plain = Price(input=3.0, output=15.0, cached=0.3)
    assert plain.parts(1000, 100, **used) == (1800 + 120 + 1500) * PARTS


money = st.floats(0, 1000)


@given(
    prices=st.tuples(money, money, money, st.none() | money, st.none() | money),
    prompt=st.integers(0, 10**6),
    completion=st.integers(0, 10**6),
    shares=st.tuples(st.floats(0, 1), st.floats(0, 1), st.floats(0, 1)),
    room=st.tuples(st.integers(0, 10**6), st.integers(0, 10**6)),
)
def test_a_bound_is_never_below_the_cost(prices, prompt, completion, shares, room) -> None:
    price = Price(*prices)
    cached = int(prompt * shares[0])
    written = int((prompt - cached) * shares[1])
    cost = price.parts(prompt, completion, cached, written, int(completion * shares[2]))
    assert 0 <= cost <= price.bound(prompt + room[0], completion + room[1]) * PARTS


def test_dollars_become_micro_dollars() -> None:
    assert micros(None) is None
    assert micros(5.0) == 5_000_000
    assert micros(0.1 + 0.2) == 300_000
    assert micros(0.0) == 0


@pytest.mark.parametrize(
    ("caps", "said"),
    [
        ({"total": 10}, "the budget ([daemon] budget_usd)"),
        ({"total": 100, "teacher": 10}, "the teacher's budget"),
        ({"total": 100, "teacher": 90, "plan": 10}, "the plan's budget"),
    ],
)
def test_the_smallest_cap_binds_to_the_micro_dollar(caps: dict[str, int], said: str) -> None:
    found = budget(**caps)
    assert found.room(1, 1) == 10
    assert not found.reserve(1, 1, 11)
    assert found.total.used == 0
    assert found.reserve(1, 1, 10)
    assert found.room(1, 1) == 0
    assert found.binding(1, 1).words == said
    assert not found.reserve(1, 1, 1)
    assert found.reserve(1, 1, 0)
    found.settle(1, 1, 10, 4)
    assert found.room(1, 1) == 6
    assert found.reserve(1, 1, 6)
    found.settle(1, 1, 6, 0, 5)
    assert found.room(1, 1) == 1, "what may have been billed counts as well"
    assert (found.total.spent, found.total.reserved, found.total.unknown) == (4, 0, 5)


def test_without_caps_there_is_always_room() -> None:
    found = budget()
    assert found.room(1, 1) == math.inf
    assert found.reserve(1, 1, 10**15)


def test_what_was_spent_before_this_start_counts() -> None:
    assert budget(total=100, used=95).room(1, 1) == 5
    assert not budget(total=100, used=101).reserve(1, 1, 1)
    assert Budget(100, Spending(spent=20, reserved=30, unknown=45)).total.room() == 5


@pytest.mark.parametrize(
    ("cap", "said"),
    [
        (20_000, "$0.0198 of $0.02 spent, $0.0000 reserved, $0.0001 unknown"),
        (5_000, "$0.019800 of $0.005 spent, $0.000000 reserved, $0.000100 unknown"),
        (1_234_500_000, "$0.0198 of $1,234.50 spent, $0.0000 reserved, $0.0001 unknown"),
        (None, "$0.0198 spent, $0.0000 reserved, $0.0001 unknown"),
    ],
)
def test_an_account_tells_its_figures(cap: int | None, said: str) -> None:
    assert Budget(cap, Spending(spent=19_800, unknown=100)).total.figures() == said


@given(
    caps=st.tuples(*[st.none() | st.integers(0, 200)] * 5),
    steps=st.lists(
        st.tuples(st.integers(0, 1), st.integers(0, 1), st.integers(0, 60), st.floats(0, 1), st.booleans()),
        max_size=60,
    ),
)
def test_no_cap_is_ever_passed_in_any_order(caps, steps) -> None:
    total, *others = caps
    found = Budget(total)
    for key in (0, 1):
        found.add_teacher(key, others[key])
        found.add_plan(key, others[2 + key])
    held: list[tuple[int, int, int]] = []
    spent: dict[str, int] = {}
    for plan, teacher, amount, share, end in steps:
        if end and held:
            plan, teacher, reserved = held.pop(int(share * (len(held) - 1)))
            cost = int(reserved * share)
            found.settle(plan, teacher, reserved, cost)
            for name in ("total", f"teacher {teacher}", f"plan {plan}"):
                spent[name] = spent.get(name, 0) + cost
        else:
            room = found.room(plan, teacher)
            taken = found.reserve(plan, teacher, amount)
            assert taken is (amount <= room)
            if taken:
                held.append((plan, teacher, amount))
        accounts = {"total": found.total}
        accounts |= {f"teacher {key}": found._teachers[key] for key in (0, 1)}
        accounts |= {f"plan {key}": found._plans[key] for key in (0, 1)}
        for name, account in accounts.items():
            mine = sum(
                amount for p, t, amount in held if name in ("total", f"teacher {t}", f"plan {p}")
            ) + spent.get(name, 0)
            assert account.used == mine
            assert account.cap is None or account.used <= account.cap


def test_what_is_set_aside_is_not_free_and_what_is_reserved_comes_back() -> None:
    budget = Budget(100)
    budget.add_teacher(1, None)
    budget.add_plan(2, None)
    assert budget.free_apart(2, 1, PerAccount(30, 0, 0)) == (70, math.inf)
    assert budget.reserve(2, 1, 60)
    assert budget.used_up(2, 1, PerAccount.each(90)) is None
    assert budget.used_up(2, 1, PerAccount.each(101)) is budget.total


def test_the_account_that_is_too_small_for_its_own_need_binds_not_the_one_with_the_least_room() -> None:
    budget = Budget(100)
    budget.add_teacher(1, None)
    budget.add_plan(2, 98)
    need = PerAccount(120, 80, 80)
    assert budget.binding(2, 1).words == "the plan's budget"
    assert budget.binding(2, 1, need) is budget.total
    assert budget.used_up(2, 1, need) is budget.total
    assert budget.used_up(2, 1, PerAccount(100, 80, 80)) is None
