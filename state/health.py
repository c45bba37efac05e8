"""Integrity of `state.db`: a check after a crash, and verified copies.

Both only read the database; a damaged one is refused and left untouched.
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
"""A larger database is not checked at startup: it would take too long."""


def examine_after_crash(path: Path) -> str:
    """Checks the database if the previous daemon did not end in order.

    Returns:
        A note if the check was skipped; empty otherwise.

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
                    f"the previous daemon did not end in order; state.db ({size / 1e9:.1f} GB) is too large to be"
                    " checked at startup: `coterie backup` checks it at any time"
                )
            _check(connection, path)
        except sqlite.DatabaseError as error:
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


def _ended_in_order(connection: Connection) -> bool:
    row = connection.execute("SELECT ended_at FROM boot ORDER BY id DESC LIMIT 1").fetchone()
    return row is None or row[0] is not None


def _check(connection: Connection, path: Path) -> None:
    found = connection.execute("PRAGMA quick_check(1)").fetchone()[0]
    if found != "ok":
        raise damaged(path, " ".join(str(found).split()))
