"""The structured log: one JSON object a line, in files that are rotated by size."""

from __future__ import annotations

import json
import logging
import os
import sys
from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, datetime
from logging.handlers import RotatingFileHandler
from pathlib import Path

from state.events import EventRow
from state.safe import safe

BYTES = 10_000_000
FILES = 5


PRIORITIES = {"error": 3, "warning": 4, "info": 6}
"""Levels as the journal of systemd counts them."""


class _Quiet(RotatingFileHandler):
    """A full disk must not fill the terminal with tracebacks: the event is printed there, and stored later."""

    def handleError(self, record: logging.LogRecord) -> None:
        """Does nothing: there is nowhere to report it."""


def open_log(path: Path | None, *, loud: bool) -> Callable[[EventRow], None]:
    """A function that writes events to a file and, when `loud`, as plain lines to standard error."""
    log = logging.getLogger("coterie.events")
    log.setLevel(logging.INFO)
    log.propagate = False
    for handler in list(log.handlers):
        log.removeHandler(handler)
        handler.close()
    if path is not None:
        path.parent.mkdir(parents=True, exist_ok=True)
        log.addHandler(_Quiet(path, maxBytes=BYTES, backupCount=FILES, encoding="utf-8", delay=True))

    journal = _is_journal()

    def write(row: EventRow) -> None:
        now = datetime.now(UTC)
        # One line: text from outside must not look like another event.
        message = " ".join(safe(row.message).split())
        if path is not None:
            fields = {
                "at": now.isoformat(timespec="milliseconds"),
                "level": row.level,
                "kind": row.kind,
                "subject": row.subject,
                "message": message,
            }
            log.info(json.dumps({**row.data, **fields}, ensure_ascii=True, default=str))
        if loud:
            with suppress(OSError):  # a closed terminal or pipe must not end the daemon
                if journal:  # it has the time, and takes the level from the number
                    sys.stderr.write(f"<{PRIORITIES.get(row.level, 6)}>{message}\n")
                else:
                    sys.stderr.write(f"{now.astimezone():%H:%M:%S} {row.level:7} {message}\n")

    return write


def _is_journal() -> bool:
    """Whether standard error is the journal of systemd, which says so by device and inode."""
    try:
        found = os.fstat(sys.stderr.fileno())
        return os.environ.get("JOURNAL_STREAM") == f"{found.st_dev}:{found.st_ino}"
    except (OSError, ValueError, AttributeError):  # there is none, or it is no file
        return False
