"""Events and the pulse: what a person may want to know, and what is true now."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from state.bulk import insert
from state.database import now_ms
from state.heartbeat import PulseData
from state.sqlite import Connection


@dataclass(frozen=True, kw_only=True, slots=True)
class EventRow:
    """One row of `event`; `subject` is "teacher:NAME", "task:NAME", "run:ID" or "daemon"."""

    level: str
    kind: str
    subject: str
    message: str
    data: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True, slots=True)
class PulseRow:
    """The daemon's heartbeat."""

    boot_id: int
    state: str
    data: PulseData


def add_events(connection: Connection, events: Sequence[EventRow]) -> list[None]:
    """Appends events."""
    now = now_ms()
    insert(
        connection,
        "INSERT INTO event (at, level, kind, subject, message, data)",
        [(now, item.level, item.kind, item.subject, item.message, json.dumps(item.data)) for item in events],
    )
    return [None] * len(events)


def write_pulse(connection: Connection, pulses: Sequence[PulseRow]) -> list[None]:
    """Replaces the pulse; the last one of a group counts."""
    last = pulses[-1]
    connection.execute(
        "INSERT INTO pulse (id, boot_id, at, state, data) VALUES (1, ?, ?, ?, ?) ON CONFLICT (id) DO UPDATE"
        " SET boot_id = excluded.boot_id, at = excluded.at, state = excluded.state, data = excluded.data",
        (last.boot_id, now_ms(), last.state, last.data.model_dump_json()),
    )
    return [None] * len(pulses)
