"""The daemon's answers to commands."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from state.sqlite import Connection
from state.views.rows import rows


@dataclass(frozen=True, kw_only=True, slots=True)
class Answer:
    """A command that was answered: `state` is done or refused."""

    id: int
    kind: str
    state: str
    text: str


def answers(connection: Connection, ids: Sequence[int]) -> list[Answer]:
    """The commands of `ids` that were answered."""
    if not ids:
        return []
    marks = ", ".join("?" * len(ids))
    found = rows(
        connection,
        f"SELECT id, kind, state, answer FROM command WHERE id IN ({marks}) AND state <> 'pending' ORDER BY id",
        tuple(ids),
    )
    return [Answer(id=row[0], kind=row[1], state=row[2], text=row[3] or "") for row in found]
