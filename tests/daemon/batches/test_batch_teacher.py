from __future__ import annotations

from typing import Any, cast

import pytest

from daemon.batches.batch_teacher import BatchDesk
from daemon.batches.key_batches import BatchLane
from daemon.batches.outstanding import OutBatch, Shared
from daemon.limits.key_limits import KeyLimits
from daemon.sampling.jobs import Job
from engine.teachers.batch_client import BatchClient
from engine.teachers.keys import TeacherKey
from tests.daemon.parts import Clock, teacher_config


def desk_with(lanes: int = 1, **settings: Any) -> BatchDesk:
    """A desk of lanes that are not served."""
    config = teacher_config(dialect="openai-batch", **settings)
    desk = BatchDesk(1, "a", config, cast(BatchClient, None), 0.0)
    shared = cast(Shared, type("Parts", (), {"clock": Clock(0.0)}))
    for number in range(lanes):
        desk.lanes.append(BatchLane(desk, TeacherKey(f"K{number}", None), KeyLimits(0.0), shared))
    return desk


def job() -> Job:
    return Job(1, cast(Any, None), "q", "yes", 0, "a", cast(Any, None))


def out(requests: int, left: int, done: int = 0, look_at: float = 40.0) -> OutBatch:
    rows = {str(number): cast(Any, None) for number in range(left)}
    return OutBatch(1, "m", requests, 0, rows, look_at, 1.0, done=done)


def test_it_wants_a_whole_batch_as_long_as_one_can_be_sent() -> None:
    desk = desk_with(batch_requests=10, concurrency=2)
    lane = cast(BatchLane, desk.lanes[0])
    assert desk.appetite == 10 and desk.cap == 20
    for _ in range(4):
        desk.push(job())
    assert desk.appetite == 6
    lane.batches = [out(10, 10), out(10, 10)]
    assert desk.appetite == 0, "as many are out as may be"
    lane.batches.pop()
    desk.paused = True
    assert desk.appetite == 0
    desk.paused = False
    lane.limits.park("why")
    assert desk.appetite == 0


def test_an_end_waits_for_what_is_on_the_wire_not_for_batches() -> None:
    desk = desk_with()
    lane = cast(BatchLane, desk.lanes[0])
    lane.batches = [out(10, 7)]
    assert (desk.in_flight, desk.landing, desk.busy) == (7, False, True)
    lane.blind = True
    assert not desk.busy, "only a person can help"
    lane.under_way = True
    assert desk.landing and desk.busy


def test_what_the_status_says() -> None:
    desk = desk_with(lanes=2)
    assert desk.pulse(0.0).reason == ""
    desk.push(job())
    assert desk.pulse(0.0).reason == "1 waiting for a batch"
    cast(BatchLane, desk.lanes[0]).batches = [out(1000, 1000, done=900, look_at=70)]
    assert desk.pulse(0.0).reason == "1 batch out, 900 of 1,000 rows done, next look in 70 s"
    cast(BatchLane, desk.lanes[1]).batches = [out(2000, 1700)]
    assert desk.pulse(0.0).reason == "2 batches out, 1,200 of 3,000 rows done, next look in 40 s"
    desk.parked = "the key is refused"
    assert desk.pulse(0.0).reason == "the key is refused"


def test_jobs_come_from_the_head_and_go_back_there() -> None:
    desk = desk_with()
    jobs = [job() for _ in range(5)]
    for each in jobs:
        desk.push(each)
    taken = desk.take(3)
    assert taken == jobs[:3] and desk.queued == 2
    desk.give_back(taken[1:])
    assert desk.ready() == jobs[1:]


@pytest.mark.anyio
async def test_a_key_that_is_gone_leaves_its_batches_to_another() -> None:
    desk = desk_with(lanes=2)
    old, new = (cast(BatchLane, lane) for lane in desk.lanes)
    old.batches = [out(10, 7)]
    desk.drop_lane(old)
    assert desk.in_flight == 7
    await old.serve()
    assert [batch.requests for batch in new.batches] == [10] and desk.in_flight == 7


def test_prices_are_those_of_a_batch() -> None:
    prices = {"usd_per_million_input": 2.0, "usd_per_million_output": 8.0, "usd_per_million_cached": 1.0}
    assert desk_with(**prices).price.cost(1_000_000, 1_000_000) == 5_000_000
    assert desk_with(batch_discount=0.25, **prices).price.cost(1_000_000, 1_000_000) == 7_500_000
