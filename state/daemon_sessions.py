"""Daemon sessions: their start and end, and what a start does about a crash before it.

A session is one daemon process, from start to end; its row is in table `boot`.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from state.batches import IN_A_BATCH, release_unsent
from state.database import now_ms, transaction
from state.enums import Outcome
from state.sqlite import Connection


@dataclass(frozen=True, kw_only=True, slots=True)
class StartedSession:
    """A session that has begun, and what the one before left behind."""

    id: int
    previous_ended: bool
    """Whether the previous session ended in order, or there was none."""
    unknown_attempts: int
    """Requests that were in flight when an earlier daemon died."""


@dataclass(frozen=True, kw_only=True, slots=True)
class SessionProcess:
    """The process of a session."""

    pid: int
    pid_started: float
    """In clock ticks since the machine booted: a reused pid has another one."""
    host: str
    ended: bool


def start_session(
    path: Path,
    *,
    pid: int,
    pid_started: float,
    host: str,
    version: str,
    config: dict[str, Any],
    batch_dialects: Sequence[str],
) -> StartedSession:
    """Records a start; attempts of earlier sessions that have no outcome become `unknown`.

    Those of teachers with one of `batch_dialects` are released instead if their batch was never requested.
    """
    with transaction(path) as connection:
        previous = connection.execute("SELECT ended_at FROM boot ORDER BY id DESC LIMIT 1").fetchone()
        now = now_ms()
        (session_id,) = connection.execute(
            "INSERT INTO boot (pid, pid_started, host, version, started_at, config) VALUES (?, ?, ?, ?, ?, ?)"
            " RETURNING id",
            (pid, pid_started, host, version, now, json.dumps(config)),
        ).fetchone()
        release_unsent(connection, session_id, batch_dialects)
        unknown = _end_unanswered(connection, session_id)
        _expire_stop_commands(connection, now)
        return StartedSession(
            id=session_id,
            previous_ended=previous is None or previous[0] is not None,
            unknown_attempts=unknown,
        )


def replace_config(connection: Connection, session_id: int, config: dict[str, Any]) -> None:
    """Stores the resolved configuration that a session uses from now on."""
    connection.execute("UPDATE boot SET config = ? WHERE id = ?", (json.dumps(config), session_id))


def end_session(connection: Connection, session_id: int, reason: str) -> None:
    """Records that a session ended in order."""
    now = now_ms()
    connection.execute(
        "UPDATE boot SET ended_at = ?, exit_reason = ? WHERE id = ?", (now, reason, session_id)
    )
    connection.execute("UPDATE pulse SET state = 'stopped', at = ? WHERE boot_id = ?", (now, session_id))


def last_process(connection: Connection) -> SessionProcess | None:
    """The process of the newest session; None where there was none."""
    row = connection.execute(
        "SELECT pid, pid_started, host, ended_at FROM boot ORDER BY id DESC LIMIT 1"
    ).fetchone()
    if row is None:
        return None
    return SessionProcess(pid=row[0], pid_started=row[1], host=row[2], ended=row[3] is not None)


def _expire_stop_commands(connection: Connection, started_at: int) -> None:
    """A stop that was meant for an earlier daemon does not end this one."""
    connection.execute(
        "UPDATE command SET state = 'refused', answer = 'the daemon it was sent to has ended', answered_at = ?1"
        " WHERE state = 'pending' AND kind = 'stop' AND created_at < ?1",
        (started_at,),
    )


def _end_unanswered(connection: Connection, session_id: int) -> int:
    """Ends attempts that were in flight when an earlier daemon died; returns how many.

    The provider may have billed them, so their reservation counts as unknown. Attempts in a batch that a provider
    has are left open: their result can still be fetched.
    """
    run = connection.execute
    where = f"a.outcome IS NULL AND a.boot_id <> {session_id} AND NOT {IN_A_BATCH}"
    count = int(run(f"SELECT count(*) FROM attempt a WHERE {where}").fetchone()[0])
    if count == 0:
        return 0
    run(
        "UPDATE teacher SET unknown_attempts = unknown_attempts + t.n, retries = retries + t.requests,"
        " unknown_micros = unknown_micros + t.micros, reserved_micros = reserved_micros - t.micros FROM (SELECT a.teacher_id, count(*) n,"
        f" sum(a.leader_id IS NULL) requests, sum(a.reserved_micros) micros FROM attempt a WHERE {where} GROUP BY 1) t WHERE teacher.id = t.teacher_id"
    )
    run(
        "UPDATE plan SET unknown_micros = unknown_micros + t.micros, reserved_micros = reserved_micros - t.micros"
        " FROM (SELECT s.plan_id, sum(a.reserved_micros) micros FROM attempt a JOIN sample s ON s.id = a.sample_id"
        f" WHERE {where} GROUP BY 1) t WHERE plan.id = t.plan_id"
    )
    run(
        "UPDATE sample SET unknowns = unknowns + t.n"
        f" FROM (SELECT a.sample_id, count(*) n FROM attempt a WHERE {where} GROUP BY 1) t WHERE sample.id = t.sample_id"
    )
    run(
        f"UPDATE attempt AS a SET outcome = '{Outcome.UNKNOWN.value}', unknown_micros = a.reserved_micros,"
        f" reason = 'the daemon died before an answer arrived', ended_at = {now_ms()} WHERE {where}"
    )
    return count
