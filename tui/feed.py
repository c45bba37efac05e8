"""Reads the database for the screens: one connection, one reader at a time, in a worker thread.

Invariants: nothing is kept open across a failure, a replaced file or a migration; a screen's own reading is left
out when neither the database nor what it asks for has changed. It knows nothing of widgets: what it
read goes to the screen as a message.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from state import sqlite
from state.database import data_version, open_reader, schema_version
from state.errors import StateError, StateMissing
from state.migrations import VERSION
from state.sqlite import Connection
from state.views.commands import Answer, answers
from state.views.status import process_exists, read_status
from state.views.status_records import Status

STATUS_S = 0.5
"""So long a status holds for someone who moves about while nothing is written."""


@dataclass(frozen=True, slots=True)
class Wish:
    """What a screen wants read beside the status; equal keys mean equal wishes."""

    key: Hashable
    read: Callable[[Connection], Any]


@dataclass(frozen=True, slots=True)
class Fresh:
    """What was read; `payload` is None where there was no wish or nothing has changed."""

    status: Status
    payload: Any
    answers: list[Answer]
    generation: int  # counts the database files that were opened


class FeedError(Exception):
    """The database cannot be read now; the message is for the banner."""


class Feed:
    """A read-only connection that comes back when the database does."""

    def __init__(self, path: Path, alive: Callable[[int], bool] = process_exists) -> None:
        self._path = path
        self._alive = alive
        self._lock = threading.Lock()
        self._connection: Connection | None = None
        self._file: tuple[int, int] | None = None
        self._version = 0  # of its schema
        self._seen: tuple[int, Hashable] | None = None
        self._status: tuple[int, float, Status] | None = None  # of which version, when it was read
        self._generation = 0

    def read(self, now_ms: int, wish: Wish | None, asked: Sequence[int] = ()) -> Fresh:
        """The status, what `wish` asks for, and the answers to the commands `asked`.

        Raises:
            FeedError: there is no database, or it cannot be read.
        """
        with self._lock:
            try:
                before = self._generation
                connection = self._open()
                # What was asked of another file may not fit this one: its screens begin anew first.
                replaced = before not in (0, self._generation)
                version = data_version(connection)
                status = self._current(connection, version, now_ms, wish)
                payload = None
                if wish is not None and not replaced and self._seen != (version, wish.key):
                    payload = wish.read(connection)
                    self._seen = (version, wish.key)
                return Fresh(status, payload, answers(connection, asked), self._generation)
            except StateMissing:
                self._close()
                raise FeedError(f"no state database yet; `coterie run` makes {self._path}") from None
            except StateError as error:
                self._close()
                raise FeedError(self._short(error.message)) from None
            except (sqlite.Error, OSError) as error:
                why = self._of_before() or f"{error}; trying again ({self._path})"
                self._close()
                raise FeedError(self._short(why)) from None

    def close(self) -> None:
        """Lets the database go."""
        with self._lock:
            self._close()

    def _current(self, connection: Connection, version: int, now_ms: int, wish: Wish | None) -> Status:
        """The status; the last one where only the wish is another, so that moving about costs the wish alone."""
        moved = wish is not None and self._seen is not None and self._seen != (version, wish.key)
        if moved and self._status is not None:
            of, at, status = self._status
            if of == version and time.monotonic() - at < STATUS_S:
                return status
        status = read_status(connection, now_ms, self._alive)
        self._status = version, time.monotonic(), status
        return status

    def _open(self) -> Connection:
        try:
            found = os.stat(self._path)
        except FileNotFoundError:
            raise StateMissing from None
        file = (found.st_dev, found.st_ino)
        if self._connection is not None and (
            file != self._file or schema_version(self._connection) != self._version
        ):
            self._close()
        if self._connection is None:
            self._connection = open_reader(self._path)
            self._file, self._version = file, schema_version(self._connection)
            self._generation += 1
        return self._connection

    def _of_before(self) -> str:
        """Why it cannot be read, where an older Coterie wrote it; else nothing."""
        if self._connection is None or self._version >= VERSION:
            return ""
        return (
            f"{self._path} is of an older Coterie (schema version {self._version}, this one knows {VERSION});"
            " `coterie run` brings it up to date and keeps a backup"
        )

    def _short(self, message: str) -> str:
        """A banner has one line: the name of the file must do."""
        return message.replace(str(self._path), self._path.name)

    def _close(self) -> None:
        if self._connection is not None:
            self._connection.close()
        self._connection = None
        self._seen = None
        self._status = None
