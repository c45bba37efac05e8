"""The runs whose students a run starts from, and the runs that start from its own."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass

from state.enums import ACTIVE_RUN_STATES, RunState
from state.sqlite import Connection

BASE, PREVIOUS = "base", "previous"
"""Roles of a source: the student that `base` names; the student's own previous one, with `start_from = "previous"`."""
PREVIOUS_PLACE = 1_000_000
"""Its place among the sources: after all that the configuration names."""


@dataclass(frozen=True, kw_only=True, slots=True)
class SourceRun:
    """A run whose student another run starts from."""

    id: int
    role: str
    student: str
    scope: str
    state: RunState
    error: str = ""

    @property
    def words(self) -> str:
        """What messages call it."""
        return f"run {self.id} ({self.student} on {self.scope})"

    @property
    def ended(self) -> bool:
        """Whether it has ended."""
        return self.state != RunState.QUEUED and self.state not in ACTIVE_RUN_STATES


SOURCES = (
    "(SELECT json_group_array(json_array(s.place, s.source_id, s.role, r.student, r.scope, r.state, coalesce(r.error, '')))"
    " FROM run_source s JOIN run r ON r.id = s.source_id WHERE s.run_id = run.id)"
)
"""A column of a query on `run`: its sources, for `decode`."""


def decode(text: str) -> tuple[SourceRun, ...]:
    """The sources that the column `SOURCES` holds."""
    return tuple(
        SourceRun(id=key, role=role, student=student, scope=scope, state=RunState(state), error=error)
        for _, key, role, student, scope, state, error in sorted(json.loads(text))
    )


def add_sources(connection: Connection, run_id: int, sources: Sequence[tuple[int, str]]) -> None:
    """Records what a new run starts from, as ids of runs with their roles."""
    connection.executemany(
        "INSERT INTO run_source (run_id, place, source_id, role) VALUES (?, ?, ?, ?)",
        [(run_id, place, source, role) for place, (source, role) in enumerate(sources)],
    )


def set_previous(connection: Connection, run_id: int, source: int | None) -> None:
    """Records which earlier student a run started from; None: from its base."""
    connection.execute("DELETE FROM run_source WHERE run_id = ? AND role = ?", (run_id, PREVIOUS))
    if source is not None:
        connection.execute(
            "INSERT INTO run_source (run_id, place, source_id, role) VALUES (?, ?, ?, ?)",
            (run_id, PREVIOUS_PLACE, source, PREVIOUS),
        )


def requeue_waiting(connection: Connection, run_id: int) -> None:
    """Queues the runs again that failed before they began, because this one, their source, had ended without a student."""
    connection.execute(
        "WITH RECURSIVE heirs (id) AS (SELECT run_id FROM run_source WHERE source_id = ?"
        " UNION SELECT s.run_id FROM run_source s JOIN heirs h ON s.source_id = h.id)"
        " UPDATE run SET state = 'queued', error = NULL, ended_at = NULL WHERE state = 'failed' AND started_at IS NULL"
        " AND id IN (SELECT id FROM heirs)",
        (run_id,),
    )


def made_of(connection: Connection, run_id: int) -> list[int]:
    """A run and all that it took: the runs that it comes from, and those of students whose samples it or they read."""
    found = [run_id]
    for key in found:
        sources = connection.execute(
            "SELECT source_id FROM run_source WHERE run_id = ? ORDER BY place", (key,)
        )
        taught = connection.execute(
            "SELECT DISTINCT CAST(p.settings ->> '$.served' AS INTEGER) FROM run r, json_each(r.spec, '$.plans') j"
            " JOIN plan p ON p.id = j.value WHERE r.id = ? AND p.settings ->> '$.served' IS NOT NULL"
            " AND EXISTS (SELECT 1 FROM run_sample s WHERE s.run_id = r.id) ORDER BY 1",
            (key,),
        )
        found += [each for (each,) in (*sources, *taught) if each not in found]
    return found


def sources_of(connection: Connection, run_id: int) -> tuple[SourceRun, ...]:
    """What a run starts from, in order."""
    found = connection.execute(f"SELECT {SOURCES} FROM run WHERE id = ?", (run_id,)).fetchone()
    return decode(found[0]) if found else ()


def ancestors(connection: Connection, run_id: int) -> list[int]:
    """The runs that a run comes from, near ones first; itself is not among them."""
    rows = connection.execute(
        "WITH RECURSIVE line (id, depth) AS (SELECT source_id, 1 FROM run_source WHERE run_id = ?1"
        " UNION SELECT s.source_id, line.depth + 1 FROM run_source s JOIN line ON s.run_id = line.id WHERE line.depth < 1000)"
        " SELECT id FROM line GROUP BY id ORDER BY min(depth), id",
        (run_id,),
    )
    return [key for (key,) in rows]
