"""The event log."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from state.bulk import insert
from state.database import now_ms
from state.sqlite import Connection


@dataclass(frozen=True, kw_only=True, slots=True)
class EventRow:
    """One row of `event`; `subject` is "teacher:NAME", "task:NAME", "run:ID" or "daemon"."""

    level: str
    kind: str
    subject: str
    message: str
    data: dict[str, Any] = field(default_factory=dict)


def add_events(connection: Connection, events: Sequence[EventRow]) -> list[None]:
    """Appends events."""
    now = now_ms()
    insert(
        connection,
        "INSERT INTO event (at, level, kind, subject, message, data)",
        [(now, item.level, item.kind, item.subject, item.message, json.dumps(item.data)) for item in events],
    )
    return [None] * len(events)
