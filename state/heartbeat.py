"""The daemon's heartbeat: its current state, written once a second and read by the monitor and `coterie status`.

Plain dataclasses: readers start often, and pydantic would cost them more than everything else they do.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field, fields
from typing import Any, TypeVar

from state.database import now_ms
from state.sqlite import Connection

LATENCY_EDGES_S = (0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0, 300.0, 600.0)
"""Upper bounds of the classes of response times."""


@dataclass(frozen=True, kw_only=True, slots=True)
class TeacherHeartbeat:
    """One teacher, all its keys together."""

    state: str = "ready"
    """ready | paused | limited | parked | cooling (circuit breaker open)."""
    reason: str = ""
    in_flight: int = 0
    cap: int = 0
    queued: int = 0
    requests_per_minute: float = 0.0
    """Sent over the last minute (extrapolated during the first)."""
    tokens_per_minute: float = 0.0
    requests_limit: float | None = None
    tokens_limit: float | None = None
    p50_ms: float | None = None
    p95_ms: float | None = None
    resumes_in_s: float | None = None
    """Seconds until the pause ends."""
    bound_by: str = ""
    """The current bottleneck: "requests/min", "tokens/min", "input tokens/min", "output tokens/min", "concurrency", "latency",
    "storing" (answers not yet on disk), "pause", "limit a day", or "" (none)."""
    shared_with: int = 0
    """Other processes on this machine (their keys) that share its limits now."""
    errors: dict[str, int] = field(default_factory=dict)
    """Failures since this daemon started, by class."""
    caps: list[int] = field(default_factory=list)
    """The concurrency cap over the last minute."""
    latency_counts: list[int] = field(default_factory=list)
    """Answers since this daemon started, by response time: up to each of `LATENCY_EDGES_S`, and above."""
    latency_sum_s: float = 0.0
    """The sum of those times."""


@dataclass(frozen=True, kw_only=True, slots=True)
class HeartbeatData:
    """What the daemon is doing now."""

    loop_lag_ms: float = 0.0
    commit_lag_ms: float = 0.0
    in_flight: int = 0
    waiting_retry: int = 0
    requests_per_second: float = 0.0
    tokens_per_second: float = 0.0
    retries_per_second: float = 0.0
    share_429: float = 0.0
    """Share of 429s among the answers of the last minute, 0 to 1."""
    memory_mb: float = 0.0
    file: int = 0
    """The inode of the database that the daemon has open; 0 if it is not known. A copy has another one."""
    notice: str = ""
    """A problem you should know about: budget reached, disk full, …; empty when all is well."""
    teachers: dict[str, TeacherHeartbeat] = field(default_factory=dict)
    held: dict[str, str] = field(default_factory=dict)
    """Plans that are held, as `plan on task`, and why."""
    awaits: dict[str, str] = field(default_factory=dict)
    """Plans of panels, as `plan on task`, and whom how many of their samples wait for: `small-b (3)`."""
    waiting: dict[str, int] = field(default_factory=dict)
    """The same plans, and how many of their samples wait."""
    waits: dict[str, str] = field(default_factory=dict)
    """Plans that wait for a student, as `plan on task`, and for which."""
    students: dict[str, str] = field(default_factory=dict)
    """Students that wait for another one, as `student on task`, and for which."""
    tasks: dict[str, float] = field(default_factory=dict)
    """Correct samples per minute of each task, over the last minutes."""
    requests: list[float] = field(default_factory=list)
    tokens: list[float] = field(default_factory=list)
    limited: list[float] = field(default_factory=list)
    retries: list[float] = field(default_factory=list)

    def to_json(self) -> str:
        """The stored form."""
        return json.dumps(asdict(self))

    @classmethod
    def from_json(cls, text: str) -> HeartbeatData:
        """Reads the stored form; fields that are missing or malformed keep their defaults.

        Another version of the daemon may have written it, and its counters are useful all the same.
        """
        try:
            found = json.loads(text)
        except (ValueError, RecursionError):
            return cls()
        return _read(cls, found)


@dataclass(frozen=True, kw_only=True, slots=True)
class HeartbeatRow:
    """The heartbeat as it is stored."""

    boot_id: int
    state: str
    data: HeartbeatData


def write_heartbeat(connection: Connection, beats: Sequence[HeartbeatRow]) -> list[None]:
    """Replaces the heartbeat; the last one of a group is stored."""
    last = beats[-1]
    connection.execute(
        "INSERT INTO pulse (id, boot_id, at, state, data) VALUES (1, ?, ?, ?, ?) ON CONFLICT (id) DO UPDATE"
        " SET boot_id = excluded.boot_id, at = excluded.at, state = excluded.state, data = excluded.data",
        (last.boot_id, now_ms(), last.state, last.data.to_json()),
    )
    return [None] * len(beats)


def is_copy(connection: Connection) -> bool:
    """Whether the daemon of the newest session has another file open: this one is a copy of its database."""
    row = connection.execute(
        "SELECT data FROM pulse WHERE boot_id = (SELECT max(id) FROM boot) ORDER BY at DESC LIMIT 1"
    ).fetchone()
    theirs = HeartbeatData.from_json(row[0]).file if row is not None else 0
    path = connection.execute("PRAGMA database_list").fetchone()[2]
    try:
        return bool(theirs and path) and os.stat(path).st_ino != theirs
    except OSError:
        return False


T = TypeVar("T", TeacherHeartbeat, HeartbeatData)


def _read(kind: type[T], found: Any) -> T:
    if not isinstance(found, dict):
        return kind()
    given = {each.name: found[each.name] for each in fields(kind) if each.name in found}
    types = {each.name: str(each.type) for each in fields(kind)}
    read = {name: _FIELDS[types[name]](value) for name, value in given.items()}
    return kind(**{name: value for name, value in read.items() if value is not None})


def _text(value: Any) -> str | None:
    return value if isinstance(value, str) else None


def _number(value: Any) -> float | None:
    return float(value) if isinstance(value, int | float) and not isinstance(value, bool) else None


def _integer(value: Any) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) else None


def _list(item: Callable[[Any], Any]) -> Callable[[Any], Any]:
    return lambda value: (
        [read for each in value if (read := item(each)) is not None] if isinstance(value, list) else None
    )


def _dict(item: Callable[[Any], Any]) -> Callable[[Any], Any]:
    return lambda value: (
        {key: read for key, each in value.items() if (read := item(each)) is not None}
        if isinstance(value, dict)
        else None
    )


_FIELDS: dict[str, Callable[[Any], Any]] = {
    "str": _text,
    "int": _integer,
    "float": _number,
    "float | None": _number,
    "list[int]": _list(_integer),
    "list[float]": _list(_number),
    "dict[str, int]": _dict(_integer),
    "dict[str, float]": _dict(_number),
    "dict[str, str]": _dict(_text),
    "dict[str, TeacherHeartbeat]": _dict(lambda value: _read(TeacherHeartbeat, value)),
}
"""What reads a field's value, by the field's type; None where it does not fit."""
