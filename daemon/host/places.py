"""Looks, before anything starts, whether what the daemon writes can be written where the configuration says."""

from __future__ import annotations

import os
from pathlib import Path

from engine.config import Config
from engine.errors import UsageError


def make_folder(path: Path, what: str) -> None:
    """Makes a folder unless it exists.

    Raises:
        UsageError: it cannot be made or written; `what` says whose it is.
    """
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        taken = isinstance(error, FileExistsError | NotADirectoryError)
        why = "a file of that name is in the way" if taken else error.strerror
        raise UsageError(f"{what}: the folder {path} cannot be made: {why}") from None
    if not os.access(path, os.W_OK | os.X_OK):
        raise UsageError(f"{what}: the folder {path} cannot be written. Check its owner and permissions.")


def check_places(config: Config) -> None:
    """Checks the log, and the folders of runs and report where there are students.

    Raises:
        UsageError: one of them cannot be written.
    """
    if config.daemon.log_file:
        log = config.folder / config.daemon.log_file
        make_folder(log.parent, "daemon.log_file")
        try:
            os.close(
                os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_NONBLOCK | os.O_CLOEXEC, 0o644)
            )
        except OSError as error:
            raise UsageError(f"daemon.log_file: {log} cannot be written: {error.strerror}") from None
        if not log.is_file():
            raise UsageError(f"daemon.log_file: {log} is not a regular file: a log is rotated")
    if config.students:
        make_folder(config.runs, "state.runs")
    report = config.folder / "report"
    if os.path.lexists(report):
        make_folder(report, "the report")
