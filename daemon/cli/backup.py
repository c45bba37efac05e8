"""`coterie backup`: a complete, checked copy of `state.db`, at any time."""

from __future__ import annotations

import argparse
import re
import sys
from contextlib import suppress
from pathlib import Path

from daemon.cli.argument_types import whole_number
from daemon.cli.database_path import database_path
from engine.errors import UsageError
from state.database import backup_path
from state.errors import StateMissing
from state.health import copy_to
from state.safe import safe


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The arguments of the command."""
    parser.add_argument(
        "-o", "--output", type=Path, help="file to write (backups/NAME-TIME.db beside state.db)"
    )
    parser.add_argument(
        "--keep",
        type=whole_number,
        default=0,
        metavar="N",
        help="then remove all but the newest N copies in backups/",
    )


def command(arguments: argparse.Namespace) -> int:
    """Writes the copy; prints its path and size."""
    database = database_path(arguments.config)
    if not database.exists():
        raise StateMissing(f"{database}: no state database yet. `coterie run` creates it.")
    if arguments.keep and arguments.output:
        raise UsageError("--keep is for copies in backups/, named by their time: remove it, or -o")
    target = arguments.output or backup_path(database)
    if not target.parent.is_dir():
        raise UsageError(f"{target}: the folder {target.parent} does not exist; create it first")
    try:
        size = copy_to(database, target)
    except FileExistsError:
        raise UsageError(
            f"{target} already exists and was left unchanged; name another file with -o"
        ) from None
    except OSError as error:
        raise UsageError(f"{target} cannot be written: {error.strerror}") from None
    sys.stdout.write(safe(f"{target}: {size:,} bytes, checked\n"))
    if arguments.keep:
        for old in _older(database, arguments.keep):
            with suppress(FileNotFoundError):
                old.unlink()
            sys.stdout.write(safe(f"{old}: removed\n"))
    return 0


def _older(database: Path, keep: int) -> list[Path]:
    """Copies of the database beyond the newest `keep`: only those that this command named, by their time."""
    name = re.compile(rf"{re.escape(database.stem)}-\d{{8}}T\d{{6}}\.db")
    folder = backup_path(database).parent
    found = sorted(
        (each for each in folder.iterdir() if name.fullmatch(each.name)), key=lambda each: each.name
    )
    return found[:-keep]
