"""Events, newest first, a page at a time."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from state.sqlite import Connection
from state.views.rows import rows

LEVELS = ("info", "warning", "error")


@dataclass(frozen=True, kw_only=True, slots=True)
class EventRow:
    """An event."""

    id: int
    at: int
    level: str
    kind: str
    subject: str
    message: str


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
    return [EventRow(**dict(zip(names, row, strict=True))) for row in found]
