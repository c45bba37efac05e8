from __future__ import annotations

from contextlib import closing
from pathlib import Path

import anyio
import pytest

from daemon.events import Bus, Noted, SampleFailed
from daemon.observe.heartbeat import EventLog
from state.database import open_writer
from state.events import EventRow
from state.writer import Writer

pytestmark = pytest.mark.anyio


async def test_of_many_samples_that_are_given_up_for_one_reason_a_few_are_shown(tmp_path: Path) -> None:
    shown: list[EventRow] = []
    bus = Bus()
    with closing(open_writer(tmp_path / "state.db")) as connection:
        writer = Writer(connection, linger_s=0.0)
        log = EventLog(writer, bus, shown.append)
        async with anyio.create_task_group() as group:
            await group.start(writer.serve)
            async with anyio.create_task_group() as logging:
                await logging.start(log.serve)
                for number in range(100):
                    bus.emit(SampleFailed(task="t", plan="p", sample_id=number, reason="not recorded"))
                bus.emit(Noted(what="something else"))
                bus.emit(SampleFailed(task="t", plan="p", sample_id=100, reason="too long"))
                log.close()
            group.cancel_scope.cancel()
        stored = [text for (text,) in connection.execute("SELECT message FROM event ORDER BY id")]
    samples = [row.data["sample_id"] for row in shown if row.kind == "SampleFailed"]
    assert samples == [0, 1, 2, 3, 4, 7, 15, 31, 63, 100]
    assert shown[-3].message.endswith("not recorded (64 so far)") and shown[-1].message.endswith("too long")
    assert stored == [row.message for row in shown]
