"""Short snapshots of the database: several SELECTs see the same state."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from state.sqlite import Connection

Row = tuple[Any, ...]


@contextmanager
def snapshot(connection: Connection) -> Iterator[None]:
    """All reads inside see the same state. Keep it to milliseconds: an open snapshot lets the WAL grow."""
    if connection.in_transaction:  # the caller's own transaction is a snapshot already
        yield
        return
    connection.execute("BEGIN")
    try:
        yield
    finally:
        if connection.in_transaction:
            connection.execute("ROLLBACK")


def rows(connection: Connection, sql: str, parameters: tuple[Any, ...] = ()) -> list[Row]:
    """All rows of a SELECT, as plain tuples in the order of its columns."""
    cursor = connection.cursor()
    cursor.row_factory = None
    return cursor.execute(sql, parameters).fetchall()


def first(connection: Connection, sql: str, parameters: tuple[Any, ...] = ()) -> Row | None:
    """The first row of a SELECT."""
    found = rows(connection, sql, parameters)
    return found[0] if found else None


def loaded(text: str | None, kind: type[Any]) -> Any:
    """JSON text as a value of `kind`, or an empty `kind` if it is something else.

    Another version may have written it, and a reader must not fail because of it.
    """
    try:
        value = json.loads(text or "")
    except (ValueError, RecursionError):
        return kind()
    return value if isinstance(value, kind) else kind()
