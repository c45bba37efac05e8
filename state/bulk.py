"""Many rows in one statement: multi-row INSERT with parameters, or rows as JSON.

Text from outside may hold lone surrogates, which UTF-8 cannot encode: SQLite refuses them as parameters, and from
JSON it would store bytes that no reader can decode. They become U+FFFD here; other text pays nothing for that.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Sequence
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

    Returns the rows of a RETURNING clause in `tail`, in order.
    """
    if not rows:
        return []
    width = len(rows[0])
    size = max(1, PARAMETERS // width)
    returned: list[Any] = []
    for start in range(0, len(rows), size):
        part = rows[start : start + size]
        statement = _values(head, tail, width, len(part))
        values = [value for row in part for value in row]
        try:
            cursor = connection.execute(statement, values)
        except UnicodeEncodeError:
            cursor = connection.execute(statement, storable(values))
        returned += cursor.fetchall()
    return returned


def rows_json(rows: Iterable[Sequence[Any]]) -> str:
    """Rows as a JSON array of arrays, for `json_each`."""
    rows = list(rows)
    text = json.dumps(rows)
    return json.dumps([storable(row) for row in rows]) if _SURROGATE.search(text) else text


_SURROGATE = re.compile(r"\\ud[89a-f]")  # as `json.dumps` writes it, paired or not


def storable(row: Iterable[Any]) -> list[Any]:
    """The row with lone surrogates replaced; a pair becomes its character."""
    return [
        value.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")
        if isinstance(value, str)
        else value
        for value in row
    ]
