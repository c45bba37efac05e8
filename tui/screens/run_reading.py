"""What the runs screen reads: the run under the cursor, those drawn over it, and the data of the tab that is shown."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from state.sqlite import Connection
from state.views.frontier import CostPoint, frontier_now
from state.views.paired import Paired, paired
from state.views.runs import PredictionRow, predictions
from tui.screens.run_history import RunUpdate, log_tail, read_history
from tui.screens.run_panels import other_of
from tui.screens.run_phases import Phase, phases_of


@dataclass(frozen=True, slots=True)
class RunsPayload:
    """One reading; None: not wanted."""

    run: RunUpdate
    others: tuple[RunUpdate, ...]
    paired: Paired | None
    phases: tuple[Phase, ...]
    log: str | None
    predictions: list[PredictionRow] | None
    frontier: tuple[CostPoint, ...] | None


def read_runs(
    connection: Connection,
    base: Path,
    now: int,
    *,
    run: int,
    after: int,
    marks: Sequence[int],
    known: Mapping[int, int],
    tab: str,
    wrong_only: bool,
    limit: int,
    frontier: bool,
) -> RunsPayload:
    """Reads it.

    Args:
        connection: an open connection.
        base: the folder of the database, which run directories are relative to.
        now: wall clock, UTC milliseconds.
        run: the run under the cursor.
        after: its last step that is known.
        marks: the runs to draw over it; empty: the one that it is compared with by itself.
        known: the last known step of each of these.
        tab: the one that is shown.
        wrong_only: whether predictions and questions leave out what is right, or equal.
        limit: the most predictions.
        frontier: whether to read what all students cost; reads all samples.
    """
    found = read_history(connection, run, after)
    own = other_of(found.run) if found.run is not None else None
    over = tuple(marks) or ((own,) if own is not None else ())
    differing = wrong_only and tab == "questions"
    return RunsPayload(
        found,
        tuple(read_history(connection, each, known.get(each, -1)) for each in over),
        paired(connection, run, over[0], differing=differing, limit=limit) if over else None,
        phases_of(base, found.run, now) if found.run is not None else (),
        log_tail(base, found.run.directory) if tab == "log" and found.run is not None else None,
        predictions(connection, run, wrong_only=wrong_only, limit=limit) if tab == "predictions" else None,
        frontier_now(connection) if frontier else None,
    )
