"""Integrity of `state.db`: a check at every start, and verified copies.

Both only read the database; a damaged one is refused and left untouched.
"""

from __future__ import annotations

import os
import sqlite3
import time
from contextlib import closing, suppress
from pathlib import Path

from state import sqlite
from state.database import damaged, open_reader, quoted, told
from state.errors import StateDamaged, StateReadOnly
from state.sqlite import Connection

START_S, CRASH_S = 5.0, 60.0
"""How long the structure is checked at a start, after an orderly end of the last daemon and after another one."""
STEPS = 1_000
"""Pages, or instructions of SQLite, between looks at the clock."""


def examine(path: Path, seconds: float | None = None) -> str:
    """Checks the structure of the database: pages, trees and indexes, for a bounded time.

    Args:
        path: of the database.
        seconds: the bound; None: by how the last daemon ended.

    Returns:
        A note if there was no time for all of it; empty otherwise.

    Raises:
        StateError: it is damaged, or cannot be read.
    """
    if not path.exists() or path.stat().st_size == 0:
        return ""
    log = path.with_name(f"{path.name}-wal")
    sessions = _sessions_without_log(path) if log.exists() and log.stat().st_size else set()
    with closing(open_reader(path)) as connection:
        try:
            _check_log(connection, path, sessions)
            bound = seconds or (START_S if _ended_in_order(connection) else CRASH_S)
            deadline = time.monotonic() + bound
            connection.set_progress_handler(lambda: time.monotonic() > deadline, STEPS)
            _check(connection, path)
        except sqlite.DatabaseError as error:
            if error.sqlite_errorcode == sqlite3.SQLITE_INTERRUPT:
                return (
                    f"state.db ({path.stat().st_size / 1e9:.1f} GB) is too large for its structure to be checked within"
                    f" {bound:.0f} s: `coterie backup` checks all of it at any time"
                )
            raise told(error, path) or damaged(path, str(error)) from None
    return ""


def copy_to(path: Path, target: Path) -> int:
    """Copies the database, also while it is written to, and checks the copy; returns its size in bytes.

    Raises:
        FileExistsError: `target` exists; it is left unchanged.
        StateError: the database is missing or damaged, or the copy cannot be written.
    """
    if target.exists():
        raise FileExistsError(target)
    part = target.with_name(f".{target.name}.{os.getpid()}.part")
    try:
        with closing(open_reader(path)) as connection, closing(sqlite.dbapi.connect(str(part))) as copy:
            connection.backup(copy, pages=-1)  # in one step: a consistent snapshot
            copy.execute("PRAGMA journal_mode = DELETE")  # one file, not three
            _check(copy, path)
        os.link(part, target)  # unlike a rename, a link never replaces a file
        return target.stat().st_size
    except sqlite.DatabaseError as error:
        raise told(error, path) or StateReadOnly(f"{target} cannot be written: {error}.") from None
    finally:
        for left in (part, part.with_name(part.name + "-journal")):
            with suppress(FileNotFoundError):
                left.unlink()


def _sessions_without_log(path: Path) -> set[tuple[object, ...]]:
    """The daemon sessions that the file itself tells of; none if it makes no sense without its log."""
    try:
        uri = f"file:{quoted(path)}?mode=ro&immutable=1"
        with closing(sqlite.dbapi.connect(uri, uri=True)) as connection:
            return set(connection.execute(_SESSIONS))
    except (sqlite.DatabaseError, UnicodeDecodeError):
        return set()


_SESSIONS = "SELECT id, pid, pid_started, host, started_at FROM boot"


def _check_log(connection: Connection, path: Path, sessions: set[tuple[object, ...]]) -> None:
    """Refuses a log of another database, where it shows: a heartbeat of an unknown session, or other sessions.

    SQLite applies any log that lies beside a file. Sessions are never changed or deleted, so those of the file stay.
    """
    pulse = connection.execute("SELECT 1 FROM pulse WHERE boot_id NOT IN (SELECT id FROM boot)").fetchone()
    if pulse is not None or not sessions <= set(connection.execute(_SESSIONS)):
        raise StateDamaged(
            f"{path}-wal, the log beside {path.name}, does not belong to {path}: it tells of other daemon sessions. Both"
            " were left untouched. If you copied the database here, move the log away, or copy the log that belongs to it"
            " as well; `coterie backup` makes copies that need none."
        )


def _ended_in_order(connection: Connection) -> bool:
    row = connection.execute("SELECT ended_at FROM boot ORDER BY id DESC LIMIT 1").fetchone()
    return row is None or row[0] is not None


def _check(connection: Connection, path: Path) -> None:
    found = connection.execute("PRAGMA quick_check(1)").fetchone()[0]
    if found != "ok":
        raise damaged(path, " ".join(str(found).split()))
