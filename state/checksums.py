"""Checksums of stored texts, so that a flipped bit on a disk is found when a text is read for a purpose.

A row of `sample`, `question` and `prediction` has a CRC-32 of its texts. Rows of earlier versions have none until the daemon fills them in,
in the background. Bodies need none: zlib has its own.
"""

from __future__ import annotations

import zlib
from collections.abc import Collection, Sequence
from typing import NamedTuple

from state.bulk import rows_json, storable
from state.errors import StateDamaged
from state.sqlite import Connection

TABLES = {
    "sample": ("rationale, answer", "state = 'stored' AND "),
    "question": ("text, gold, rationale", ""),
    "prediction": ("text", ""),
}
"""The covered columns of each table, and which of its rows are checked."""
NAMED = 5


class Damaged(NamedTuple):
    """A row whose texts are not those that were stored."""

    table: str
    id: int


def checksum(*texts: str | None) -> int:
    """The checksum of the texts of a row, as they are stored."""
    value = 0
    for text in texts:
        if text is None:
            value = zlib.crc32(b"\0", value)
            continue
        try:
            data = text.encode()
        except UnicodeEncodeError:
            data = storable([text])[0].encode()
        value = zlib.crc32(data, zlib.crc32(b"\1", value))
    return value


def intact(stored: int | None, *texts: str | None) -> bool:
    """Whether texts are those that were stored; true where no checksum is known."""
    return stored is None or stored == checksum(*texts)


def named(found: Collection[Damaged]) -> str:
    """The rows by table and id: the first few, and how many more."""
    shown = ", ".join(f"{table} {key}" for table, key in sorted(set(found))[:NAMED])
    more = len(set(found)) - NAMED
    return shown + (f" and {more:,} more" if more > 0 else "")


def refuse(found: Collection[Damaged]) -> None:
    """Says what was left out.

    Raises:
        StateDamaged: there is something.
    """
    if found:
        raise StateDamaged(
            f"left out, damaged in state.db: {named(found)}. Their texts are not those that were stored; a backup in `backups`"
            " may still have them. Damaged questions are read from their file again at the next start."
        )


def damaged_tasks(connection: Connection) -> set[int]:
    """The ids of tasks with an active question whose texts are damaged."""
    rows = connection.execute(
        "SELECT task_id, checksum, text, gold, rationale FROM question WHERE active = 1 AND checksum IS NOT NULL"
    )
    return {row[0] for row in rows if not intact(*row[1:])}


def fill(connection: Connection, sizes: Sequence[int]) -> list[int]:
    """Gives rows of earlier versions their checksum, as many of each table as `sizes` say; how many there were."""
    return [sum(_fill(connection, table, size) for table in TABLES) for size in sizes]


def _fill(connection: Connection, table: str, size: int) -> int:
    columns, which = TABLES[table]
    rows = connection.execute(
        f"SELECT rowid, {columns} FROM {table} WHERE {which}checksum IS NULL LIMIT ?", (size,)
    ).fetchall()
    connection.execute(
        f"UPDATE {table} SET checksum = j.value ->> 1 FROM json_each(?) j WHERE {table}.rowid = j.value ->> 0",
        (rows_json([(key, checksum(*texts)) for key, *texts in rows]),),
    )
    return len(rows)
