"""Students that were made from students: what their operation found out, and whom they come from."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from state.enums import TRAIN
from state.lineage import ancestors
from state.sqlite import Connection
from state.views.rows import loaded


@dataclass(frozen=True, kw_only=True, slots=True)
class MadeStudent:
    """A finished run of an operation."""

    run_id: int
    figures: Mapping[str, Any]
    """What the operation found out."""
    settings: Mapping[str, Any]
    """Its keys in `[[derived]]`."""
    sources: tuple[int, ...]
    """The runs that it was made from, in order."""
    common: tuple[int, ...]
    """The runs that all of its sources come from, near ones first; of a single source none."""


def read_made(connection: Connection) -> dict[int, MadeStudent]:
    """All finished runs of operations, by run."""
    found: dict[int, MadeStudent] = {}
    for key, figures, spec in connection.execute(
        "SELECT id, figures, spec FROM run WHERE state = 'done' AND kind <> ? ORDER BY id", (TRAIN,)
    ).fetchall():
        sources = [
            source
            for (source,) in connection.execute(
                "SELECT source_id FROM run_source WHERE run_id = ? ORDER BY place", (key,)
            )
        ]
        lines = [[source, *ancestors(connection, source)] for source in sources]
        common = [run for run in lines[0] if all(run in line for line in lines[1:])] if len(lines) > 1 else []
        found[key] = MadeStudent(
            run_id=key,
            figures=loaded(figures, dict),
            settings=loaded(spec, dict).get("student", {}).get("derived", {}),
            sources=tuple(sources),
            common=tuple(common),
        )
    return found
