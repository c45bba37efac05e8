"""`coterie backup`: a complete, checked copy of `state.db`, at any time."""

from __future__ import annotations

import argparse
import sys

from daemon.cli.database_path import database_path
from engine.errors import UsageError
from state.database import backup_path
from state.errors import StateMissing
from state.health import copy_to
from state.safe import safe


def command(arguments: argparse.Namespace) -> int:
    """Writes the copy; prints its path and size."""
    database = database_path(arguments.config)
    if not database.exists():
        raise StateMissing(f"{database}: no state database yet. `coterie run` creates it.")
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
    return 0
