from __future__ import annotations

import subprocess
import sys
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import anyio
import anyio.lowlevel
import pytest

from state import sqlite
from state import writer as module
from state.database import open_writer
from state.sqlite import Connection
from state.writer import Writer

pytestmark = pytest.mark.anyio


def add(connection: Connection, items: Sequence[str]) -> list[int]:
    """Notes each item; "bad" breaks, as a constraint would."""
    ids = []
    for item in items:
        if item == "bad":
            raise ValueError("a bad item")
        kind = None if item == "null" else item
        ids.append(
            connection.execute(
                "INSERT INTO event (at, level, kind, subject, message, data) VALUES (0, '', ?, '', '', '')"
                " RETURNING id",
                (kind,),
            ).fetchone()[0]
        )
    return ids


def add_large(connection: Connection, items: Sequence[int]) -> list[None]:
    for item in items:
        connection.execute(
            "INSERT INTO event (at, level, kind, subject, message, data) VALUES (0, '', ?, '', ?, '')",
            (str(item), "x" * 20_000),
        )
    return [None] * len(items)


def kinds(connection: Connection) -> list[str]:
    return [row[0] for row in connection.execute("SELECT kind FROM event ORDER BY id")]


@asynccontextmanager
async def serving(path: Path, **settings: Any) -> AsyncIterator[tuple[Writer, Connection]]:
    connection = open_writer(path / "state.db")
    connection.execute("PRAGMA busy_timeout = 20")
    writer = Writer(connection, **{"linger_s": 0.002, **settings})
    async with anyio.create_task_group() as group:
        await group.start(writer.serve)
        try:
            yield writer, connection
        finally:
            writer.close()
    connection.close()


async def all_of(writer: Writer, items: Sequence[str]) -> list[Any]:
    """What `do` gave for each item: its result, or its exception."""
    results: list[Any] = [None] * len(items)

    async def one(index: int) -> None:
        try:
            results[index] = await writer.do(add, items[index])
        except Exception as error:
            results[index] = error

    async with anyio.create_task_group() as group:
        for index in range(len(items)):
            group.start_soon(one, index)
    return results


async def until(condition: Any) -> None:
    with anyio.fail_after(20):
        while not condition():  # noqa: ASYNC110 - another thread's work, not an event of ours
            await anyio.sleep(0.002)


async def test_many_items_share_few_commits_in_order(tmp_path: Path) -> None:
    async with serving(tmp_path, group_rows=50) as (writer, connection):
        names = [str(number) for number in range(200)]
        assert await all_of(writer, names) == list(range(1, 201))
        assert kinds(connection) == names
        assert writer.commits <= 5
        assert writer.trouble == ""
        assert writer.lag_ms > 0


async def test_what_do_returns_for_is_on_disk(tmp_path: Path) -> None:
    async with serving(tmp_path) as (writer, _):
        await writer.do(add, "a")
        other = sqlite.dbapi.connect(str(tmp_path / "state.db"))
        assert other.execute("SELECT kind FROM event").fetchall() == [("a",)]
        other.close()


@pytest.mark.parametrize("bad", ["bad", "null"])
async def test_an_item_that_fails_takes_no_other_down(tmp_path: Path, bad: str) -> None:
    async with serving(tmp_path) as (writer, connection):
        results = await all_of(writer, ["a", bad, "b", "c"])
        assert kinds(connection) == ["a", "b", "c"]
        assert isinstance(results[1], ValueError if bad == "bad" else sqlite.IntegrityError)
        assert results[:1] + results[2:] == [1, 2, 3]
        assert await writer.do(add, "d") == 4


async def test_a_batch_of_the_wrong_length_fails_alone(tmp_path: Path) -> None:
    def short(connection: Connection, items: Sequence[str]) -> list[int]:
        add(connection, items)
        return []

    async with serving(tmp_path) as (writer, connection):
        with pytest.raises(ValueError):
            await writer.do(short, "a")
        assert kinds(connection) == []


async def test_a_full_queue_makes_the_next_one_wait(tmp_path: Path) -> None:
    connection = open_writer(tmp_path / "state.db")
    writer = Writer(connection, capacity=2, linger_s=0)
    async with anyio.create_task_group() as group:
        for name in "abc":
            group.start_soon(writer.do, add, name)
        await anyio.wait_all_tasks_blocked()
        assert len(writer._pending) == 2
        await group.start(writer.serve)
        await until(lambda: writer.commits == 2)
        writer.close()
    assert kinds(connection) == ["a", "b", "c"]
    connection.close()


async def test_a_full_disk_is_waited_for_and_nothing_is_lost_or_doubled(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "RETRY_S", 0.005)
    async with serving(tmp_path) as (writer, connection):
        pages = connection.execute("PRAGMA page_count").fetchone()[0]
        connection.execute(f"PRAGMA max_page_count = {pages + 8}")
        async with anyio.create_task_group() as group:
            for number in range(20):
                group.start_soon(writer.do, add_large, number)
            await until(lambda: "full" in writer.trouble)
            assert "nothing received is lost" in writer.trouble
            await anyio.to_thread.run_sync(
                lambda: connection.execute("PRAGMA max_page_count = 1000000"), limiter=writer._thread
            )
        assert kinds(connection) == [str(number) for number in range(20)]
        assert writer.trouble == ""


async def test_a_disk_that_fills_up_after_a_bad_item_doubles_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "RETRY_S", 0.005)

    def mixed(connection: Connection, items: Sequence[int]) -> list[None]:
        for item in items:
            if item < 0:
                raise ValueError("a bad item")
        return add_large(connection, items)

    async with serving(tmp_path, linger_s=0.05) as (writer, connection):
        pages = connection.execute("PRAGMA page_count").fetchone()[0]
        connection.execute(f"PRAGMA max_page_count = {pages + 30}")
        failed: list[Exception] = []

        async def one(number: int) -> None:
            try:
                await writer.do(mixed, number)
            except ValueError as error:
                failed.append(error)

        async with anyio.create_task_group() as group:
            for number in [0, 1, -1, *range(2, 12)]:
                group.start_soon(one, number)
            await until(lambda: "full" in writer.trouble)
            await anyio.to_thread.run_sync(
                lambda: connection.execute("PRAGMA max_page_count = 1000000"), limiter=writer._thread
            )
        assert kinds(connection) == [str(number) for number in range(12)]
        assert len(failed) == 1


HOLDER = """
import sqlite3, sys
connection = sqlite3.connect(sys.argv[1], isolation_level=None)
connection.execute("BEGIN IMMEDIATE")
print("held", flush=True)
sys.stdin.readline()
connection.execute("COMMIT")
"""


async def test_a_database_that_another_process_holds_is_waited_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "RETRY_S", 0.005)
    async with serving(tmp_path) as (writer, connection):
        with subprocess.Popen(  # noqa: ASYNC220 - a short start
            [sys.executable, "-c", HOLDER, str(tmp_path / "state.db")],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        ) as holder:
            assert holder.stdout is not None
            assert holder.stdin is not None
            await anyio.to_thread.run_sync(holder.stdout.readline)
            async with anyio.create_task_group() as group:
                group.start_soon(writer.do, add, "a")
                await until(lambda: "locked" in writer.trouble)
                holder.stdin.write(b"\n")
                holder.stdin.flush()
        assert kinds(connection) == ["a"]
        assert writer.trouble == ""


async def test_an_error_that_waiting_does_not_mend_is_told_at_once(tmp_path: Path) -> None:
    def wrong(connection: Connection, items: Sequence[str]) -> list[None]:
        connection.execute("SELECT * FROM full_and_locked")
        return [None] * len(items)

    async with serving(tmp_path) as (writer, _):
        with anyio.fail_after(5), pytest.raises(sqlite.OperationalError, match="no such table"):
            await writer.do(wrong, "a")


async def test_close_stores_what_has_arrived(tmp_path: Path) -> None:
    connection = open_writer(tmp_path / "state.db")
    writer = Writer(connection, linger_s=60)
    async with anyio.create_task_group() as group:
        await group.start(writer.serve)
        group.start_soon(writer.do, add, "a")
        await anyio.wait_all_tasks_blocked()
        writer.close()
    assert kinds(connection) == ["a"]
    with pytest.raises(RuntimeError, match="ended"):
        await writer.do(add, "b")
    connection.close()


async def test_a_writer_that_is_cancelled_stores_what_has_arrived(tmp_path: Path) -> None:
    connection = open_writer(tmp_path / "state.db")
    writer = Writer(connection, linger_s=60)
    async with anyio.create_task_group() as callers:
        async with anyio.create_task_group() as group:
            await group.start(writer.serve)
            for name in "abc":
                callers.start_soon(writer.do, add, name)
            await anyio.wait_all_tasks_blocked()
            group.cancel_scope.cancel()
    assert kinds(connection) == ["a", "b", "c"]
    connection.close()


async def test_a_caller_that_is_cancelled_does_not_take_its_item_along(tmp_path: Path) -> None:
    connection = open_writer(tmp_path / "state.db")
    writer = Writer(connection, capacity=1, linger_s=60)
    async with anyio.create_task_group() as group:
        await group.start(writer.serve)
        with anyio.move_on_after(0.01):
            await writer.do(add, "a")
        assert kinds(connection) == []
        group.start_soon(writer.do, add, "b")  # and its place in the queue is free again
        await anyio.wait_all_tasks_blocked()
        writer.close()
    assert kinds(connection) == ["a", "b"]
    connection.close()


async def test_a_writer_that_dies_tells_those_who_wait_though_they_are_shielded(tmp_path: Path) -> None:
    async def broken(transact: Callable[[], None]) -> None:
        await anyio.lowlevel.checkpoint()
        raise MemoryError("no thread can be started")

    connection = open_writer(tmp_path / "state.db")
    writer = Writer(connection, linger_s=0, run=broken)
    told: list[str] = []

    async def store(item: str) -> None:
        with anyio.CancelScope(shield=True):
            try:
                await writer.do(add, item)
            except RuntimeError as error:
                told.append(str(error))

    with anyio.fail_after(5), pytest.raises(ExceptionGroup):
        async with anyio.create_task_group() as group:
            group.start_soon(store, "a")
            group.start_soon(store, "b")
            await group.start(writer.serve)
    connection.close()
    assert len(told) == 2
