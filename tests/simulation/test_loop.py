from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Awaitable

import anyio
import pytest

from tests.simulation.loop import Deadlock, VirtualLoop


def run(main: Awaitable[object]) -> float:
    """Runs to the end; the virtual seconds it took."""
    loop = VirtualLoop(5.0)
    try:
        loop.run_until_complete(main)
        return loop.time() - 5.0
    finally:
        for task in asyncio.all_tasks(loop):
            task.cancel()
        loop.run_until_complete(asyncio.sleep(0))
        loop.close()


def test_three_days_pass_at_once_and_in_order() -> None:
    woken: list[int] = []

    async def sleeper(days: int) -> None:
        await anyio.sleep(days * 86400)
        woken.append(days)

    async def main() -> None:
        async with anyio.create_task_group() as group:
            for days in (3, 1, 2):
                group.start_soon(sleeper, days)

    started = time.monotonic()
    assert run(main()) == pytest.approx(3 * 86400)
    assert woken == [1, 2, 3] and time.monotonic() - started < 60


def test_waiting_for_what_can_never_happen_is_an_error() -> None:
    async def main() -> None:
        await anyio.sleep(10)
        await anyio.Event().wait()

    with pytest.raises(Deadlock, match="nothing can ever happen"):
        run(main())


def test_an_executor_runs_in_place() -> None:
    async def main() -> None:
        loop = asyncio.get_running_loop()
        assert await loop.run_in_executor(None, threading.current_thread) is threading.current_thread()
        with pytest.raises(ZeroDivisionError):
            await loop.run_in_executor(None, lambda: 1 / 0)

    assert run(main()) == 0
