"""Opens `state.db`: creating, migrating, writing and reading connections.

Invariants: one writing connection for each daemon (`open_writer`), everything else opens read-only;
WAL with synchronous FULL; a damaged database, or one of another program or a newer version, is
refused and left untouched.
"""

from __future__ import annotations

import errno
import os
import sqlite3
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from operator import methodcaller
from pathlib import Path

from state import sqlite
from state.errors import (
    StateDamaged,
    StateError,
    StateFailing,
    StateForeign,
    StateLocked,
    StateMissing,
    StateNewer,
    StateReadOnly,
)
from state.migrations import (
    APPLICATION_ID,
    FIRST_WITH_IDENTITY,
    NEW_IDENTITY,
    OLDER_IDENTITY,
    SCHEMA,
    VERSION,
    steps_from,
)
from state.sqlite import Connection

BUSY_TIMEOUT_S = 5.0
FILES_WAIT_S, FILES_LOOK_S = 60.0, 0.05
"""How long, and how often, opening is retried when the process is out of files or the disk fails."""
WRITER_BUSY_MS = 2_000
"""The writer retries, and reports that it waits."""
_lost: dict[Path, StateError] = {}
"""Databases that this process lost: what lies at their path now is another one, or none."""


def now_ms() -> int:
    """Wall clock in UTC milliseconds: for display and order, never for durations."""
    return time.time_ns() // 1_000_000


def open_writer(path: Path) -> Connection:
    """The writing connection; creates the database or migrates it first.

    Raises:
        StateError: the file is foreign, damaged, newer than this program, or cannot be written.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.exists() and not os.access(path, os.W_OK):
        raise StateReadOnly(f"{path} cannot be written. Check its owner and permissions.")
    if not os.access(path.parent, os.W_OK):
        raise StateReadOnly(f"{path.parent} cannot be written: SQLite keeps its journal beside {path.name}.")
    connection = _connect(path, f"file:{quoted(path)}?mode=rwc")
    try:
        _prepare(connection, path)
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA synchronous = FULL")
        connection.execute("PRAGMA foreign_keys = ON")
        connection.execute("PRAGMA journal_size_limit = 67108864")
        connection.execute(f"PRAGMA busy_timeout = {WRITER_BUSY_MS}")
    except (sqlite.DatabaseError, UnicodeDecodeError) as error:
        connection.close()
        raise _explained(error, path) from None
    except BaseException:
        connection.close()
        raise
    return connection


def open_reader(path: Path) -> Connection:
    """A read-only connection; it can neither create nor change the database.

    It waits a while if this process is out of file descriptors (a daemon's connections to teachers come and go) or
    the disk fails.

    Raises:
        StateMissing: there is no database yet.
        StateError: it is foreign, damaged or newer than this program.
    """
    if not path.exists():
        raise StateMissing(f"{path}: no state database yet. `coterie run` creates it.")
    deadline = time.monotonic() + FILES_WAIT_S
    last = False
    while True:
        if (error := _lost.get(path)) is not None:
            raise error
        try:
            return _reader(path)
        except (StateReadOnly, StateFailing) as failure:
            if last or time.monotonic() > deadline:
                raise
            last = (
                isinstance(failure, StateReadOnly) and not _out_of_files()
            )  # there are some again: try once more
        if not last:
            time.sleep(FILES_LOOK_S)


def lose(path: Path, error: StateError) -> None:
    """Lets this process read no more from a path whose database it lost; waiting callers are notified at once."""
    _lost[path] = error


def _out_of_files() -> bool:
    """Whether this process or this machine has no file descriptor left."""
    try:
        os.close(os.open(os.devnull, os.O_RDONLY | os.O_CLOEXEC))
    except OSError as error:
        return error.errno in (errno.EMFILE, errno.ENFILE)
    return False


def _reader(path: Path) -> Connection:
    connection = _connect(path, f"file:{quoted(path)}?mode=ro")
    try:
        connection.execute("PRAGMA query_only = ON")
        _identify(connection, path)
    except (sqlite.DatabaseError, UnicodeDecodeError) as error:
        connection.close()
        raise _explained(error, path) from None
    except BaseException:
        connection.close()
        raise
    return connection


def data_version(connection: Connection) -> int:
    """A number that changes whenever another connection has written; cheap to ask."""
    return int(connection.execute("PRAGMA data_version").fetchone()[0])


def database_id(connection: Connection) -> str:
    """The identity of a database. Its copies and backups have the same; a new file has another one.

    One that is not migrated yet has the identity that its migration will give it.
    """
    if schema_version(connection) < FIRST_WITH_IDENTITY:
        row = connection.execute(OLDER_IDENTITY).fetchone()
        return str(row[0]) if row else ""
    return str(connection.execute("SELECT database FROM identity").fetchone()[0])


def schema_version(connection: Connection) -> int:
    """The version of the schema, which a newer daemon may raise at any moment."""
    return int(connection.execute("PRAGMA user_version").fetchone()[0])


@contextmanager
def transaction(path: Path) -> Iterator[Connection]:
    """A short IMMEDIATE transaction on a connection of its own, committed at the end.

    Raises:
        StateLocked: another process held the database for longer than the busy timeout.
        StateDamaged: it is damaged.
    """
    try:
        with closing(connect_to_write(path)) as connection:
            connection.execute("BEGIN IMMEDIATE")
            try:
                yield connection
            except BaseException:
                connection.execute("ROLLBACK")
                raise
            connection.execute("COMMIT")
    except sqlite.DatabaseError as error:
        if (known := told(error, path)) is not None:
            raise known from None
        raise


def connect_to_write(path: Path) -> Connection:
    """A further writing connection to a database that exists; autocommit until its caller begins a transaction."""
    connection = _connect(path, f"file:{quoted(path)}?mode=rw")
    connection.execute("PRAGMA foreign_keys = ON")
    connection.execute("PRAGMA synchronous = FULL")
    return connection


def backup_path(path: Path, mark: str = "") -> Path:
    """The path for a copy made now: `backups/NAME-TIME.db` beside the database, `mark` before the time."""
    folder = path.parent / "backups"
    folder.mkdir(exist_ok=True)
    return folder / f"{path.stem}-{mark}{time.strftime('%Y%m%dT%H%M%S', time.gmtime())}.db"


def backup(connection: Connection, path: Path) -> Path:
    """Copies the database beside itself (`backups/NAME-vVERSION-TIME.db`) and returns the copy's path."""
    target = backup_path(path, f"v{schema_version(connection)}-")
    with closing(sqlite.dbapi.connect(str(target))) as copy:
        connection.backup(copy, pages=-1)
    return target


def _connect(path: Path, uri: str) -> Connection:
    try:
        connection: Connection = sqlite.dbapi.connect(
            uri, uri=True, isolation_level=None, timeout=BUSY_TIMEOUT_S, check_same_thread=False
        )
    except sqlite.OperationalError as error:
        raise StateReadOnly(f"{path} cannot be opened: {error}.") from None
    connection.text_factory = _decoded
    return connection


_decoded: Callable[[bytes], str] = methodcaller("decode", "utf-8", "replace")
"""Reads a text with flipped bits as well: its checksum tells, and a status, a report or the monitor still shows the others."""


def quoted(path: Path) -> str:
    """A path as it is written in SQLite's URIs."""
    return str(path).replace("%", "%25").replace("?", "%3f").replace("#", "%23")


def _identify(connection: Connection, path: Path) -> int:
    """The schema version of our own database; reading the schema shows damage that the header does not."""
    empty = connection.execute("SELECT count(*) FROM sqlite_schema").fetchone()[0] == 0
    application = connection.execute("PRAGMA application_id").fetchone()[0]
    if empty and application == 0:  # a daemon is creating it
        raise StateMissing(f"{path}: this state database is still empty. `coterie run` fills it.")
    version = schema_version(connection)
    if application != APPLICATION_ID:
        raise StateForeign(
            f"{path} is a SQLite database of another program. It was left untouched; set another path "
            "in [state] url."
        )
    if version > VERSION:
        raise StateNewer(
            f"{path} has schema version {version}; this Coterie supports up to {VERSION}. It was left untouched; "
            "use the newer Coterie that wrote it."
        )
    return version


def _prepare(connection: Connection, path: Path) -> None:
    empty = connection.execute("SELECT count(*) FROM sqlite_schema").fetchone()[0] == 0
    if empty and connection.execute("PRAGMA application_id").fetchone()[0] == 0:
        _run(connection, f"{SCHEMA}\n{NEW_IDENTITY}", VERSION)
        return
    version = _identify(connection, path)
    if version < VERSION:
        backup(connection, path)
        _run(connection, "\n".join(steps_from(version)), VERSION)


def _run(connection: Connection, script: str, version: int) -> None:
    """Runs a script in one transaction, so that a kill leaves either schema complete."""
    connection.executescript(
        f"BEGIN IMMEDIATE;\n{script}\nPRAGMA application_id = {APPLICATION_ID};\n"
        f"PRAGMA user_version = {version};\nCOMMIT;"
    )


def told(error: BaseException | None, path: Path) -> StateError | None:
    """A driver error as one of ours: damaged, locked, or a failing disk; None for all others."""
    if isinstance(error, UnicodeDecodeError):  # in SQLite's own message, which quotes the damaged schema
        return damaged(path, "its schema cannot be read")
    code = getattr(error, "sqlite_errorcode", 0) & 0xFF
    if code in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB):
        return damaged(path, str(error))
    if code in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED):
        return StateLocked(
            f"{path} is locked by another process ({error}), for more than {BUSY_TIMEOUT_S:.0f} s. Close whatever"
            " holds it (a `sqlite3` shell, a copy, a tool that writes), then try again."
        )
    if code == sqlite3.SQLITE_READONLY:
        return StateReadOnly(f"{path} cannot be written: {error}. Check its owner and permissions.")
    if code in (sqlite3.SQLITE_IOERR, sqlite3.SQLITE_FULL):
        return StateFailing(
            f"{path} cannot be read or written ({error}): the disk is full or failing. Everything acknowledged"
            " is stored; fix the disk, then run the same command again."
        )
    return None


def damaged(path: Path, text: str) -> StateDamaged:
    """The error for a damaged database; it names the newest backup."""
    copies = (path.parent / "backups").glob(f"{path.stem}-*.db")
    newest = max(copies, key=lambda copy: copy.stat().st_mtime, default=None)
    hint = f"The newest backup is {newest}." if newest else "There is no backup next to it."
    log = path.with_name(f"{path.name}-wal")
    if log.exists() and log.stat().st_size:
        hint += f" If it was copied here, {log.name} may be the log of another file: then move that away."
    return StateDamaged(f"{path} is damaged or not a SQLite database ({text}). It was left untouched. {hint}")


def _explained(error: Exception, path: Path) -> Exception:
    if (known := told(error, path)) is not None:
        return known
    text = str(error)
    if "readonly" in text or "unable to open" in text:
        return StateReadOnly(f"{path} cannot be written: {text}.")
    if isinstance(error, sqlite.OperationalError) and "malformed" not in text:
        return StateDamaged(f"{path} cannot be used: {text}.")
    return damaged(path, text)
