"""Whose a run's directory is: `runs/N` belongs to one run of one database.

`owner.json` is the first file in it, and is compared before anything else there is believed. Another database in the same
folder, a deleted one or a restored backup gives the same numbers to other runs. What is another's is set aside as
`N.of-OWNER`, never deleted, and is found there by the database that it belongs to.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from engine.config import Config
from engine.config.students import OF_TRAINING, TrainingConfig
from engine.errors import JobFailed
from engine.methods import METHODS
from engine.students import checkpoints
from engine.students.run_lock import holder_of
from engine.students.spec import OWNER, UNREADABLE, Owner, Spec, read_owner
from state.database import database_id
from state.enums import RunState
from state.runs import RunRow
from state.sqlite import Connection

UNKNOWN = "unknown"
BEFORE_RESTORE = "before-restore"
"""Stands for the owner of a directory that was made after the backup that this database was restored from."""


def own_directory(connection: Connection, config: Config, run: RunRow) -> Path | None:
    """The directory of a run, or where it was set aside for another database's; None where it has none."""
    owner = owner_of(connection, run)
    return next((place for place in _places(config.runs, owner) if _is_own(place, owner, run)), None)


def claim_directory(
    connection: Connection, config: Config, run: RunRow, say: Callable[[str], None]
) -> tuple[Path, bool]:
    """Makes `runs/N` the directory of a run, and returns it and whether the run had it already.

    Args:
        connection: an open connection.
        config: the configuration.
        run: the run.
        say: reports what was set aside.

    Raises:
        JobFailed: there is another's directory, which cannot be set aside.
    """
    owner, directory = owner_of(connection, run), config.runs / str(run.id)
    own = own_directory(connection, config, run)
    if own != directory:
        if not _is_empty(directory):
            say(set_aside(directory))
        if own is not None:
            own.rename(directory)
    directory.mkdir(parents=True, exist_ok=True)
    if read_owner(directory) != owner:
        checkpoints.replace(directory / OWNER, owner.to_json())
        checkpoints.sync(directory)
    return directory, own is not None


def set_aside(directory: Path, whose: str = "") -> str:
    """Renames the directory of another run after its owner, or `whose`; says what was done.

    Raises:
        JobFailed: a process trains in it, or it cannot be renamed.
    """
    owner = read_owner(directory)
    database = owner.database[:8] if owner is not None and owner.database else UNKNOWN
    told = f"{directory} is not this run's: it belongs to " + (
        "a run that this database does not know"
        if owner is None or owner == UNREADABLE
        else f"run {owner.run_id} of the database {database}…, with other rows, questions or settings"
    )
    if holder_of(directory) is not None:
        raise JobFailed(
            f"{told}, and a process is training in it. Stop the daemon of that database, or set another [state] runs"
        )
    target = next(
        place
        for number in range(1, 10**6)
        if not (place := directory.with_name(_aside(directory.name, whose or database, number))).exists()
    )
    try:
        directory.rename(target)
    except OSError as error:
        raise JobFailed(
            f"{told}, and cannot be renamed ({error.strerror}). Move it away, or set another [state] runs"
        ) from None
    return f"{told}. It was set aside as {target.name}, and nothing in it was read"


def shown_directory(config: Config, directory: Path) -> str:
    """A path relative to the database where it is below its folder, so both can be moved together."""
    folder = config.database.parent
    return str(directory.relative_to(folder) if directory.is_relative_to(folder) else directory)


def owner_of(connection: Connection, run: RunRow) -> Owner:
    """What `owner.json` of a run's directory says."""
    return Owner(
        database=database_id(connection),
        run_id=run.id,
        manifest_digest=run.digest,
        settings=_settings(run),
    )


def previous_of(run: RunRow, directory: Path) -> int | None:
    """The earlier run of its student that a run with a directory starts from, with `start_from = "previous"`."""
    if run.settings.student.get("start_from") != "previous":
        return None
    try:
        spec = Spec.model_validate_json((directory / "spec.json").read_bytes())
    except (OSError, ValidationError):
        return None
    return spec.started_from if spec.source is None else None


def _settings(run: RunRow) -> str:
    """A digest of what decides a run besides its rows, except for its student's name and how a finished one is asked."""
    student: dict[str, Any] = {key: value for key, value in run.settings.student.items() if key != "name"}
    student["evaluation"] = _of_training(student)
    tasks = [[task.name, task.answer_format] for task in run.settings.tasks]
    text = json.dumps([student, run.scope, run.trigger, tasks], sort_keys=True)
    return hashlib.blake2b(text.encode(), digest_size=12).hexdigest()


def _of_training(student: Mapping[str, Any]) -> dict[str, Any]:
    """The settings of an evaluation that decide what is trained; all of them where nothing is."""
    evaluation = student.get("evaluation", {})
    method = METHODS.get(str(student.get("method")))
    if method is not None and not method.trains:
        return dict(evaluation)
    return {name: evaluation[name] for name in OF_TRAINING if name in evaluation}


def _aside(name: str, whose: str, number: int) -> str:
    return f"{name}.of-{whose}" + (f".{number}" if number > 1 else "")


def _places(runs: Path, owner: Owner) -> Iterator[Path]:
    yield runs / str(owner.run_id)
    for whose in (owner.database[:8], UNKNOWN):
        yield from sorted(runs.glob(f"{owner.run_id}.of-{whose}*"))


def _is_empty(directory: Path) -> bool:
    """Whether a directory does not exist or holds nothing, or only an owner's file that was being written."""
    if not directory.is_dir():
        return not directory.exists()
    return all(path.name.startswith(f"{OWNER}.") for path in directory.iterdir())


def _is_own(directory: Path, owner: Owner, run: RunRow) -> bool:
    found = read_owner(directory)
    return found == owner if found is not None else _was_made_before(directory, run)


def _was_made_before(directory: Path, run: RunRow) -> bool:
    """Whether a directory without an owner was made by an older version for this run, which has been started."""
    done = run.state == RunState.DONE
    if (run.started_at is None and not done) or not directory.is_dir():
        return False
    if done and not (directory / "spec.json").exists():
        return True  # only its student was kept
    try:
        spec = Spec.model_validate_json((directory / "spec.json").read_bytes())
        training = TrainingConfig.model_validate(run.settings.student["training"])
    except (OSError, KeyError, ValidationError):
        return False
    of_spec = _of_training({"method": spec.method, "evaluation": spec.evaluation.model_dump(mode="json")})
    return (
        (spec.run_id, spec.manifest_digest, spec.scope, spec.trigger, spec.method)
        == (run.id, run.digest, run.scope, run.trigger, run.settings.student.get("method"))
    ) and (spec.training == training and of_spec == {**of_spec, **_of_training(run.settings.student)})
