from __future__ import annotations

import math
import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from daemon.limits.lease_table import STALE_S, LeaseTable, Member, Need, divide, rounded


def member(name: str, pid: int = 1) -> Member:
    return Member(name, pid, 1.0, "")


def there(member: Member) -> bool:
    return True


def turn(
    table: LeaseTable, name: str, now: float, *, bound=True, used=0.0, total=100.0, limit="requests", **more
):
    me = member(name)
    me.needs = {limit: Need(total, used, bound)}
    me.pause_until = more.pop("pause_until", 0.0)
    return table.turn(me, now, more.pop("alive", there))


def test_who_is_alone_has_everything() -> None:
    part = turn(LeaseTable(), "a", 0.0)
    assert part.granted == {}
    assert part.others == 0


def test_two_that_want_all_get_half_each_and_never_more_than_all_together() -> None:
    table = LeaseTable()
    turn(table, "a", 0.0)
    assert turn(table, "b", 0.1).granted["requests"] == 0, "all of it is still in use"
    assert turn(table, "a", 0.5).granted["requests"] == pytest.approx(49.5)
    assert turn(table, "b", 0.6).granted["requests"] == pytest.approx(49.5)


def test_one_that_needs_little_leaves_the_rest_and_gets_it_back_within_two_turns() -> None:
    table = LeaseTable()
    for now in (0.0, 0.5, 1.0):
        little = turn(table, "a", now, bound=False, used=4.0)
        much = turn(table, "b", now + 0.1)
    assert little.granted["requests"] == pytest.approx(6.0)
    assert much.granted["requests"] == pytest.approx(93.0)
    turn(table, "a", 1.5)
    turn(table, "b", 1.6)
    assert turn(table, "a", 2.0).granted["requests"] == pytest.approx(49.5)


@pytest.mark.parametrize("how", ["killed", "stopped", "left"])
def test_the_part_of_one_that_is_gone_goes_to_the_others_at_once(how) -> None:
    table = LeaseTable()
    for now in (0.0, 0.5, 1.0):
        turn(table, "a", now)
        turn(table, "b", now)
    if how == "left":
        table.leave("a", 1.1)
    late = 1.5 if how != "stopped" else 1.0 + STALE_S + 0.1
    part = turn(table, "b", late, alive=lambda each: how != "killed" or each.name == "b")
    assert (part.granted, part.others) == ({}, 0)


def test_a_pause_holds_for_all_and_outlives_who_was_told() -> None:
    table = LeaseTable()
    turn(table, "a", 0.0, pause_until=60.0)
    assert turn(table, "b", 0.1).others_until == 60.0
    assert turn(table, "a", 0.2, pause_until=60.0).others_until == 0.0, "one's own is not heard as another's"
    table.leave("a", 1.0)
    assert turn(table, "b", 1.1).others_until == 60.0
    assert turn(table, "c", 2.0).others_until == 60.0


def test_the_least_total_that_anyone_knows_holds_for_all() -> None:
    table = LeaseTable()
    for now in (0.0, 0.5, 1.0, 1.5, 2.0):
        turn(table, "a", now, total=100.0)
        stated = turn(table, "b", now, total=None)
        lower = turn(table, "c", now, total=60.0)
    assert stated.granted["requests"] == pytest.approx(19.8)
    assert lower.granted["requests"] == pytest.approx(19.8)


def test_fewer_requests_at_once_than_members_go_round() -> None:
    table, had = LeaseTable(), set()
    for step in range(100):
        for name in "abc":
            if turn(table, name, step / 2, total=2.0, limit="concurrency").granted.get("concurrency"):
                had.add(name)
        held = [each.granted.get("concurrency", 0.0) for each in table.members.values()]
        assert sum(held) <= 2
    assert had == {"a", "b", "c"}


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 10**6), st.sampled_from(["requests", "concurrency"]))
def test_in_any_order_of_turns_the_grants_never_exceed_the_total(seed, limit) -> None:
    chance, table, now = random.Random(seed), LeaseTable(), 0.0
    dead: set[str] = set()
    using: dict[str, float] = {}
    seen: dict[str, float] = {}
    for _ in range(120):
        now += chance.random()
        name = chance.choice([each for each in "abcd" if each not in dead])
        if chance.random() < 0.03 and len(dead) < 3:
            dead.add(name)
            using.pop(name, None)
            continue
        if now - seen.setdefault(name, now) > STALE_S:
            using.pop(name, None)  # stopped for so long that its requests have ended
        seen[name] = now
        bound = chance.random() < 0.6
        used = using.get(name, 0.0) * chance.random()
        if limit == "concurrency":
            used = math.floor(used)
        part = turn(
            table, name, now, bound=bound, used=used, limit=limit, alive=lambda each: each.name not in dead
        )
        using[name] = part.granted.get(limit, 100.0)
        live = [each for each in table.members.values() if each.name not in dead]
        assert sum(each.granted[limit] for each in live) <= 100.0 + 1e-6


@given(st.floats(0, 1e6), st.lists(st.floats(0, 1e6) | st.just(math.inf), min_size=1, max_size=9))
def test_parts_add_up_and_nobody_is_short_while_another_has_more_than_it_wants(total, wants) -> None:
    parts = divide(total, wants)
    assert sum(parts) == pytest.approx(total)
    least = min(parts)
    for part, want in zip(parts, wants, strict=True):
        assert part >= min(want, total / len(wants)) - 1e-6
        if least < min(wants[parts.index(least)], math.inf):
            assert part <= max(want, max(parts)) + 1e-6


@given(st.integers(0, 50), st.integers(1, 9), st.integers(0, 100))
def test_whole_parts_add_up(total, members, step) -> None:
    parts = rounded(divide(total, [math.inf] * members), total, step)
    assert sum(parts) == total
    assert max(parts) - min(parts) <= 1


@pytest.mark.parametrize(
    "text", ["", "{", "[]", "null", '{"boot": "x"}', "[" * 100_000, '{"boot": "b", "members": 3}']
)
def test_a_table_that_cannot_be_read_is_an_empty_one(text) -> None:
    assert LeaseTable.read(text, "b").members == {}


def test_a_table_is_read_as_it_was_written_and_not_over_a_restart_of_the_machine() -> None:
    table = LeaseTable()
    turn(table, "a", 0.0, pause_until=9.0)
    turn(table, "b", 0.1)
    table.leave("a", 0.2)
    again = LeaseTable.read(table.write("boot 1") + "   \n", "boot 1")
    assert (again.members, again.pause_until) == (table.members, 9.0)
    assert LeaseTable.read(table.write("boot 1"), "boot 2").members == {}
