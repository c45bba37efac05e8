"""The exported student that a run starts from."""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from pathlib import Path

from daemon.training.run_directory import own_directory
from engine.config import Config, StudentConfig
from engine.errors import JobFailed
from engine.students.spec import Spec
from state.lineage import BASE
from state.runs import RunRow, finished_before, run_by_id
from state.sqlite import Connection


@dataclass(frozen=True, slots=True)
class Beginning:
    """The exported student that a run starts from."""

    run_id: int
    student: Path
    """Its directory."""
    source: str | None = None
    """Its name, if the base names it; None: it is the run's own previous student."""


def begins_with(
    connection: Connection, config: Config, run: RunRow, student: StudentConfig
) -> Beginning | None:
    """The student that a run starts from: its previous one if it is to and there is one, else the one that its base names.

    Raises:
        JobFailed: the student that its base names is gone.
    """
    if student.start_from == "previous":
        for earlier in finished_before(connection, run):
            if (found := student_of(connection, config, earlier)) is not None:
                return Beginning(earlier.id, found)
    for source in run.sources:
        if source.role == BASE:
            row = run_by_id(connection, source.id)
            found = student_of(connection, config, row) if row else None
            if found is None:
                raise JobFailed(
                    f"the student of {source.words}, which this run starts from, is gone: train it again with"
                    f" `coterie train {source.scope} --student {source.student}`"
                )
            return Beginning(source.id, found, source.student)
    return None


def student_of(connection: Connection, config: Config, run: RunRow) -> Path | None:
    """The directory of the exported student of a run; None where it has none."""
    directory = own_directory(connection, config, run)
    if directory is None or not (directory / "student").is_dir():
        return None
    return directory.resolve() / "student"


def epochs_of(directory: Path) -> int:
    """The epochs that the exported student of a run has begun, over all runs that led to it; 0 if they are not known."""
    try:
        spec = Spec.model_validate_json((directory / "spec.json").read_bytes())
        own = float(json.loads((directory / "evaluation.json").read_bytes())["epoch"])
    except (OSError, ValueError, KeyError, TypeError):
        return 0
    return spec.epochs_before + math.ceil(own)
