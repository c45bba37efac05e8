"""What a person asks of the daemon: rows that survive a restart, and their answers."""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from state.bulk import storable
from state.database import now_ms, open_reader, transaction
from state.sqlite import Connection


@dataclass(frozen=True, kw_only=True, slots=True)
class Pending:
    """A command that waits for the daemon."""

    id: int
    kind: str
    args: dict[str, Any]


@dataclass(frozen=True, kw_only=True, slots=True)
class Reply:
    """The daemon's answer."""

    id: int
    done: bool
    answer: str


def send(path: Path, kind: str, args: dict[str, Any]) -> int:
    """Writes a command row and returns its id."""
    with transaction(path) as connection:
        (key,) = connection.execute(
            "INSERT INTO command (kind, args, state, created_at) VALUES (?, ?, 'pending', ?) RETURNING id",
            (kind, json.dumps(args), now_ms()),
        ).fetchone()
        return int(key)


def wait_for(path: Path, command: int, timeout_s: float) -> Reply | None:
    """The answer to a command, or None when there is none within `timeout_s` seconds."""
    deadline = time.monotonic() + timeout_s
    with closing(open_reader(path)) as connection:
        while True:
            row = connection.execute("SELECT state, answer FROM command WHERE id = ?", (command,)).fetchone()
            if row[0] != "pending":
                return Reply(id=command, done=row[0] == "done", answer=row[1] or "")
            if time.monotonic() > deadline:
                return None
            time.sleep(0.05)


def pending(connection: Connection) -> list[Pending]:
    """Commands without an answer, oldest first."""
    rows = connection.execute("SELECT id, kind, args FROM command WHERE state = 'pending' ORDER BY id")
    return [Pending(id=key, kind=kind, args=json.loads(args)) for key, kind, args in rows]


def answer(connection: Connection, replies: Sequence[Reply]) -> list[None]:
    """Answers commands."""
    for reply in replies:
        connection.execute(
            "UPDATE command SET state = ?, answer = ?, answered_at = ? WHERE id = ?",
            storable(("done" if reply.done else "refused", reply.answer, now_ms(), reply.id)),
        )
    return [None] * len(replies)
