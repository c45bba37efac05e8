from __future__ import annotations

import os
import re
import shutil
from pathlib import Path
from typing import Any

import pytest

from state import sqlite
from state.database import open_writer
from state.migrations import APPLICATION_ID, VERSION, steps_from
from tests.tui.conftest import running
from tests.tui.seeded import NOW, seed
from tui.database_reader import DatabaseReader, Query, ReadError

pytestmark = pytest.mark.anyio


def test_a_wish_is_read_again_only_when_something_changed(own: Path) -> None:
    reader = DatabaseReader(own, lambda pid: True)
    reads = []
    query = Query("a", lambda connection: reads.append(1) or len(reads))
    assert [reader.read(NOW, query).payload for _ in range(3)] == [1, None, None]
    assert reader.read(NOW, Query("b", query.read)).payload == 2
    writer = open_writer(own)
    writer.execute("UPDATE pulse SET at = at + 1")
    writer.close()
    assert reader.read(NOW, Query("b", query.read)).payload == 3
    reader.close()


def test_of_a_replaced_file_the_status_is_read_first(own: Path, tmp_path: Path) -> None:
    reader = DatabaseReader(own, lambda pid: True)
    query = Query("a", lambda connection: "read")
    assert reader.read(NOW, query).payload == "read"
    other = tmp_path / "other.db"
    seed(other)
    os.replace(other, own)
    first, second = reader.read(NOW, query), reader.read(NOW, query)
    assert (first.payload, first.generation) == (None, 2)  # screens forget what they know, then ask
    assert second.payload == "read"
    reader.close()


def test_no_transaction_stays_open(own: Path) -> None:
    reader = DatabaseReader(own, lambda pid: True)
    reader.read(NOW, None)
    assert reader._connection is not None
    assert not reader._connection.in_transaction
    reader.close()


@pytest.mark.parametrize(
    ("content", "reason"),
    [(None, "no state database yet"), (b"garbage" * 500, "damaged"), (b"", "no state database yet")],
)
def test_what_cannot_be_read_is_said(tmp_path: Path, content: bytes | None, reason: str) -> None:
    path = tmp_path / "state.db"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(ReadError, match=reason):
        DatabaseReader(path).read(NOW, None)


async def test_a_missing_database_is_waited_for(tmp_path: Path) -> None:
    path = tmp_path / "state.db"
    async with running(path) as driver:
        assert "no state database yet" in driver.text
        for key in "234561":
            await driver.press(key, "j", "enter", "G", "escape")
        seed(path)
        await driver.read()
        assert "no state database yet" not in driver.text
        assert re.search(r"coin_flip .* 160 +480 +90\.6 %", driver.text)


async def test_a_database_that_goes_and_comes_back_is_another_one(own: Path, tmp_path: Path) -> None:
    async with running(own) as driver:
        await driver.press("4", "j", "j")
        hidden = own.with_suffix(".gone")
        os.rename(own, hidden)
        await driver.read()
        assert "no state database yet" in driver.text
        assert "╭─ sample 508 ─" in driver.text  # what was read stays on the screen
        empty = tmp_path / "empty.db"
        open_writer(empty).close()
        os.replace(empty, own)
        await driver.read()
        assert "No samples yet" in driver.text
        assert "sample 508" not in driver.text
        os.replace(hidden, own)
        await driver.read()
        assert "╭─ sample 510 ─" in driver.text
        await driver.press("1")
        assert "82 % of 20 test" in driver.text
        os.rename(own, hidden)
        os.replace(shutil.copy(hidden, tmp_path / "copy.db"), own)
        await driver.read()
        assert "82 % of 20 test" in driver.text  # read again, though nothing was written since


async def test_a_locked_database_is_a_banner_and_no_traceback(
    own: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("state.database.BUSY_TIMEOUT_S", 0.01)
    connection = sqlite.dbapi.connect(
        str(own), isolation_level=None
    )  # of the same library: locks are its own
    connection.execute("PRAGMA journal_mode = DELETE")  # where readers do wait for writers
    async with running(own) as driver:
        connection.execute("BEGIN EXCLUSIVE")
        await driver.read()
        # What is said depends on whether it was open before; the screen may have read it meanwhile.
        assert "database is locked; trying again" in driver.text or "state.db is locked by" in driver.text
        await driver.press("P", "y")
        assert "not written" in driver.notices[-1]
        connection.execute("COMMIT")
        await driver.read()
        assert "locked" not in driver.text
    connection.close()


async def test_a_database_migrated_to_a_newer_version_is_a_banner(own: Path) -> None:
    async with running(own) as driver:
        await driver.press("4", "j")
        writer = open_writer(own)
        writer.execute(f"PRAGMA user_version = {VERSION + 1}")
        await driver.read()
        assert f"has schema version {VERSION + 1}; this Coterie supports up to {VERSION}" in driver.text
        assert "╭─ sample 509 ─" in driver.text  # what was read stays
        await driver.press("5", "1", "P", "y")
        assert "not written" in driver.notices[-1]
        writer.execute(f"PRAGMA user_version = {VERSION}")
        writer.close()
        await driver.read()
        assert "schema version" not in driver.text
        assert re.search(r"coin_flip .* 160 +480 +90\.6 %", driver.text)


async def test_a_database_replaced_by_one_of_an_older_version_is_read_or_a_banner(
    own: Path, tmp_path: Path
) -> None:
    old, older = tmp_path / "old.db", tmp_path / "older.db"
    connection = sqlite.dbapi.connect(str(old), isolation_level=None)
    connection.executescript(
        f"{steps_from(0)[0]}; PRAGMA application_id = {APPLICATION_ID}; PRAGMA user_version = 1"
    )
    shutil.copy(old, older)
    connection.close()
    connection = sqlite.dbapi.connect(str(older), isolation_level=None)
    connection.execute("ALTER TABLE teacher DROP COLUMN reserved_micros")  # as if that had come later
    connection.close()
    new = Path(shutil.copy(own, tmp_path / "new.db"))
    async with running(own) as driver:
        for screen in "1234561":
            await driver.press(screen)
        os.replace(old, own)
        await driver.read()
        for screen in "1234561":
            await driver.press(screen)
            assert "trying again" not in driver.text
        os.replace(older, own)
        await driver.read()
        for screen in "1234561":
            await driver.press(screen)
            assert f"is from an older Coterie (schema version 1, this one needs {VERSION})" in driver.text
        os.replace(new, own)
        await driver.read()
        assert "older Coterie" not in driver.text
        assert re.search(r"coin_flip .* 160 +480 +90\.6 %", driver.text)


async def test_nothing_is_drawn_for_hidden_screens(own: Path) -> None:
    async with running(own) as driver:
        await driver.press("2", "1")
        tasks: Any = driver.app._screen_stacks["tasks"][0]
        drawn = []
        tasks.show = lambda status: drawn.append(status)
        await driver.read()
        await driver.read()
        assert drawn == []
        await driver.press("2")
        assert drawn


def test_who_moves_about_waits_for_no_status(own: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    reader = DatabaseReader(own, lambda pid: True)
    monkeypatch.setattr("tui.database_reader.STATUS_S", 3600.0)
    one, other = Query("a", lambda connection: "a"), Query("b", lambda connection: "b")
    first, moved, ticked = reader.read(NOW, one), reader.read(NOW + 1, other), reader.read(NOW + 2, other)
    assert (moved.payload, moved.status) == ("b", first.status)
    assert ticked.status.at == NOW + 2  # nobody moved
    writer = open_writer(own)
    writer.execute("UPDATE pulse SET at = at + 1")
    writer.close()
    assert reader.read(NOW + 3, one).status.at == NOW + 3  # something was written
    reader.close()
