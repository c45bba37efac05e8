from __future__ import annotations

from typing import Any, cast

import anyio
import pytest

from daemon.host.clock import SystemClock
from daemon.sampling.job_queue import RetryQueue
from daemon.sampling.jobs import Job
from tests.daemon.parts import Clock, until

pytestmark = pytest.mark.anyio


def job(name: str) -> Job:
    return cast(Job, name)  # a delay does not look into what it holds


async def test_jobs_come_back_in_the_order_in_which_they_are_due() -> None:
    clock, got = Clock(), list[Any]()
    retry_queue = RetryQueue(clock, got.append)
    for name, seconds in (("late", 30.0), ("first", 1.0), ("second", 1.0), ("now", 0.0), ("past", -5.0)):
        retry_queue.put(job(name), seconds)
    assert len(retry_queue) == 5
    async with anyio.create_task_group() as group:
        await group.start(retry_queue.serve)
        await anyio.wait_all_tasks_blocked()
        assert got == ["past", "now"]
        clock.now += 1.0
        retry_queue.put(job("wakes"), 100.0)
        await anyio.wait_all_tasks_blocked()
        assert got == ["past", "now", "first", "second"]
        clock.now += 29.0
        retry_queue.put(job("wakes"), 100.0)
        await anyio.wait_all_tasks_blocked()
        assert got[4:] == ["late"]
        assert len(retry_queue) == 2
        group.cancel_scope.cancel()


async def test_a_job_that_is_due_earlier_is_not_kept_by_a_later_one() -> None:
    got = list[Any]()
    retry_queue = RetryQueue(SystemClock(), got.append)
    async with anyio.create_task_group() as group:
        await group.start(retry_queue.serve)
        retry_queue.put(job("in an hour"), 3600.0)
        await anyio.wait_all_tasks_blocked()
        retry_queue.put(job("soon"), 0.01)
        await until(lambda: got)
        assert got == ["soon"]
        group.cancel_scope.cancel()


async def test_a_callback_may_put_the_job_back() -> None:
    clock, got = Clock(), list[Any]()

    def deliver(each: Job) -> None:
        got.append(each)
        if len(got) < 3:
            retry_queue.put(each, 0.0)

    retry_queue = RetryQueue(clock, deliver)
    async with anyio.create_task_group() as group:
        await group.start(retry_queue.serve)
        retry_queue.put(job("again"), 0.0)
        await until(lambda: len(got) == 3)
        assert len(retry_queue) == 0
        group.cancel_scope.cancel()
