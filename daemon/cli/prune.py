"""`coterie prune`: removes what finished work no longer needs; results and whatever was paid for stay.

Checkpoints of finished runs, whose students stay; with `--batches` also the files of finished batches at the provider, whose answers are stored.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from contextlib import closing
from itertools import groupby
from pathlib import Path

import anyio

from daemon.training.run_directory import own_directory
from engine.config import Config, load_config
from engine.errors import JobFailed
from engine.students import checkpoints
from engine.teachers.batch_client import BatchClient
from engine.teachers.dialects import dialect
from engine.teachers.endpoint import endpoint
from engine.teachers.keys import environment, load_keys
from state.batches import BatchFiles, files_left, forget_files
from state.database import open_reader
from state.runs import done_runs
from state.safe import safe
from state.sqlite import Connection
from state.views.format import counted


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The arguments of the command."""
    parser.add_argument("--dry-run", action="store_true", help="only say what would be removed")
    parser.add_argument(
        "--batches", action="store_true", help="also delete the files of finished batches at the provider"
    )


def command(arguments: argparse.Namespace) -> int:
    """Removes them; with `--dry-run` only lists them, with their bytes.

    Raises:
        JobFailed: a provider did not delete a file.
        SecretError: the key of a teacher with such files is not there.
    """
    config = load_config(arguments.config)
    with closing(open_reader(config.database)) as connection:
        _checkpoints(connection, config, dry=arguments.dry_run)
        left = files_left(connection)
    if left:
        _batches(config, left, delete=arguments.batches and not arguments.dry_run, asked=arguments.batches)
    return 0


def _checkpoints(connection: Connection, config: Config, *, dry: bool) -> None:
    runs = [(run, own_directory(connection, config, run)) for run in done_runs(connection)]
    total = 0
    for run, directory in runs:
        if directory is None or not (directory / "student").is_dir():
            continue  # without its student, the checkpoints are all there is
        keep = int(run.settings.student.get("training", {}).get("keep_checkpoints_finished", 0))
        places = checkpoints.removable(directory / "checkpoints", keep=keep)
        size = sum(map(_size, places))
        if not places:
            continue
        total += size
        if not dry:
            checkpoints.prune(directory / "checkpoints", keep=keep)
        sys.stdout.write(safe(f"run {run.id}  {run.student} on {run.scope}  {size:,} bytes\n"))
    if not total:
        sys.stdout.write("no finished run has checkpoints to remove\n")
    elif dry:
        sys.stdout.write(f"dry run: {total:,} bytes would be freed\n")
    else:
        sys.stdout.write(f"{total:,} bytes freed\n")


def _batches(config: Config, left: Sequence[BatchFiles], *, delete: bool, asked: bool) -> None:
    """Deletes the files of finished batches, or says what there is."""
    failed = []
    for name, group in groupby(sorted(left, key=lambda each: each.teacher), key=lambda each: each.teacher):
        batches = list(group)
        teacher = config.teachers.get(name)
        what = _count(batches)
        if teacher is not None and teacher.builtin:
            continue  # they were gone with its server
        if teacher is None or dialect(teacher.dialect).transport != "batches":
            said = f"{what} stay at its provider: it is not configured with a dialect of batches"
        elif not delete:
            said = f"{what} at its provider" + (" would be deleted" if asked else "; --batches deletes them")
        else:
            gone, why = anyio.run(_delete, config, name, batches)
            said = f"{_count(gone)} deleted at its provider"
            if why:
                failed.append(f"teacher {name}: {_count(batches[len(gone) :])} not deleted: {why}")
        sys.stdout.write(safe(f"teacher {name}: {said}\n"))
    if failed:
        raise JobFailed("; ".join(failed))


async def _delete(config: Config, name: str, batches: Sequence[BatchFiles]) -> tuple[list[BatchFiles], str]:
    """The batches whose files the provider has no more, and why it kept the next one's."""
    teacher = config.teachers[name]
    environ = environment(config.daemon.env_file, config.folder)
    keys = load_keys(name, teacher, folder=config.folder, environ=environ)
    by_label = {key.label: key for key in keys}
    gone: list[BatchFiles] = []
    async with BatchClient(teacher, at=endpoint(name, teacher, environ)) as client:
        for batch in batches:
            key = by_label.get(batch.key, keys[0])
            for file in batch.ids:
                failure = await client.forget(file, key=key.secret)
                if failure is not None and failure.status != 404:
                    return gone, failure.reason
            await anyio.to_thread.run_sync(forget_files, config.database, batch.batch_id)
            gone.append(batch)
    return gone, ""


def _count(batches: Sequence[BatchFiles]) -> str:
    files = sum(len(batch.ids) for batch in batches)
    return f"{counted(files, 'file')} of {counted(len(batches), 'finished batch', 'finished batches')}"


def _size(place: Path) -> int:
    return sum(path.stat().st_size for path in place.rglob("*") if path.is_file())
