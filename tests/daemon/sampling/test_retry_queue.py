from __future__ import annotations

from typing import Any, cast

import anyio
import pytest

from daemon.host.clock import SystemClock
from daemon.sampling.jobs import Job
from daemon.sampling.retry_queue import Delays
from tests.daemon.parts import Clock, until

pytestmark = pytest.mark.anyio


def job(name: str) -> Job:
    return cast(Job, name)  # a delay does not look into what it holds


async def test_jobs_come_back_in_the_order_in_which_they_are_due() -> None:
    clock, got = Clock(), list[Any]()
    delays = Delays(clock, got.append)
    for name, seconds in (("late", 30.0), ("first", 1.0), ("second", 1.0), ("now", 0.0), ("past", -5.0)):
        delays.put(job(name), seconds)
    assert len(delays) == 5
    async with anyio.create_task_group() as group:
        await group.start(delays.serve)
        await anyio.wait_all_tasks_blocked()
        assert got == ["past", "now"]
        clock.now += 1.0
        delays.put(job("wakes"), 100.0)
        await anyio.wait_all_tasks_blocked()
        assert got == ["past", "now", "first", "second"]
        clock.now += 29.0
        delays.put(job("wakes"), 100.0)
        await anyio.wait_all_tasks_blocked()
        assert got[4:] == ["late"]
        assert len(delays) == 2
        group.cancel_scope.cancel()


async def test_a_job_that_is_due_earlier_is_not_kept_by_a_later_one() -> None:
    got = list[Any]()
    delays = Delays(SystemClock(), got.append)
    async with anyio.create_task_group() as group:
        await group.start(delays.serve)
        delays.put(job("in an hour"), 3600.0)
        await anyio.wait_all_tasks_blocked()
        delays.put(job("soon"), 0.01)
        await until(lambda: got)
        assert got == ["soon"]
        group.cancel_scope.cancel()


async def test_a_callback_may_put_the_job_back() -> None:
    clock, got = Clock(), list[Any]()

    def deliver(each: Job) -> None:
        got.append(each)
        if len(got) < 3:
            delays.put(each, 0.0)

    delays = Delays(clock, deliver)
    async with anyio.create_task_group() as group:
        await group.start(delays.serve)
        delays.put(job("again"), 0.0)
        await until(lambda: len(got) == 3)
        assert len(delays) == 0
        group.cancel_scope.cancel()
