from __future__ import annotations

from typing import Any, cast

import pytest

from daemon.batches.batch_transport import BatchTransport
from daemon.batches.key_batches import KeyBatches
from daemon.batches.outstanding import OutBatch, Shared
from daemon.limits.key_limits import KeyLimits
from daemon.sampling.jobs import Job
from daemon.sampling.teacher import Teacher
from engine.teachers.batch_client import BatchClient
from engine.teachers.keys import TeacherKey
from engine.teachers.messages import Usage
from tests.daemon.parts import Clock, teacher_config


def teacher_with(keys: int = 1, **settings: Any) -> tuple[Teacher, list[KeyBatches]]:
    """A teacher of keys that are not served."""
    config = teacher_config(dialect="openai-batch", **settings)
    context = type("Parts", (), {"clock": Clock(0.0)})
    shared = cast(Shared, type("Parts", (), {"context": context, "nothing_to_claim": None}))
    transport = BatchTransport(cast(BatchClient, None), config, shared)
    teacher = Teacher(1, "a", config, transport, 0.0)
    for number in range(keys):
        transport.add_key(teacher, TeacherKey(f"K{number}", None), KeyLimits(0.0))
    return teacher, list(transport.keys)


def job() -> Job:
    return Job(1, cast(Any, None), "q", "yes", 0, "a", cast(Any, None))


def out(requests: int, left: int, done: int = 0, look_at: float = 40.0) -> OutBatch:
    rows = {str(number): cast(Any, None) for number in range(left)}
    return OutBatch(1, "m", requests, 0, rows, look_at, 1.0, done=done)


def test_it_wants_a_whole_batch_as_long_as_one_can_be_sent() -> None:
    teacher, (key,) = teacher_with(batch_requests=10, concurrency=2)
    assert teacher.demand == 10 and teacher.cap == 20
    for _ in range(4):
        teacher.queue.push(job())
    assert teacher.demand == 6
    key.outbox.batches = [out(10, 10), out(10, 10)]
    assert teacher.demand == 0, "as many are out as may be"
    key.outbox.batches.pop()
    teacher.health.pause()
    assert teacher.demand == 0
    teacher.health.pause(False)
    key.limits.park("why")
    assert teacher.demand == 0


def test_an_end_waits_for_what_is_on_the_wire_not_for_batches() -> None:
    teacher, (key,) = teacher_with()
    key.outbox.batches = [out(10, 7)]
    assert (teacher.in_flight, teacher.transport.on_the_wire, teacher.busy) == (7, False, True)
    key.outbox.locked_out = True
    assert not teacher.busy, "only a person can help"
    key._under_way = True
    assert teacher.transport.on_the_wire and teacher.busy


def test_what_the_status_says() -> None:
    teacher, (first, second) = teacher_with(keys=2)
    assert teacher.heartbeat(0.0).reason == ""
    teacher.queue.push(job())
    assert teacher.heartbeat(0.0).reason == "1 waiting for a batch"
    first.outbox.batches = [out(1000, 1000, done=900, look_at=70)]
    assert teacher.heartbeat(0.0).reason == "1 batch out, 900 of 1,000 rows done, next poll in 70 s"
    second.outbox.batches = [out(2000, 1700)]
    assert teacher.heartbeat(0.0).reason == "2 batches out, 1,200 of 3,000 rows done, next poll in 40 s"
    teacher.health.park("the key is refused")
    assert teacher.heartbeat(0.0).reason == "the key is refused"


def test_jobs_come_from_the_head_and_go_back_there() -> None:
    teacher, _ = teacher_with()
    jobs = [job() for _ in range(5)]
    for each in jobs:
        teacher.queue.push(each)
    taken = teacher.queue.take(3)
    assert taken == jobs[:3] and teacher.queued == 2
    teacher.queue.give_back(taken[1:])
    assert teacher.queue.jobs() == jobs[1:]


@pytest.mark.anyio
async def test_a_key_that_is_gone_leaves_its_batches_to_another() -> None:
    teacher, (old, new) = teacher_with(keys=2)
    old.outbox.batches = [out(10, 7)]
    teacher.transport.drop_key(old)
    assert teacher.in_flight == 7
    await old.serve()
    assert [batch.requests for batch in new.outbox.batches] == [10] and teacher.in_flight == 7


def test_prices_are_those_of_a_batch() -> None:
    prices = {"usd_per_million_input": 2.0, "usd_per_million_output": 8.0, "usd_per_million_cached": 1.0}
    assert teacher_with(**prices)[0].tokens.price.bound(1_000_000, 1_000_000) == 5_000_000
    assert (
        teacher_with(batch_discount=0.25, **prices)[0].tokens.price.bound(1_000_000, 1_000_000) == 7_500_000
    )
    usage = Usage(prompt_tokens=1_000_000, completion_tokens=0, cost_usd=0.75)
    (booked,) = teacher_with(**prices)[0].tokens.booked(1, [usage], [10**7])
    assert booked.cost == 750_000, "the provider's own dollars have its discount already"


def test_rows_of_keys_that_left_one_after_another_stay_in_flight() -> None:
    teacher, (first, second, _) = teacher_with(keys=3)
    first.outbox.batches = [out(10, 7)]
    second.outbox.batches = [out(10, 5)]
    teacher.transport.drop_key(first)
    teacher.transport.drop_key(second)  # before the first one has handed its batches over
    assert teacher.in_flight == 12
