from __future__ import annotations

import time

import anyio
import pytest

from engine.teachers.patience import Patience

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
