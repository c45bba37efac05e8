"""`coterie prune`: removes the checkpoints of finished runs; their students, predictions and results stay."""

from __future__ import annotations

import argparse
import sys
from contextlib import closing
from pathlib import Path

from daemon.training.run_directory import own_directory
from engine.config import load_config
from engine.students import checkpoints
from state.database import open_reader
from state.runs import done_runs
from state.safe import safe


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The arguments of the command."""
    parser.add_argument("--dry-run", action="store_true", help="only say how many bytes that would free")


def command(arguments: argparse.Namespace) -> int:
    """Removes them; with `--dry-run` only lists them, with their bytes."""
    config = load_config(arguments.config)
    with closing(open_reader(config.database)) as connection:
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
        if not arguments.dry_run:
            checkpoints.prune(directory / "checkpoints", keep=keep)
        sys.stdout.write(safe(f"run {run.id}  {run.student} on {run.scope}  {size:,} bytes\n"))
    if not total:
        sys.stdout.write("no finished run has checkpoints to remove\n")
    elif arguments.dry_run:
        sys.stdout.write(f"dry run: {total:,} bytes would be freed\n")
    else:
        sys.stdout.write(f"{total:,} bytes freed\n")
    return 0


def _size(place: Path) -> int:
    return sum(path.stat().st_size for path in place.rglob("*") if path.is_file())
