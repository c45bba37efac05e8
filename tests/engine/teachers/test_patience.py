from __future__ import annotations

import asyncio
import time

import anyio
import pytest

from engine.teachers.patience import Patience
from tests.engine.teachers.conftest import make_client
from tests.simulation.loop import VirtualLoop

pytestmark = pytest.mark.anyio


async def test_time_in_which_nothing_ran_does_not_count() -> None:
    patience = Patience(0.3)
    with patience.wait() as wait:
        await anyio.sleep(0.1)
        time.sleep(0.8)  # noqa: ASYNC251 - the process is stopped
        await anyio.sleep(0.1)
    assert not wait.expired


async def test_silence_ends_a_wait_and_bytes_prolong_it() -> None:
    patience = Patience(0.1)
    with anyio.fail_after(10):
        with patience.wait() as quiet:
            await anyio.sleep_forever()
        assert quiet.expired
        with patience.wait() as told:
            for _ in range(10):
                await anyio.sleep(0.03)
                told.hear()
        assert not told.expired


async def test_a_cancellation_from_outside_is_not_taken_for_an_end_of_patience() -> None:
    patience = Patience(30.0)
    with anyio.move_on_after(0.02) as outer, patience.wait() as wait:
        await anyio.sleep_forever()
    assert outer.cancelled_caught and not wait.expired


@pytest.mark.parametrize(("silence", "timeout", "expired"), [(660.0, 1800.0, False), (660.0, 600.0, True)])
def test_eleven_silent_minutes_are_waited_for_and_nothing_limits_the_whole(
    silence: float, timeout: float, expired: bool
) -> None:
    async def wait() -> bool:
        patience = Patience(timeout)
        with patience.wait() as waiting:
            for _ in range(5):  # nearly an hour in all
                await asyncio.sleep(silence)
                waiting.hear()
        return waiting.expired

    loop = VirtualLoop(5.0)
    try:
        assert loop.run_until_complete(wait()) is expired
    finally:
        loop.close()


async def test_a_client_waits_as_long_as_it_is_configured_to() -> None:
    async with make_client("http://127.0.0.1:9/v1", timeout_seconds=3600) as client:
        assert client._patience.silent_s == 3600
