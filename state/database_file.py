"""Whether the database that a daemon has open is still the one at its path.

A file that is moved, deleted or replaced stays open under its old name: what is written goes where nobody finds it. One that is
overwritten or truncated in place is worse: the next checkpoint would write pages of the old database into the new content.
So the daemon looks before each commit and once a second, by device, inode and the row of its own session.

A checkpoint that is under way, or that a reader cut short, leaves a file that makes no sense without its log, for as long as
it takes. What the file holds then proves nothing, and the daemon looks again later. The shared memory says how far checkpoints are.

The file is never opened here but by SQLite: closing another descriptor of it would drop the locks of this process.
"""

from __future__ import annotations

import os
import sqlite3
import struct
import tempfile
import time
from contextlib import closing, suppress
from dataclasses import dataclass
from pathlib import Path

from state import sqlite
from state.database import backup_path, quoted
from state.errors import StateError, StateReadOnly, StateReplaced
from state.sqlite import Connection

TRIES, TRY_S = 10, 0.05
"""Content counts as foreign after this many looks."""
WAL, SHM = "-wal", "-shm"
DESCRIPTORS = "/dev/fd"
LOG_HEADER = struct.Struct("=16xI76xI28xI")
"""What is read of the shared memory (SQLite's format "WAL-index"): frames in the log, frames in the file, frames that were to be."""


@dataclass(frozen=True, slots=True)
class _Checkpoints:
    """How far checkpoints are, in frames of the log."""

    frames: int
    """In the log."""
    done: int
    """Of these, copied into the file."""
    begun: int
    """How many the newest checkpoint set out to copy."""

    @property
    def complete(self) -> bool:
        """Whether the file makes sense without the log: all of it was copied, or nothing since the log began anew."""
        return self.begun == self.done and self.done in (0, self.frames)

    def same(self, other: _Checkpoints | None) -> bool:
        """Whether no checkpoint has begun or gone on since the other."""
        return (
            other is not None
            and self.begun == self.done
            and (self.done, self.begun) == (other.done, other.begun)
        )


@dataclass(frozen=True, slots=True)
class FileTrouble:
    """What happened to the file. `whole`: what the daemon has open is still complete and can be written."""

    error: StateError
    whole: bool
    beside: bool = False
    """Whether the daemon's log may lie beside a file that it does not belong to."""


class DatabaseFile:
    """The files of a database as a daemon session opened them."""

    def __init__(self, path: Path, connection: Connection, session_id: int) -> None:
        """Moves the session's row out of the log, so that it can be looked for in the file.

        Args:
            path: of the database.
            connection: the writing connection, outside a transaction.
            session_id: of this daemon session, which has begun.
        """
        self.path = path
        self._session_id = session_id
        with suppress(sqlite.DatabaseError):  # else it is looked for once a later checkpoint moved it
            connection.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchall()
        opened = path.stat()
        self._main = _identity(opened)
        self._mode = opened.st_mode
        self._beside = {
            suffix: _identity(there)
            for suffix in (WAL, SHM)
            if (there := _stat(self._with(suffix))) is not None
        }
        self._seen = _looks(opened)
        self._checkpoints = self._progress()
        self._content, _ = self._read()
        self.trouble: FileTrouble | None = None
        """What was found; it stays."""

    @property
    def inode(self) -> int:
        """The inode of the file."""
        return self._main[1]

    def look(self) -> FileTrouble | None:
        """What happened to the files; None while all is well. Once it has found something it stays with it."""
        if self.trouble is None:
            with suppress(OSError):  # a failing disk says nothing about the file
                self.trouble = self._moved() or self._foreign() or self._incomplete() or self._read_only()
        return self.trouble

    def foreign(self) -> StateError | None:
        """The error if the file holds something else now. Costs one look at the folder while nobody wrote to the file."""
        found = self.trouble
        if found is None:
            with suppress(OSError):
                found = self._foreign()
        if found is None or found.whole:
            return None
        self.trouble = found
        return found.error

    def settle(self, connection: Connection, trouble: FileTrouble) -> str:
        """Leaves everything that is stored where it can be found and does no harm; says where.

        Call it last, before the writing connection is closed.
        """
        if not trouble.whole:
            self._block()
            return self._set_log_aside() if trouble.beside else ""
        if isinstance(trouble.error, StateReadOnly):
            return ""
        emptied = _empty_log(connection)
        place = self._place()
        if emptied and place is not None:
            moved = "" if place == self.path else f" It is now {place}."
            return f"{moved} Everything stored is in it."
        copy = self._saved(connection)
        return f" Everything stored until then is in {copy}." + ("" if emptied else self._set_log_aside())

    def _moved(self) -> FileTrouble | None:
        now = _stat(self.path)
        if now is None:
            return self._replaced(f"{self.path} was moved or deleted while the daemon was using it.")
        if _identity(now) != self._main:
            return self._replaced(f"{self.path} was replaced by another file while the daemon was using it.")
        return None

    def _incomplete(self) -> FileTrouble | None:
        for suffix, before in self._beside.items():
            now = _stat(self._with(suffix))
            if now is None or _identity(now) != before:
                return self._replaced(
                    f"{self._with(suffix)} was deleted or replaced while the daemon was using it: it is part of the database."
                )
        return None

    def _replaced(self, text: str) -> FileTrouble:
        return FileTrouble(StateReplaced(text), whole=True, beside=True)

    def _foreign(self) -> FileTrouble | None:
        now = _stat(self.path)
        if now is None or _identity(now) != self._main or _looks(now) == self._seen:
            return None
        known = self._content
        for attempt in range(TRIES):
            before = self._progress()
            found, is_database = self._read()
            if found is not None and (known is None or (found[0] == known[0] and found[1] >= known[1])):
                self._content, self._seen, self._checkpoints = found, _looks(now), before
                return None
            if known is None and now.st_size:
                return None  # the session's row was not there before either: a reader held up the checkpoint
            if now.st_size and is_database and not self._tells(before):
                return None
            if attempt + 1 < TRIES:
                time.sleep(TRY_S)
        return FileTrouble(
            StateReplaced(
                f"{self.path} was overwritten or truncated while the daemon was using it. The daemon wrote nothing to it since."
            ),
            whole=False,
            beside=True,
        )

    def _read_only(self) -> FileTrouble | None:
        try:
            now = self.path.stat()
            mounted = os.statvfs(self.path).f_flag & os.ST_RDONLY
        except OSError:
            return None
        if mounted:
            text = f"the file system of {self.path} became read-only while the daemon was using it."
            return FileTrouble(StateReadOnly(text), whole=False)
        lost = self._mode & 0o222 and not now.st_mode & 0o222
        if lost or not os.access(self.path, os.W_OK):
            text = f"{self.path} was made read-only while the daemon was using it. Check its owner and permissions."
            return FileTrouble(StateReadOnly(text), whole=True)
        return None

    def _tells(self, before: _Checkpoints | None) -> bool:
        """Whether what was just read tells whose file it is. `before`: how far checkpoints were when the reading began."""
        after = self._progress()
        if before is None or after is None:  # its log is gone: no checkpoint goes on
            return before is after
        return before.same(after) and (after.complete or after.same(self._checkpoints))

    def _progress(self) -> _Checkpoints | None:
        """How far checkpoints are; None if this process does not have the shared memory open."""
        shared = self._beside.get(SHM)
        for number in _descriptors(shared)[:1] if shared else ():
            content = os.pread(number, LOG_HEADER.size, 0)
            if len(content) == LOG_HEADER.size:
                return _Checkpoints(*LOG_HEADER.unpack(content))
        return None

    def _read(self) -> tuple[tuple[int, int] | None, bool]:
        """What the file itself says, without its log, and whether it is a database.

        It says when the session began, and which attempt is the newest. Both only grow.
        """
        try:
            with closing(
                sqlite.dbapi.connect(f"file:{quoted(self.path)}?mode=ro&immutable=1", uri=True)
            ) as connection:
                row = connection.execute(
                    "SELECT started_at, (SELECT coalesce(max(id), 0) FROM attempt) FROM boot WHERE id = ? AND pid = ?",
                    (self._session_id, os.getpid()),
                ).fetchone()
        except (sqlite.DatabaseError, UnicodeDecodeError) as error:
            return None, getattr(error, "sqlite_errorcode", 0) & 0xFF != sqlite3.SQLITE_NOTADB
        return (None if row is None else (row[0], row[1])), True

    def _place(self) -> Path | None:
        """Where the file is now; None if it was deleted."""
        for number in _descriptors(self._main):
            with suppress(OSError):
                place = Path(os.readlink(f"{DESCRIPTORS}/{number}"))
                there = _stat(place)
                return place if there is not None and _identity(there) == self._main else None
        return None

    def _saved(self, connection: Connection) -> Path:
        """Copies what the connection has open; to the folder for temporary files if its own disk is full or gone."""
        copy = None
        for folder in (self.path.parent / "backups", Path(tempfile.gettempdir())):
            try:
                copy = folder / rescued(self.path, ".db").name
                with closing(sqlite.dbapi.connect(str(copy))) as target:
                    connection.backup(target, pages=-1)
                return copy
            except (OSError, sqlite.DatabaseError) as failure:
                error = failure
        raise StateReplaced(f"{self.path} was lost under the daemon, and {copy} cannot be written: {error}.")

    def _block(self) -> None:
        """Makes every descriptor of the file read-only, so that closing the connection writes nothing to it."""
        with suppress(OSError):
            unwritable = os.open(os.devnull, os.O_RDONLY | os.O_CLOEXEC)
            for number in _descriptors(self._main):
                os.dup2(unwritable, number, inheritable=False)
            os.close(unwritable)

    def _set_log_aside(self) -> str:
        """Moves the daemon's log away from a file that it does not belong to."""
        log, ours = _stat(self._with(WAL)), self._beside.get(WAL)
        aside = rescued(self.path, ".db-wal")
        if log is not None and _identity(log) == ours:
            self._with(WAL).rename(aside)
        elif ours is None or not _copied(ours, aside):  # SQLite deletes the log of an empty file
            return ""
        return f" Its log, with what was stored since the last checkpoint, is now {aside}."

    def _with(self, suffix: str) -> Path:
        return self.path.with_name(self.path.name + suffix)


def rescued(path: Path, suffix: str) -> Path:
    """The path for what is saved of a database that a daemon lost: among its backups, also where its folder was deleted."""
    path.parent.mkdir(parents=True, exist_ok=True)
    return backup_path(path, "rescued-").with_suffix(suffix)


def _empty_log(connection: Connection) -> bool:
    """Writes the log into the file that the connection has open; whether nothing is left in the log."""
    for attempt in range(TRIES):
        with suppress(sqlite.DatabaseError):
            if connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()[0] == 0:
                return True
        if attempt + 1 < TRIES:
            time.sleep(TRY_S)
    return False


def _stat(path: Path) -> os.stat_result | None:
    """The status of a file; None if there is none. Another failure, of a disk, is no sign of a change."""
    try:
        return path.stat()
    except (FileNotFoundError, NotADirectoryError):
        return None


def _identity(status: os.stat_result) -> tuple[int, int]:
    return status.st_dev, status.st_ino


def _looks(status: os.stat_result) -> tuple[int, int]:
    return status.st_mtime_ns, status.st_size


def _copied(identity: tuple[int, int], target: Path) -> bool:
    """Copies a file that this process has open, whether or not it still has a name; false if it is not open."""
    for number in _descriptors(identity)[:1]:
        with target.open("wb") as file:
            while part := os.pread(number, 1 << 20, file.tell()):
                file.write(part)
        return True
    return False


def _descriptors(identity: tuple[int, int]) -> list[int]:
    """The open descriptors of a file in this process."""
    found = []
    for name in os.listdir(DESCRIPTORS):
        with suppress(OSError, ValueError):
            if _identity(os.fstat(int(name))) == identity:
                found.append(int(name))
    return found
