from __future__ import annotations

import os
import shutil
import sqlite3
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest

from state import database, sqlite
from state.database import backup, open_reader, open_writer
from state.errors import StateDamaged, StateForeign, StateMissing, StateNewer, StateReadOnly
from state.migrations import APPLICATION_ID, SCHEMA, STEPS, VERSION
from state.orm import orm_session
from state.tables import Task

ROOT = Path(__file__).resolve().parents[2]


def pragma(connection: sqlite.Connection, name: str) -> object:
    return connection.execute(f"PRAGMA {name}").fetchone()[0]


@pytest.fixture
def made(tmp_path: Path) -> Path:
    """A whole, closed database."""
    open_writer(tmp_path / "state.db").close()
    return tmp_path / "state.db"


def test_the_writer_is_safe_against_power_loss_and_broken_links(tmp_path: Path) -> None:
    with closing(open_writer(tmp_path / "deep" / "er" / "state.db")) as writer:
        assert pragma(writer, "journal_mode") == "wal"
        assert pragma(writer, "synchronous") == 2
        assert pragma(writer, "foreign_keys") == 1
        assert pragma(writer, "application_id") == APPLICATION_ID
        assert pragma(writer, "user_version") == VERSION
        with pytest.raises(sqlite.IntegrityError, match="FOREIGN KEY"):
            writer.execute("INSERT INTO run_sample (run_id, sample_id) VALUES (1, 1)")


def test_a_reader_changes_nothing(made: Path) -> None:
    with closing(open_reader(made)) as reader:
        with pytest.raises(sqlite.OperationalError, match="readonly"):
            reader.execute("INSERT INTO event VALUES (1, 0, '', '', '', '', '')")
        with pytest.raises(sqlite.OperationalError, match="readonly"):
            reader.execute("CREATE TABLE x (y INTEGER) STRICT")


def test_a_reader_does_not_create_a_database(tmp_path: Path) -> None:
    with pytest.raises(StateMissing, match=r"no state database yet. `coterie run` creates it"):
        open_reader(tmp_path / "state.db")
    assert list(tmp_path.iterdir()) == []


def test_a_reader_sees_what_is_written_while_it_is_open(made: Path) -> None:
    with closing(open_reader(made)) as reader, closing(open_writer(made)) as writer:
        before = pragma(reader, "data_version")
        writer.execute("INSERT INTO event VALUES (1, 0, '', '', '', '', '')")
        assert pragma(reader, "data_version") != before
        assert reader.execute("SELECT count(*) FROM event").fetchone() == (1,)


def test_names_with_characters_that_mean_something_in_an_address(tmp_path: Path) -> None:
    path = tmp_path / "50% of #1?.db"
    open_writer(path).close()
    open_reader(path).close()
    assert path in tmp_path.iterdir()


def _foreign(path: Path) -> None:
    with closing(sqlite3.connect(path)) as other:
        other.executescript(
            "CREATE TABLE theirs (a); INSERT INTO theirs VALUES (1); PRAGMA user_version = 3;"
        )


def _newer(path: Path) -> None:
    open_writer(path).close()
    with closing(sqlite3.connect(path)) as other:
        other.execute(f"PRAGMA user_version = {VERSION + 1}")


def _text(path: Path) -> None:
    path.write_bytes(b"this is no database, but long enough to have a header of one, I think. " * 50)


def _flipped(path: Path) -> None:
    open_writer(path).close()
    data = bytearray(path.read_bytes())
    data[100:200] = bytes(100)  # the root page of the schema
    path.write_bytes(data)


def _cut(path: Path) -> None:
    open_writer(path).close()
    path.write_bytes(path.read_bytes()[:5000])


@pytest.mark.parametrize("opened", [open_writer, open_reader], ids=["writer", "reader"])
@pytest.mark.parametrize(
    ("make", "error", "words"),
    [
        (_foreign, StateForeign, "is a SQLite database of another program. It was left untouched"),
        (_newer, StateNewer, f"has schema version {VERSION + 1}; this Coterie supports up to {VERSION}"),
        (_text, StateDamaged, "is damaged or not a SQLite database"),
        (_flipped, StateDamaged, "There is no backup next to it"),
        (_cut, StateDamaged, "It was left untouched"),
    ],
)
def test_what_is_not_ours_is_refused_untouched(tmp_path: Path, make, error, words: str, opened) -> None:
    path = tmp_path / "state.db"
    make(path)
    before = path.read_bytes()
    with pytest.raises(error) as caught:
        opened(path).close()
    assert words in caught.value.message
    assert str(path) in caught.value.message
    assert path.read_bytes() == before


def test_a_damaged_database_names_its_newest_backup(made: Path) -> None:
    with closing(open_writer(made)) as writer:
        copy = backup(writer, made)
    _text(made)
    with pytest.raises(StateDamaged, match=f"The newest backup is {copy}"):
        open_writer(made)


def test_a_backup_is_a_whole_database(made: Path) -> None:
    with closing(open_writer(made)) as writer:
        writer.execute("INSERT INTO event VALUES (1, 0, '', '', 'kept', '', '')")
        copy = backup(writer, made)
    assert copy.parent == made.parent / "backups"
    with closing(open_reader(copy)) as reader:
        assert reader.execute("SELECT subject FROM event").fetchall() == [("kept",)]
        assert pragma(reader, "integrity_check") == "ok"


@contextmanager
def unprivileged() -> Iterator[None]:
    """Tests may run as root, for whom everything can be written: then as nobody for a while."""
    if os.getuid() != 0:
        yield
        return
    os.setresuid(65534, 65534, 0)
    try:
        yield
    finally:
        os.setresuid(0, 0, 0)


@pytest.mark.parametrize("what", ["file", "folder"])
def test_what_cannot_be_written_is_refused_with_the_reason(what: str) -> None:
    folder = Path(tempfile.mkdtemp())
    path = folder / "state.db"
    try:
        open_writer(path).close()
        before = path.read_bytes()
        path.chmod(0o444 if what == "file" else 0o666)
        folder.chmod(0o777 if what == "file" else 0o555)
        with unprivileged(), pytest.raises(StateReadOnly, match="cannot be written"):
            open_writer(path)
        assert path.read_bytes() == before
    finally:
        folder.chmod(0o755)
        shutil.rmtree(folder)


def test_a_session_commits_at_its_end_and_not_when_it_fails(made: Path) -> None:
    with orm_session(made) as opened:
        opened.add(Task(name="a"))
    with pytest.raises(ZeroDivisionError), orm_session(made) as opened:
        opened.add(Task(name="b"))
        opened.flush()
        raise ZeroDivisionError
    with closing(open_reader(made)) as reader:
        assert reader.execute("SELECT name FROM task").fetchall() == [("a",)]


def test_a_session_takes_the_write_lock_at_once(made: Path) -> None:
    with closing(open_writer(made)) as other, orm_session(made) as opened:
        opened.connection()
        other.execute("PRAGMA busy_timeout = 0")
        with pytest.raises(sqlite.OperationalError, match="locked"):
            other.execute("BEGIN IMMEDIATE")


STEP = "ALTER TABLE task ADD COLUMN note TEXT NOT NULL DEFAULT '';\nUPDATE task SET note = 'new';\n"


def _further(monkeypatch: pytest.MonkeyPatch, step: str) -> None:
    """A program that knows one schema version more."""
    monkeypatch.setattr(database, "VERSION", VERSION + 1)
    monkeypatch.setattr(database, "steps_from", lambda version: [step] if version == VERSION else [])


def test_an_older_database_is_migrated_after_a_backup(made: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with orm_session(made) as opened:
        opened.add(Task(name="a"))
    _further(monkeypatch, STEP)
    with closing(open_writer(made)) as writer:
        assert pragma(writer, "user_version") == VERSION + 1
        assert writer.execute("SELECT name, note FROM task").fetchall() == [("a", "new")]
    (copy,) = (made.parent / "backups").iterdir()
    with closing(sqlite3.connect(copy)) as old:
        assert old.execute("PRAGMA user_version").fetchone() == (VERSION,)
        assert old.execute("SELECT name FROM task").fetchall() == [("a",)]
    open_writer(made).close()
    assert len(list((made.parent / "backups").iterdir())) == 1


@pytest.mark.parametrize("has_notes", [False, True])
def test_both_kinds_of_version_6_get_the_notes(tmp_path: Path, has_notes: bool) -> None:
    """The table of notes was part of step 6 for some days, so a database of that version may have it."""
    path = tmp_path / "state.db"
    with closing(sqlite3.connect(path)) as old:
        for number, step in STEPS.items():
            if number <= 6 or (has_notes and number == 11):
                old.executescript(step.read_text(encoding="utf-8"))
        old.execute(
            "INSERT INTO identity (id, database) SELECT 1, 'x' WHERE NOT EXISTS (SELECT 1 FROM identity)"
        )
        old.execute(f"PRAGMA application_id = {APPLICATION_ID}")
        old.execute("PRAGMA user_version = 6")
        old.commit()
    with closing(open_writer(path)) as writer, closing(open_writer(tmp_path / "new.db")) as new:
        table = "SELECT name, sql FROM sqlite_master WHERE name IN ('note', 'note_by_question') ORDER BY name"
        found = writer.execute(table).fetchall()
        assert len(found) == 2 and found == new.execute(table).fetchall()


def test_a_migration_that_fails_changes_nothing(made: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _further(monkeypatch, STEP + "INSERT INTO no_such_table VALUES (1);")
    with pytest.raises(StateDamaged, match="no such table"):
        open_writer(made)
    monkeypatch.undo()
    with closing(open_writer(made)) as writer:
        assert pragma(writer, "user_version") == VERSION
        assert "note" not in [row[1] for row in writer.execute("PRAGMA table_info(task)")]


KILLED = """
import os, signal, sys
from pathlib import Path
from state import database

real = database._connect

def connect(path, uri):
    connection = real(path, uri)
    connection.create_function("die", 0, lambda: os.kill(os.getpid(), signal.SIGKILL))
    connection.execute("PRAGMA cache_size = 1")  # so pages reach the file before the commit
    return connection

database._connect = connect
if sys.argv[2] == "create":
    database.SCHEMA += "SELECT die();"
else:
    database.VERSION += 1
    database.steps_from = lambda version: [sys.argv[2]]
database.open_writer(Path(sys.argv[1]))
"""


@pytest.mark.parametrize("when", ["create", "migrate"])
def test_a_kill_in_the_middle_leaves_one_whole_schema(tmp_path: Path, when: str) -> None:
    path = tmp_path / "state.db"
    if when == "migrate":
        with closing(open_writer(path)) as writer:
            writer.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        with orm_session(path) as opened:
            opened.add_all(Task(name=f"task-{number}", source="x" * 500) for number in range(200))
    script = "create" if when == "create" else STEP + "SELECT die();"
    killed = subprocess.run([sys.executable, "-c", KILLED, str(path), script], cwd=ROOT, check=False)
    assert killed.returncode == -9
    with closing(open_writer(path)) as writer:
        assert pragma(writer, "user_version") == VERSION
        assert pragma(writer, "integrity_check") == "ok"
        assert "note" not in [row[1] for row in writer.execute("PRAGMA table_info(task)")]
        assert writer.execute("SELECT count(*) FROM task").fetchone() == (200 if when == "migrate" else 0,)


def test_the_schema_is_written_once(made: Path) -> None:
    with closing(open_writer(made)) as writer:
        with pytest.raises(sqlite.OperationalError, match="already exists"):
            writer.executescript(SCHEMA)


@pytest.mark.parametrize(
    ("version", "sound"),
    [
        ((3, 7, 0), False),
        ((3, 40, 1), False),
        ((3, 44, 5), False),
        ((3, 44, 6), True),
        ((3, 45, 0), False),
        ((3, 50, 6), False),
        ((3, 50, 7), True),
        ((3, 51, 2), False),
        ((3, 51, 3), True),
        ((3, 52, 0), False),
        ((3, 52, 1), True),
        ((3, 53, 4), True),
        ((4, 0, 0), True),
    ],
)
def test_which_sqlite_is_sound(version: tuple[int, ...], sound: bool) -> None:
    assert sqlite.has_wal_reset_fix(version) is sound


def test_the_sqlite_in_use_is_sound_and_says_so() -> None:
    assert sqlite.has_wal_reset_fix(sqlite.dbapi.sqlite_version_info)
    assert "has the WAL-reset fix" in sqlite.describe()


def test_a_database_that_is_being_made_is_not_taken_for_a_foreign_one(tmp_path: Path) -> None:
    path = tmp_path / "state.db"
    path.touch()
    with pytest.raises(StateMissing, match="this state database is still empty"):
        open_reader(path)
    open_writer(path).close()
    open_reader(path).close()
