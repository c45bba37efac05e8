"""The exported student of a run, for commands that pass it on, and the teachers whose terms it depends on."""

from __future__ import annotations

from pathlib import Path

from daemon.training.run_directory import own_directory
from engine.config import Config
from engine.errors import UsageError
from engine.methods import METHODS
from engine.students.operations.base import MEMBERS_FILE, described_by, is_prefix
from engine.students.spec import Spec
from state.enums import RunState
from state.exports import teachers_of
from state.lineage import sources_of
from state.runs import RunRow, run_by_id, sample_ids
from state.sqlite import Connection

STUDENT = "student"


def finished_student(
    connection: Connection, config: Config, run_id: int, *, members: bool = False, prefix: bool = True
) -> tuple[RunRow, Path]:
    """The run and the directory of its student.

    Args:
        connection: to the database.
        config: the configuration.
        run_id: the run.
        members: it may consist of several models.
        prefix: it may be a prefix on the base beside it.

    Raises:
        UsageError: there is no such run, or it has no student.
    """
    run = run_by_id(connection, run_id)
    if run is None:
        raise UsageError(f"there is no run {run_id}: `coterie status` lists the runs")
    method = METHODS.get(str(run.settings.student.get("method", "")))
    if method is not None and not method.trains:
        raise UsageError(
            f"run {run_id} measured an untrained base (method = {method.name!r}): it has no student"
        )
    if run.state != RunState.DONE:
        raise UsageError(f"run {run_id} is {run.state}: it has no student until it is done")
    own = own_directory(connection, config, run)
    if own is None and (config.runs / str(run_id)).is_dir():
        raise UsageError(
            f"{config.runs / str(run_id)} is not the directory of run {run_id} of {config.database}: it belongs to a run of"
            " another database, or has other rows or settings. Put the right directory in its place"
        )
    directory = (own or config.runs / str(run_id)) / STUDENT
    if (directory / MEMBERS_FILE).is_file():
        if members:
            return run, directory
        raise UsageError(
            f"run {run_id} made a student of several models ({run.kind}), not a single one: its members are in {directory}"
        )
    if not prefix and is_prefix(directory):
        raise UsageError(
            f"run {run_id} made a prefix on its base, which is not a model by itself: `coterie serve {run_id}` serves the two together, and peft"
            f" loads them from {directory}"
        )
    described = described_by(directory)
    if not (described / "config.json").is_file():
        raise UsageError(f"run {run_id} is done, but its student is gone: {described} has no config.json")
    return run, directory


def forbidding_teachers(connection: Connection, config: Config, run_id: int) -> list[str]:
    """Teachers of a student whose terms forbid training, or that are not in the configuration, by name.

    Those of all students that it comes from count as well.
    """
    seen: set[int] = set()
    samples: set[int] = set()
    rest = [run_id]
    while rest:
        at = rest.pop()
        if at in seen:
            continue
        seen.add(at)
        samples |= sample_ids(connection, at)
        rest += [source.id for source in sources_of(connection, at)]
        run = run_by_id(connection, at)
        own = own_directory(connection, config, run) if run else None
        if own and (own / "spec.json").is_file():  # of an older version: the database does not say
            before = Spec.model_validate_json((own / "spec.json").read_bytes()).started_from
            rest += [] if before is None else [before]
    allowed = {name for name, teacher in config.teachers.items() if teacher.training_allowed}
    return sorted({name for name, _, _ in teachers_of(connection, samples)} - allowed)
