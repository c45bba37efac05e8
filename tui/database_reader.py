"""Reads the database for the screens: one connection, one reading at a time, in a worker thread.

Invariants: no connection survives a failure, a replaced file or a migration; a screen's query is skipped when
neither the database nor the query has changed. This module knows no widgets.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass, replace
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
"""How long a status is reused while the cursor moves and nothing is written."""
STOPPED_S = 10.0
"""How long the status of a daemon that does not run is reused while nothing is written."""


@dataclass(frozen=True, slots=True)
class Query:
    """What a screen needs beside the status. Queries with equal keys and progress are the same query."""

    key: Hashable
    read: Callable[[Connection], Any]
    progress: Hashable = None
    """How far a reading in parts has come: it is continued at once while this changes, and drawn now and then."""

    @property
    def identity(self) -> Hashable:
        """What is equal for equal queries."""
        return self.key, self.progress


@dataclass(frozen=True, slots=True)
class Snapshot:
    """The result of one reading; `payload` is None if there was no query or nothing has changed."""

    status: Status
    payload: Any
    answers: list[Answer]
    generation: int  # how many database files have been opened so far


class ReadError(Exception):
    """The database cannot be read now; the message goes into the banner."""


class DatabaseReader:
    """A read-only connection that reopens when the database returns."""

    def __init__(self, path: Path, is_alive: Callable[[int], bool] = process_exists) -> None:
        self._path = path
        self._is_alive = is_alive
        self._lock = threading.Lock()
        self._connection: Connection | None = None
        self._file: tuple[int, int] | None = None
        self._version = 0  # of its schema
        self._seen: tuple[int, Hashable] | None = None
        self._status: tuple[int, float, Status] | None = None  # of which version, when it was read
        self._generation = 0

    def read(self, now_ms: int, query: Query | None, command_ids: Sequence[int] = ()) -> Snapshot:
        """Reads the status, the result of `query`, and the answers to these commands.

        Raises:
            ReadError: there is no database, or it is unreadable.
        """
        with self._lock:
            try:
                before = self._generation
                connection = self._open()
                # A query made for another file may not fit this one: the screens reset first.
                replaced = before not in (0, self._generation)
                version = data_version(connection)
                status = self._current(connection, version, now_ms, query)
                payload = None
                if query is not None and not replaced and self._seen != (version, query.identity):
                    payload = query.read(connection)
                    self._seen = (version, query.identity)
                return Snapshot(status, payload, answers(connection, command_ids), self._generation)
            except StateMissing:
                self._close()
                raise ReadError(f"no state database yet; `coterie run` creates {self._path}") from None
            except StateError as error:
                self._close()
                raise ReadError(self._short(error.message)) from None
            except (sqlite.Error, OSError) as error:
                why = self._older_schema() or f"{error}; trying again ({self._path})"
                self._close()
                raise ReadError(self._short(why)) from None

    def close(self) -> None:
        """Closes the connection."""
        with self._lock:
            self._close()

    def _current(self, connection: Connection, version: int, now_ms: int, query: Query | None) -> Status:
        """The status; the last one again if nothing was written and the cursor moved, or no daemon runs."""
        moved = query is not None and self._seen is not None and self._seen != (version, query.identity)
        if self._status is not None:
            of, at, status = self._status
            passed = time.monotonic() - at
            if of == version and moved and passed < STATUS_S:
                return status
            if of == version and not status.daemon.alive and passed < STOPPED_S:
                return replace(status, at=now_ms)
        status = read_status(connection, now_ms, self._is_alive)
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

    def _older_schema(self) -> str:
        """Why it cannot be read if an older Coterie wrote it; otherwise empty."""
        if self._connection is None or self._version >= VERSION:
            return ""
        return (
            f"{self._path} is from an older Coterie (schema version {self._version}, this one needs {VERSION});"
            " `coterie run` migrates it and keeps a backup"
        )

    def _short(self, message: str) -> str:
        """The message with the file's name instead of its path: the banner has one line."""
        return message.replace(str(self._path), self._path.name)

    def _close(self) -> None:
        if self._connection is not None:
            self._connection.close()
        self._connection = None
        self._seen = None
        self._status = None
