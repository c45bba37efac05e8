from __future__ import annotations

from typing import Any

import pytest

from state.batches import (
    BatchChange,
    BatchEnd,
    NewBatch,
    add_batches,
    batches_out,
    change_batches,
    end_batches,
    open_rows,
    stranded,
)
from state.catalog import adopt_open
from state.claims import open_samples
from state.enums import BatchState, Outcome
from state.orm import orm_session
from tests.state.world import World, check_counts, ending, stored


def batch(world: World, samples: Any, mark: str = "m1") -> int:
    new = NewBatch(
        teacher_id=world.teachers["a"],
        boot_id=world.boot,
        key="KEY",
        mark=mark,
        bytes=9,
        attempts=[sample.attempt.id for sample in samples],
    )
    return add_batches(world.connection, [new])[0]


def become(world: World, key: int, state: BatchState) -> None:
    change_batches(world.connection, [BatchChange(batch_id=key, values={"state": state.value})])


def outcomes(world: World) -> list[str | None]:
    return [row[0] for row in world.rows("SELECT outcome FROM attempt ORDER BY id")]


def test_a_batch_and_its_rows(world: World) -> None:
    claimed = world.claim(world.plan(), 3).samples
    key = batch(world, claimed)
    assert batches_out(world.connection, world.teachers["a"]) == []  # nobody was asked for it yet
    become(world, key, BatchState.LIVE)
    change_batches(
        world.connection, [BatchChange(batch_id=key, values={"provider_id": "batch_\ud800", "completed": 2})]
    )
    (found,) = batches_out(world.connection, world.teachers["a"])
    assert (found.id, found.key, found.mark, found.state) == (key, "KEY", "m1", BatchState.LIVE)
    assert (found.provider_id, found.requests, found.completed) == ("batch_�", 3, 2)
    world.record(stored(claimed[1]))
    rows = open_rows(world.connection, key)
    assert [row.sample_id for row in rows] == [claimed[0].sample_id, claimed[2].sample_id]
    assert [row.request_id for row in rows] == [claimed[0].attempt.request_id, claimed[2].attempt.request_id]
    assert (rows[0].question, rows[0].gold, rows[0].reserved_micros) == (claimed[0].question, "yes", 10)


@pytest.mark.parametrize("state", [BatchState.NEW, BatchState.CREATING, BatchState.LIVE])
def test_what_a_crash_leaves_of_a_batch(world: World, state: BatchState) -> None:
    plan = world.plan()
    key = batch(world, world.claim(plan, 3).samples)
    become(world, key, state)
    assert world.reboot() == 0, "an attempt of a batch became unknown"
    if state is BatchState.NEW:
        assert outcomes(world) == ["released"] * 3
        assert world.row("SELECT state FROM batch") == ("dropped",)
        assert len(open_samples(world.connection, plan, 0, 10)) == 3
        assert world.row("SELECT sum(reserved_micros), sum(spent_micros) FROM plan") == (0, 0)
    else:
        assert outcomes(world) == [None] * 3
        assert open_samples(world.connection, plan, 0, 10) == [], "it would be sent twice"
        assert world.row("SELECT sum(reserved_micros), sum(spent_micros) FROM plan") == (30, 0)
    check_counts(world)


def test_claims_of_a_batch_that_was_not_made_are_given_back_not_unknown(world: World) -> None:
    plan = world.plan()
    world.claim(plan, 2)
    world.claim(plan, 1, teacher="b")
    world.connection.execute("UPDATE teacher SET dialect = 'openai-batch' WHERE name = 'a'")
    assert world.reboot() == 1  # that of the other teacher
    assert outcomes(world) == ["released", "released", "unknown"]
    check_counts(world)


@pytest.mark.parametrize("state", [BatchState.COMPLETED, BatchState.FAILED, BatchState.EXPIRED])
def test_the_end_of_a_batch_gives_back_what_was_not_executed(world: World, state: BatchState) -> None:
    plan = world.plan()
    claimed = world.claim(plan, 3).samples
    key = batch(world, claimed)
    become(world, key, BatchState.LIVE)
    world.record(stored(claimed[0]))
    end_batches(world.connection, [BatchEnd(batch_id=key, state=state, reason="why")])
    assert outcomes(world) == ["ok", "released", "released"]
    assert world.rows("SELECT state, reason FROM batch") == [(state.value, "why")]
    assert len(open_samples(world.connection, plan, 0, 10)) == 2
    assert batches_out(world.connection, world.teachers["a"]) == []
    check_counts(world)


def test_only_batches_that_are_out_hold_a_sample_back(world: World) -> None:
    plan = world.plan()
    claimed = world.claim(plan, 1).samples
    key = batch(world, claimed)
    become(world, key, BatchState.LIVE)
    world.record(ending(claimed[0], Outcome.TRANSIENT))
    assert len(open_samples(world.connection, plan, 0, 10)) == 1


def test_a_renamed_plan_leaves_the_rows_of_a_batch_to_the_old_one(world: World) -> None:
    old = world.plan("old")
    claimed = world.claim(old, 2).samples
    become(world, batch(world, claimed[:1]), BatchState.LIVE)
    world.record(ending(claimed[1], Outcome.RELEASED))
    world.connection.execute("UPDATE plan SET active = 0")
    new = world.plan("new")
    with orm_session(world.path) as opened:
        adopt_open(opened, new)
    assert world.rows("SELECT plan_id FROM sample ORDER BY id") == [(old,), (new,)]


def test_batches_of_a_teacher_that_nobody_serves_are_named(world: World) -> None:
    plan = world.plan()
    for mark in ("m1", "m2"):
        become(world, batch(world, world.claim(plan, 1).samples, mark), BatchState.LIVE)
    assert stranded(world.connection, [world.teachers["b"]]) == [("a", 2)]
    assert stranded(world.connection, list(world.teachers.values())) == []
