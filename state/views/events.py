"""Events, newest first, a page at a time."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from operator import itemgetter
from typing import Any

from state.sqlite import Connection
from state.views.rows import rows

COUNTED = 20_000
"""Events that a count by time looks at."""


@dataclass(frozen=True, kw_only=True, slots=True)
class EventRow:
    """An event."""

    id: int
    at: int
    level: str
    kind: str
    subject: str
    message: str
    session: int | None  # of the daemon; None for an event before the first


def newest_events(
    connection: Connection,
    *,
    before: int | None = None,
    after: int = 0,
    faults: bool = False,
    text: str = "",
    limit: int = 200,
) -> list[EventRow]:
    """Events with an id below `before`, newest first.

    Args:
        connection: an open reading connection.
        before: None for the newest.
        after: only events with a higher id.
        faults: only warnings and errors.
        text: must occur in kind, subject or message (ASCII case does not matter).
        limit: at most this many.
    """
    clauses: list[str] = []
    values: list[Any] = []
    if before is not None:
        clauses.append("id < ?")
        values.append(before)
    if after:
        clauses.append("id > ?")
        values.append(after)
    if faults:
        clauses.append("level IN ('warning', 'error')")
    if text:
        clauses.append("instr(lower(kind || ' ' || subject || ' ' || message), lower(?)) > 0")
        values.append(text)
    where = f" WHERE {' AND '.join(clauses)}" if clauses else ""
    found = rows(
        connection,
        f"SELECT id, at, level, kind, subject, message FROM event{where} ORDER BY id DESC LIMIT ?",
        (*values, limit),
    )
    names = ("id", "at", "level", "kind", "subject", "message")
    starts = rows(connection, "SELECT started_at, id FROM boot ORDER BY started_at, id")
    return [EventRow(**dict(zip(names, row, strict=True)), session=_session(starts, row[1])) for row in found]


def _session(starts: Sequence[tuple[int, int]], at: int) -> int | None:
    """The number of the session that had started last at a time."""
    place = bisect_right(starts, at, key=itemgetter(0))
    return starts[place - 1][1] if place else None


def events_by_time(connection: Connection, since: int, bucket_ms: int) -> dict[int, tuple[int, int, int]]:
    """How many notes, warnings and errors there were in each bucket since a time, by `at // bucket_ms`.

    The newest `COUNTED` events are looked at.
    """
    found = rows(
        connection,
        "SELECT at / ?, sum(level NOT IN ('warning', 'error')), sum(level = 'warning'), sum(level = 'error') FROM event"
        " WHERE id > (SELECT coalesce(max(id), 0) FROM event) - ? AND at >= ? GROUP BY 1",
        (bucket_ms, COUNTED, since),
    )
    return {row[0]: (row[1], row[2], row[3]) for row in found}
