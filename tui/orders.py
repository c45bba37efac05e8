"""What the monitor writes: rows of the command table, and nothing else."""

from __future__ import annotations

from pathlib import Path

from state import sqlite
from state.commands import Command, send
from state.database import open_reader
from state.errors import StateError


class OrderError(Exception):
    """The command could not be written; the message says why."""


def order(path: Path, command: Command) -> int:
    """Writes a command for the daemon and returns its id; it waits there while no daemon runs.

    Raises:
        OrderError: the database cannot be written now.
    """
    try:
        open_reader(path).close()  # one that a newer Coterie has migrated is refused here, and left as it is
        return send(path, command)
    except StateError as error:
        raise OrderError(error.message) from None
    except sqlite.Error as error:
        raise OrderError(f"{path}: {error}") from None
