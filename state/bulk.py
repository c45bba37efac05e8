"""Many rows in one statement: multi-row INSERT with parameters (blobs pass as they are)."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import Any

from state.sqlite import Connection

PARAMETERS = 30_000  # below SQLite's default limit of 32,766 for one statement


@lru_cache(maxsize=512)
def _values(head: str, tail: str, width: int, rows: int) -> str:
    row = "(" + ",".join("?" * width) + ")"
    return f"{head} VALUES {','.join([row] * rows)} {tail}"


def insert(connection: Connection, head: str, rows: Sequence[tuple[Any, ...]], tail: str = "") -> list[Any]:
    """`INSERT INTO t (a, b)` with as few statements as the parameter limit allows.

    Returns what a RETURNING clause in `tail` gives, one after the other.
    """
    if not rows:
        return []
    width = len(rows[0])
    size = max(1, PARAMETERS // width)
    returned: list[Any] = []
    for start in range(0, len(rows), size):
        part = rows[start : start + size]
        cursor = connection.execute(
            _values(head, tail, width, len(part)), [value for row in part for value in row]
        )
        returned += cursor.fetchall()
    return returned
