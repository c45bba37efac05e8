"""A database whose file is moved, replaced, overwritten, truncated or made read-only while a daemon has it open."""

from __future__ import annotations

import os
import resource
import shutil
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest

from state import sqlite
from state.database import open_reader, open_writer
from state.database_file import WAL, DatabaseFile
from state.errors import StateReadOnly, StateReplaced
from state.sqlite import Connection


def add_event(connection: Connection, message: str) -> None:
    connection.execute(
        "INSERT INTO event (at, level, kind, subject, message, data) VALUES (0, 'info', '', '', ?, '{}')",
        (message,),
    )


def made(path: Path, pid: int) -> Connection:
    """A database with an open writer and one session."""
    connection = open_writer(path)
    connection.execute(
        "INSERT INTO boot (id, pid, pid_started, host, version, started_at, config) VALUES (1, ?, 0, '', '', 7, '{}')",
        (pid,),
    )
    return connection


@pytest.fixture
def writer(tmp_path: Path) -> Iterator[Connection]:
    (tmp_path / "lab").mkdir()
    with closing(made(tmp_path / "lab" / "state.db", os.getpid())) as connection:
        yield connection


@pytest.fixture
def other(tmp_path: Path) -> Path:
    """Another database: one file, without a log."""
    path = tmp_path / "other.db"
    with closing(made(path, 1)) as connection:
        add_event(connection, "theirs")
    return path


def messages(path: Path) -> list[str]:
    with closing(sqlite3.connect(path)) as opened:
        assert opened.execute("PRAGMA integrity_check").fetchone() == ("ok",)
        return [row[0] for row in opened.execute("SELECT message FROM event ORDER BY id")]


def move_folder(path: Path, other: Path) -> None:
    path.parent.rename(path.parent.with_name("moved"))


def move_over(path: Path, other: Path) -> None:
    os.rename(shutil.copy(other, path.with_name("x.db")), path)


WHOLE: dict[str, tuple[Callable[[Path, Path], object], str, str]] = {
    "deleted": (lambda path, other: path.unlink(), "moved or deleted", "lab/backups/state-rescued-*.db"),
    "moved": (lambda path, other: path.rename(path.with_name("y.db")), "moved or deleted", "lab/y.db"),
    "folder moved": (move_folder, "moved or deleted", "moved/state.db"),
    "replaced": (move_over, "replaced by another file", "lab/backups/state-rescued-*.db"),
    "log deleted": (lambda path, other: path.with_name("state.db-wal").unlink(), "state.db-wal was deleted", "lab/state.db"),
    "read-only": (lambda path, other: path.chmod(0o444), "made read-only", "lab/state.db"),
}  # fmt: skip


@pytest.mark.parametrize("change", WHOLE)
def test_a_file_that_was_moved_keeps_all_that_was_stored(
    change: str, tmp_path: Path, writer: Connection, other: Path
) -> None:
    do, words, place = WHOLE[change]
    path = tmp_path / "lab" / "state.db"
    file = DatabaseFile(path, writer, 1)
    add_event(writer, "before")
    assert file.look() is None and file.foreign() is None
    do(path, other)
    trouble = file.look()
    assert trouble is not None and trouble.whole and words in trouble.error.message
    assert file.foreign() is None
    add_event(writer, "in flight")
    said = file.settle(writer, trouble)
    writer.close()
    (kept,) = tmp_path.glob(place)
    assert change == "read-only" or kept.name in said or "stored is in it" in said
    assert messages(kept) == ["before", "in flight"]
    if change == "replaced":
        assert path.read_bytes() == other.read_bytes()
        assert messages(path) == ["theirs"], "the log of the old file was written into the new one"
    assert isinstance(trouble.error, StateReadOnly if change == "read-only" else StateReplaced)


@pytest.mark.parametrize("change", ["overwritten", "truncated", "an older copy"])
def test_nothing_is_written_to_a_file_that_holds_something_else(
    change: str, tmp_path: Path, writer: Connection, other: Path
) -> None:
    path = tmp_path / "lab" / "state.db"
    older = shutil.copy(path, tmp_path / "older.db")  # from before the session's row was in the file
    file = DatabaseFile(path, writer, 1)
    writer.execute("PRAGMA wal_autocheckpoint = 1")
    add_event(writer, "checkpointed")
    assert file.foreign() is None and file.look() is None
    writer.execute("PRAGMA wal_autocheckpoint = 0")
    add_event(writer, "in the log")
    source = {"overwritten": other, "an older copy": older, "truncated": Path(os.devnull)}[change]
    with path.open("r+b") as opened:  # as cp does: the same inode
        opened.truncate()
        opened.write(source.read_bytes())
    content = path.read_bytes()
    error = file.foreign()
    assert error is not None and "overwritten or truncated" in error.message
    trouble = file.look()
    assert trouble is not None and not trouble.whole
    said = file.settle(writer, trouble)
    writer.close()
    assert path.read_bytes() == content, "closing wrote the log into it"
    (log,) = (tmp_path / "lab" / "backups").glob("state-rescued-*.db-wal")
    assert str(log) in said and log.stat().st_size > 4096
    assert not path.with_name("state.db" + WAL).exists()


def test_a_file_that_other_connections_write_to_stays_ones_own(tmp_path: Path, writer: Connection) -> None:
    path = tmp_path / "lab" / "state.db"
    file = DatabaseFile(path, writer, 1)
    with closing(open_reader(path)) as reader, closing(open_writer(path)) as second:
        for number in range(30):
            add_event(second if number % 2 else writer, "x" * 40_000)
            (second if number % 3 else writer).execute("PRAGMA wal_checkpoint(PASSIVE)")
            assert file.foreign() is None and file.look() is None
        assert reader.execute("SELECT count(*) FROM event").fetchone() == (30,)
    second = open_writer(path)
    second.execute("DELETE FROM event")
    second.execute("VACUUM")
    second.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    second.close()
    assert file.foreign() is None and file.look() is None


@contextmanager
def full_at(size: int) -> Iterator[None]:
    """No file of this process grows beyond a size: as on a disk without room."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def test_a_checkpoint_that_a_full_disk_broke_off_leaves_ones_own_file(
    tmp_path: Path, writer: Connection
) -> None:
    path = tmp_path / "lab" / "state.db"
    for _ in range(100):
        add_event(writer, "x" * 10_000)
    writer.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    file = DatabaseFile(path, writer, 1)
    writer.execute("PRAGMA wal_autocheckpoint = 0")
    writer.execute("UPDATE boot SET config = ?", ("y" * 9000,))  # goes on in a page that has no room any more
    for number in range(20):
        add_event(writer, str(number) * 10_000)
    size = path.stat().st_size
    with full_at(size + 40_000), pytest.raises(sqlite.OperationalError):
        writer.execute("PRAGMA wal_checkpoint(PASSIVE)")
    assert path.stat().st_size > size and file._read()[0] is None, "the file is incomplete without its log"
    assert file.foreign() is None and file.look() is None
    with path.open("r+b") as opened:
        content = opened.read()
        opened.truncate(0)
        truncated = DatabaseFile.look(file)
        assert truncated is not None and "overwritten or truncated" in truncated.error.message
        opened.seek(0)
        opened.write(content)
    file.trouble = None
    writer.execute("PRAGMA wal_checkpoint(PASSIVE)")
    assert file.foreign() is None and file.look() is None and file._read()[0] is not None
    writer.close()
    assert len(messages(path)) == 120


def test_a_checkpoint_that_a_reader_cuts_short_raises_no_alarm(tmp_path: Path, writer: Connection) -> None:
    """Such a file holds some new pages and lacks others: without its log it is often malformed."""
    path = tmp_path / "lab" / "state.db"
    file = DatabaseFile(path, writer, 1)
    writer.execute("PRAGMA wal_autocheckpoint = 0")
    malformed = 0
    for number in range(10):
        with closing(open_reader(path)) as reader:
            for _ in range(8):  # the file grows …
                add_event(writer, "x" * 9_000)
            reader.execute("BEGIN")
            reader.execute("SELECT count(*) FROM event").fetchone()
            writer.execute(
                "UPDATE event SET message = replace(message, 'x', 'y')"
            )  # … and its new end is written again
            writer.execute("PRAGMA wal_checkpoint(PASSIVE)")
            assert file.foreign() is None and file.look() is None, number
            malformed += file._read()[0] is None
    assert malformed, "no look met a file that makes no sense without its log"
    writer.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    assert file._read()[0] is not None and file.look() is None


def test_a_file_that_is_overwritten_between_two_parts_of_a_checkpoint_is_noticed(
    tmp_path: Path, writer: Connection, other: Path
) -> None:
    path = tmp_path / "lab" / "state.db"
    file = DatabaseFile(path, writer, 1)
    writer.execute("PRAGMA wal_autocheckpoint = 0")
    add_event(writer, "before")
    with closing(open_reader(path)) as reader:
        reader.execute("BEGIN")
        reader.execute("SELECT count(*) FROM event").fetchone()
        add_event(writer, "after")
        assert writer.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchone()[1:] == (4, 2)
        os.utime(path, (1, 1))  # the file system's clock is too coarse for what a test does in a millisecond
        assert file.look() is None
        with path.open("r+b") as opened:
            opened.truncate()
            opened.write(other.read_bytes())
        trouble = file.look()
        assert trouble is not None and not trouble.whole
