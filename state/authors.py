"""Who wrote a sample: the teacher and its model at that time.

A teacher's row holds the model that is configured now. A sample's model is what the response to it names; if that names
none, what was configured when the daemon session of the request ended.
"""

from __future__ import annotations

import json
import zlib
from collections.abc import Collection
from typing import Any, NamedTuple

from state.sqlite import Connection

LONGEST = 200
"""Characters of a model's name; a longer text in its place is none."""


class Author(NamedTuple):
    """The teacher of a sample, the model that wrote it, and the dialect of its bodies."""

    teacher: str
    model: str
    dialect: str
    damaged: bool = False
    """Whether the body is not the one that was stored: zlib's own checksum says so."""

    @property
    def label(self) -> str:
        """`teacher (model)`."""
        return f"{self.teacher} ({self.model})"


class Authors:
    """The authors of samples; what was configured in a daemon session is read once."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._configured: dict[int, dict[str, Any]] = {}

    def of(self, sample_ids: Collection[int]) -> dict[int, Author]:
        """The authors of samples, by id; a fallback teacher's samples are in the same plan."""
        rows = self._connection.execute(
            "SELECT s.id, t.name, t.model, t.dialect, a.boot_id, c.raw FROM json_each(?) j"
            " CROSS JOIN sample s ON s.id = j.value JOIN teacher t ON t.id = s.teacher_id"
            " LEFT JOIN attempt a ON a.id = (SELECT f.id FROM attempt f WHERE f.sample_id = s.id AND f.turn = 0"
            "   AND f.outcome = 'ok' ORDER BY f.id DESC LIMIT 1)"
            " LEFT JOIN completion c ON c.attempt_id = coalesce(a.leader_id, a.id)",
            (json.dumps(sorted(sample_ids)),),
        )
        found = {}
        for key, name, model, dialect, session, raw in rows:
            then = self._teachers(session).get(name, {})
            try:
                body = zlib.decompress(raw) if raw else b""
                damaged = False
            except zlib.error:
                body, damaged = b"", True
            found[key] = Author(
                name,
                _named(body) or _text(then, "model") or model,
                _text(then, "dialect") or dialect,
                damaged,
            )
        return found

    def _teachers(self, session: int | None) -> dict[str, Any]:
        """The teachers' tables of the last configuration of a daemon session."""
        if session is None:
            return {}
        if session not in self._configured:
            (config,) = self._connection.execute(
                "SELECT config FROM boot WHERE id = ?", (session,)
            ).fetchone()
            teachers = json.loads(config).get("teachers", {})
            self._configured[session] = teachers if isinstance(teachers, dict) else {}
        return self._configured[session]


def _text(table: Any, name: str) -> str:
    value = table.get(name) if isinstance(table, dict) else None
    return value if isinstance(value, str) and len(value) <= LONGEST else ""


def _named(body: bytes) -> str:
    """The model that a stored body names."""
    try:
        return _text(json.loads(body), "model")
    except (ValueError, RecursionError):
        return ""
