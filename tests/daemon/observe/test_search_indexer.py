from __future__ import annotations

from contextlib import closing
from pathlib import Path

import anyio
import pytest

from daemon.events import Noted
from daemon.observe.search_indexer import BUSY_SHARE, QUIET_SHARE, YOUNG, Indexer
from state.database import open_reader, open_writer
from state.search import index_words
from state.views.search import indexed_upto
from state.writer import Writer
from tests.daemon.parts import Clock, Heard
from tests.tui.seeded import SAMPLES, seed

pytestmark = pytest.mark.anyio


async def run(path: Path, *, busy: bool, ticks: int) -> tuple[Clock, Heard, int]:
    """An indexer at work until its clock was asked to sleep so often; how far the index came."""
    clock, heard, slept = Clock(), Heard(), 0

    class Watched(Clock):
        async def sleep(self, seconds: float) -> None:
            nonlocal slept
            slept += 1
            clock.now += seconds
            if slept > ticks:
                scope.cancel()
            await anyio.lowlevel.checkpoint()

    with closing(open_writer(path)) as connection, closing(open_reader(path)) as reader:
        writer = Writer(connection, linger_s=0.0)
        indexer = Indexer(writer=writer, clock=Watched(), bus=heard.bus, busy=lambda: busy, size=50)
        async with anyio.create_task_group() as group:
            await group.start(writer.serve)
            with anyio.CancelScope() as scope:
                await indexer.serve()
            writer.close()
        return clock, heard, indexed_upto(reader)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    seed(tmp_path / "state.db")
    return tmp_path / "state.db"


async def test_it_comes_to_the_end_and_goes_on_looking(path: Path) -> None:
    _, heard, upto = await run(path, busy=False, ticks=60)
    assert upto == 3 * SAMPLES
    assert heard.events == []


async def test_while_there_is_work_it_takes_a_small_share_and_leaves_the_young(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("daemon.observe.search_indexer.MOST", 50)
    clock, _, upto = await run(path, busy=True, ticks=3)
    assert 0 < upto <= 150
    assert clock.now - 1000 > 2 * 3  # so few are left for a busy daemon: the next look is in two seconds
    assert YOUNG > 3 * SAMPLES
    assert BUSY_SHARE < QUIET_SHARE <= 0.25


async def test_a_sqlite_without_fts5_is_told_of_once(path: Path) -> None:
    with closing(open_writer(path)) as connection:
        index_words(connection, [10])
        connection.execute("PRAGMA writable_schema = ON")
        connection.execute(
            "UPDATE sqlite_schema SET sql = replace(sql, 'fts5', 'no') WHERE name = 'sample_words'"
        )
    _, heard, upto = await run(path, busy=False, ticks=10)
    assert [type(event) for event in heard.events] == [Noted]
    assert upto == 0
