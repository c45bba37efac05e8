from __future__ import annotations

import math
from collections import Counter
from typing import cast

import anyio
import anyio.lowlevel
import pytest

from daemon.host.clock import SystemClock
from daemon.limits.key_limits import KeyLimits
from daemon.limits.rates import Reservation
from daemon.sampling.jobs import Job
from daemon.sampling.key_workers import KeyWorkers
from daemon.sampling.teacher import Teacher
from engine.teachers.keys import TeacherKey
from engine.teachers.messages import Message, Request, Usage
from tests.daemon.parts import asked_by_requests, teacher_config, until

pytestmark = pytest.mark.anyio


class Asked:
    """What a key needs of a job."""

    teacher = ""
    prompt_tokens = 10
    request = Request(messages=(Message("user", "q"),), max_tokens=20)

    @property
    def members(self) -> list[Asked]:
        """It goes alone."""
        return [self]


def teacher_with(jobs: int, run: object = None, **settings: object) -> Teacher:
    config = teacher_config(builtin=False, base_url="https://api.example/v1", **settings)
    teacher = asked_by_requests(config, clock=SystemClock(), run=run)
    for _ in range(jobs):
        teacher.queue.push(cast(Job, Asked()))
    return teacher


async def test_keys_share_the_work_by_their_free_capacity() -> None:
    clock = SystemClock()
    done: Counter[str] = Counter()

    async def run(job: Job, workers: KeyWorkers, reservation: Reservation) -> None:
        await anyio.sleep(0.01)
        workers.limits.succeeded(reservation, clock.monotonic(), 30)
        done[workers.key.label] += 1
        if done.total() == 400:
            teacher.transport.close()

    teacher = teacher_with(400, run)
    for label, most in (("small", 4), ("big", 12)):
        limits = KeyLimits(clock.monotonic(), concurrency=most)
        teacher.transport.add_key(teacher, TeacherKey(label, None), limits)
    with anyio.fail_after(30):
        async with anyio.create_task_group() as group:
            for workers in teacher.transport.keys:
                await group.start(workers.serve)
    assert done.total() == 400
    assert 2 < done["big"] / done["small"] < 4.5


async def test_a_request_whose_end_is_being_stored_is_still_work() -> None:
    clock, stored = SystemClock(), anyio.Event()

    async def run(job: Job, workers: KeyWorkers, reservation: Reservation) -> None:
        workers.limits.limited(reservation, clock.monotonic(), 60.0, None, None)  # frees its slot at once
        await stored.wait()

    teacher = teacher_with(1, run)
    workers = cast(KeyWorkers, teacher.add_key(TeacherKey("", None), clock.monotonic()))
    with anyio.fail_after(30):
        async with anyio.create_task_group() as group:
            await group.start(workers.serve)
            await until(lambda: teacher.queued == 0)
            assert (workers.in_flight, teacher.busy) == (0, True)
            stored.set()
            await until(lambda: not teacher.busy)
            workers.close()


async def test_an_open_breaker_lets_one_probe_out_whatever_the_cap() -> None:
    clock = SystemClock()
    sent, answer = [], anyio.Event()

    async def run(job: Job, workers: KeyWorkers, reservation: Reservation) -> None:
        sent.append(job)
        await answer.wait()
        workers.limits.succeeded(reservation, clock.monotonic(), 30)
        teacher.health.works(clock.monotonic())

    teacher = teacher_with(50, run)
    for _ in range(2):
        limits = KeyLimits(clock.monotonic(), concurrency=30)
        teacher.transport.add_key(teacher, TeacherKey("", None), limits)
    now = clock.monotonic()
    while not teacher.health.failed("why", now - 10.0):
        pass
    with anyio.fail_after(30):
        async with anyio.create_task_group() as group:
            for workers in teacher.transport.keys:
                await group.start(workers.serve)
            await until(lambda: sent)
            for _ in range(50):
                await anyio.lowlevel.checkpoint()
            assert len(sent) == 1
            assert teacher.health.ready_at(clock.monotonic()) == math.inf
            answer.set()
            await until(lambda: len(sent) == 50)
            for workers in teacher.transport.keys:
                workers.close()


def test_what_is_reserved_is_corrected_by_what_came() -> None:
    teacher = teacher_with(1)
    job = teacher.queue.head()
    assert job is not None
    assert teacher.expected_tokens(job) == (30, 20)
    for _ in range(100):
        teacher.tokens.learn(10, 20, Usage(prompt_tokens=15, completion_tokens=5))
    teacher.tokens.learn(10, 20, Usage(prompt_tokens=1000, completion_tokens=1, estimated=True))
    assert teacher.expected_tokens(job) == (35, 20), "all of max_tokens: so providers count"
    limits = KeyLimits(0.0, output_tokens_per_minute=600)
    teacher.transport.add_key(teacher, TeacherKey("", None), limits)
    tokens, output = teacher.expected_tokens(job)
    assert tokens - output == 15
    assert 5 <= output <= 6, "counted apart, what usually comes"


def test_what_anthropic_reads_from_its_cache_does_not_count() -> None:
    usage = Usage(prompt_tokens=1000, completion_tokens=50, cached_tokens=900, cache_write_tokens=60)
    assert teacher_with(0).tokens.counted(usage) == 1050
    assert teacher_with(0, dialect="anthropic-messages").tokens.counted(usage) == 150
