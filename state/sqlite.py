"""Chooses the SQLite library: the standard library's if it is sound, else the one in `pysqlite3`.

SQLite before 3.51.3 (but for 3.44.6 and 3.50.7, which carry the fix) can corrupt a WAL database that
several connections share: a checkpoint that resets the WAL races with a writer. A daemon with
readers is exactly that case, so such a version is used only if no other is installed, and
`coterie check` reports it.
"""

from __future__ import annotations

import importlib
import sqlite3 as _standard
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import sqlite3

Connection = _standard.Connection  # for annotations: both modules have the same interface


def has_wal_reset_fix(version: tuple[int, ...]) -> bool:
    """Whether a SQLite version carries the WAL-reset fix (sqlite.org/wal.html, "walresetbug")."""
    if version[:2] == (3, 44):
        return version >= (3, 44, 6)
    if version[:2] == (3, 50):
        return version >= (3, 50, 7)
    return version >= (3, 51, 3) and version != (3, 52, 0)


def _choose() -> Any:
    if has_wal_reset_fix(_standard.sqlite_version_info):
        return _standard
    try:
        return importlib.import_module("pysqlite3.dbapi2")
    except ImportError:
        return _standard


dbapi: Any = _choose()
"""The DB-API module in use."""

Error: type[sqlite3.Error] = dbapi.Error
DatabaseError: type[sqlite3.DatabaseError] = dbapi.DatabaseError
OperationalError: type[sqlite3.OperationalError] = dbapi.OperationalError
IntegrityError: type[sqlite3.IntegrityError] = dbapi.IntegrityError


def describe() -> str:
    """One line for `coterie check`."""
    version = ".".join(str(part) for part in dbapi.sqlite_version_info)
    origin = "pysqlite3" if dbapi is not _standard else "standard library"
    sound = has_wal_reset_fix(dbapi.sqlite_version_info)
    verdict = "has the WAL-reset fix" if sound else "WITHOUT the WAL-reset fix: pip install pysqlite3"
    return f"SQLite {version} ({origin}), {verdict}"
