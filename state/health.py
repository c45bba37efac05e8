"""Whether `state.db` is whole: a check after a crash, and a copy that is known to be good.

Both only read the database; a damaged one is refused untouched.
"""

from __future__ import annotations

import os
from contextlib import closing, suppress
from pathlib import Path

from state import sqlite
from state.database import damaged, open_reader, told
from state.errors import StateReadOnly
from state.sqlite import Connection

MOST_BYTES = 2_000_000_000
"""A larger database is not looked through at a start: that would take longer than a person waits."""


def examine_after_crash(path: Path) -> str:
    """Looks through the database when the daemon before did not end in order.

    Returns:
        What a person should know; empty where all is well.

    Raises:
        StateError: it is damaged, or cannot be read.
    """
    if not path.exists() or path.stat().st_size == 0:
        return ""
    with closing(open_reader(path)) as connection:
        try:
            if _ended_in_order(connection):
                return ""
            size = path.stat().st_size
            if size > MOST_BYTES:
                return (
                    f"the daemon before did not end in order; state.db ({size / 1e9:.1f} GB) is too large to be looked"
                    " through at a start: `coterie backup` does it at any time"
                )
            _check(connection, path)
        except sqlite.DatabaseError as error:
            raise told(error, path) or damaged(path, str(error)) from None
    return ""


def copy_to(path: Path, target: Path) -> int:
    """Copies the database while it may be written to, checks the copy and gives it its name; returns its bytes.

    Raises:
        FileExistsError: there is something at `target`; it is left as it is.
        StateError: the database is missing or damaged, or the copy cannot be written.
    """
    if target.exists():
        raise FileExistsError(target)
    part = target.with_name(f".{target.name}.{os.getpid()}.part")
    try:
        with closing(open_reader(path)) as connection, closing(sqlite.dbapi.connect(str(part))) as copy:
            connection.backup(copy, pages=-1)  # in one step: one moment of the database
            copy.execute("PRAGMA journal_mode = DELETE")  # one file, not three
            _check(copy, path)
        os.link(part, target)  # unlike a rename it never replaces
        return target.stat().st_size
    except sqlite.DatabaseError as error:
        raise told(error, path) or StateReadOnly(f"{target} cannot be written: {error}.") from None
    finally:
        for left in (part, part.with_name(part.name + "-journal")):
            with suppress(FileNotFoundError):
                left.unlink()


def _ended_in_order(connection: Connection) -> bool:
    row = connection.execute("SELECT ended_at FROM boot ORDER BY id DESC LIMIT 1").fetchone()
    return row is None or row[0] is not None


def _check(connection: Connection, path: Path) -> None:
    found = connection.execute("PRAGMA quick_check(1)").fetchone()[0]
    if found != "ok":
        raise damaged(path, " ".join(str(found).split()))
