from __future__ import annotations

import math
from collections import Counter
from typing import cast

import anyio
import anyio.lowlevel
import pytest

from daemon.host.clock import SystemClock
from daemon.limits.key_limits import KeyLimits, Reservation
from daemon.sampling.jobs import Job
from daemon.sampling.key_workers import KeyWorkers
from daemon.sampling.teacher import Teacher
from engine.teachers.client import TeacherClient
from engine.teachers.keys import TeacherKey
from engine.teachers.messages import Message, Request, Usage
from tests.daemon.parts import teacher_config, until

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


def a_desk(jobs: int, **settings: object) -> Teacher:
    config = teacher_config(builtin=False, base_url="https://api.example/v1", **settings)
    teacher = Teacher(1, "a", config, cast(TeacherClient, None), SystemClock().monotonic())
    for _ in range(jobs):
        teacher.push(cast(Job, Asked()))
    return teacher


async def test_keys_share_the_work_by_their_free_capacity() -> None:
    teacher, clock = a_desk(400), SystemClock()
    done: Counter[str] = Counter()

    async def run(job: Job, workers: KeyWorkers, reservation: Reservation) -> None:
        await anyio.sleep(0.01)
        workers.limits.succeeded(reservation, clock.monotonic(), 30)
        done[workers.key.label] += 1
        if done.total() == 400:
            for each in teacher.key_workers:
                each.close()

    for label, most in (("small", 4), ("big", 12)):
        limits = KeyLimits(clock.monotonic(), concurrency=most)
        teacher.key_workers.append(KeyWorkers(teacher, TeacherKey(label, None), limits, clock, run))
    with anyio.fail_after(30):
        async with anyio.create_task_group() as group:
            for workers in teacher.key_workers:
                await group.start(workers.serve)
    assert done.total() == 400
    assert 2 < done["big"] / done["small"] < 4.5


async def test_an_open_breaker_lets_one_probe_out_whatever_the_cap() -> None:
    teacher, clock = a_desk(50), SystemClock()
    sent, answer = [], anyio.Event()

    async def run(job: Job, workers: KeyWorkers, reservation: Reservation) -> None:
        sent.append(job)
        await answer.wait()
        workers.limits.succeeded(reservation, clock.monotonic(), 30)
        teacher.breaker.succeeded()

    for _ in range(2):
        limits = KeyLimits(clock.monotonic(), concurrency=30)
        teacher.key_workers.append(KeyWorkers(teacher, TeacherKey("", None), limits, clock, run))
    now = clock.monotonic()
    while not teacher.breaker.failed(now - 10.0):
        pass
    with anyio.fail_after(30):
        async with anyio.create_task_group() as group:
            for workers in teacher.key_workers:
                await group.start(workers.serve)
            await until(lambda: sent)
            for _ in range(50):
                await anyio.lowlevel.checkpoint()
            assert len(sent) == 1
            assert teacher.breaker.ready_at(clock.monotonic()) == math.inf
            answer.set()
            await until(lambda: len(sent) == 50)
            for workers in teacher.key_workers:
                workers.close()


def test_what_is_reserved_is_corrected_by_what_came() -> None:
    teacher = a_desk(1)
    job = teacher.head()
    assert job is not None
    assert teacher.expected_tokens(job) == (30, 20)
    for _ in range(100):
        teacher.learn(10, 20, Usage(prompt_tokens=15, completion_tokens=5))
    teacher.learn(10, 20, Usage(prompt_tokens=1000, completion_tokens=1, estimated=True))
    assert teacher.expected_tokens(job) == (35, 20), "all of max_tokens: so providers count"
    limits = KeyLimits(0.0, output_tokens_per_minute=600)
    teacher.key_workers.append(
        KeyWorkers(teacher, TeacherKey("", None), limits, SystemClock(), cast("object", None))
    )  # type: ignore[arg-type]
    tokens, output = teacher.expected_tokens(job)
    assert tokens - output == 15
    assert 5 <= output <= 6, "counted apart, what usually comes"


def test_what_anthropic_reads_from_its_cache_does_not_count() -> None:
    usage = Usage(prompt_tokens=1000, completion_tokens=50, cached_tokens=900, cache_write_tokens=60)
    assert a_desk(0).counted_tokens(usage) == 1050
    assert a_desk(0, dialect="anthropic-messages").counted_tokens(usage) == 150
