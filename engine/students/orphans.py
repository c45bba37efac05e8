"""Ends a run that nobody will come back for, with a checkpoint. Imports nothing heavy.

`daemon.json` in the run directory says which daemon the run belongs to: its database, and how long the run goes on without
a daemon. The daemon rewrites or touches it every few seconds. A run started by hand has no such file and is never an orphan.

A run outlives its daemon, which may come back at any time. It ends, with a checkpoint, when its database was deleted or
replaced, or after `daemon.orphan_hours` without a daemon. A later daemon resumes it. When its directory was deleted, there
is no place for a checkpoint and it ends at once. So do the other ranks of a first rank that is gone.
"""

from __future__ import annotations

import os
import socket
import sys
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from pydantic import BaseModel, ConfigDict, ValidationError

from engine.students.run_commands import START
from engine.students.run_lock import start_time

FILE = "daemon.json"
LOOK_S = 1.0
GONE_S = 60.0
"""How long a file or process must be gone before it counts: files are moved, restored, and served by networks."""


class Owner(BaseModel):
    """The daemon that a run belongs to."""

    model_config = ConfigDict(frozen=True)

    database: str
    device: int
    inode: int
    host: str
    """Its machine. Elsewhere, the database's file proves nothing."""
    devices: str = ""
    """Names of the devices that it gave the run, with commas."""
    orphan_hours: float | None = None

    @classmethod
    def of(cls, database: Path, *, devices: str, orphan_hours: float | None) -> Owner:
        """The daemon of this process."""
        stat = database.stat()
        return cls(
            database=str(database),
            device=stat.st_dev,
            inode=stat.st_ino,
            host=socket.gethostname(),
            devices=devices,
            orphan_hours=orphan_hours,
        )


def show_owner(directory: Path, owner: Owner) -> None:
    """Says that this daemon is here. Does nothing where the directory is gone or the disk is full."""
    path, text = directory / FILE, owner.model_dump_json() + "\n"
    with suppress(OSError):
        if read_owner(directory) == owner:
            os.utime(path)
            return
        scratch = directory / f"{FILE}.new"
        scratch.write_text(text, encoding="utf-8")
        scratch.rename(path)


def read_owner(directory: Path) -> Owner | None:
    """The daemon that a run belongs to; None if the file is missing or cannot be read."""
    try:
        return Owner.model_validate_json((directory / FILE).read_bytes())
    except (OSError, ValidationError):
        return None


class Watch:
    """Whether a run has become an orphan."""

    def __init__(self, directory: Path, clock: Callable[[], float] = time.monotonic) -> None:
        self._directory = directory
        self._clock = clock
        self._owner: Owner | None = None
        self._database = -1
        self._shown = 0
        self._shown_at = (
            clock()
        )  # the time in which the machine sleeps does not count, nor does the wall clock
        self._gone_since: float | None = None
        self._homeless_since: float | None = None

    def homeless(self) -> bool:
        """Whether its directory is gone for good."""
        self._homeless_since = self._since(_missing(self._directory), self._homeless_since)
        return self._over(self._homeless_since)

    def look(self) -> str:
        """Why it is an orphan; empty if it is not."""
        now = self._clock()
        with suppress(OSError):
            if (shown := (self._directory / FILE).stat().st_mtime_ns) != self._shown:
                self._shown, self._shown_at = shown, now
                self._know(read_owner(self._directory) or self._owner)
        owner = self._owner
        if owner is None:
            return ""
        self._gone_since = self._since(self._database_is_gone(owner), self._gone_since)
        if self._over(self._gone_since):
            return f"its database {owner.database} was deleted or replaced, and no daemon has claimed this run since"
        if owner.orphan_hours is not None and now - self._shown_at > owner.orphan_hours * 3600:
            return (
                f"no daemon has come back to this run for {owner.orphan_hours:g} hours (daemon.orphan_hours)"
            )
        return ""

    def _since(self, gone: bool, since: float | None) -> float | None:
        return (since if since is not None else self._clock()) if gone else None

    def _over(self, since: float | None) -> bool:
        return since is not None and self._clock() - since >= GONE_S

    def _know(self, owner: Owner | None) -> None:
        if owner == self._owner:
            return
        self._owner = owner
        if self._database >= 0:
            os.close(self._database)
            self._database = -1

    def _database_is_gone(self, owner: Owner) -> bool:
        if owner.host != socket.gethostname():
            return False
        path = Path(owner.database)
        if _missing(path):
            return True
        try:
            stat = path.stat()
            if (stat.st_dev, stat.st_ino) != (owner.device, owner.inode):
                return True
            if self._database < 0:  # kept open: the number of a deleted file can be that of the next one
                self._database = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
            return os.fstat(self._database).st_nlink == 0
        except OSError:
            return False


def watch_daemon(
    directory: Path, *, first: bool, orphaned: Callable[[str], None], end: Callable[[int], object] = os._exit
) -> None:
    """Watches in a thread until the process ends. Does nothing in a run that no daemon started.

    Args:
        directory: the directory of the run.
        first: whether this is the first rank. It decides for all.
        orphaned: asks the run to stop at its next step, for this reason.
        end: ends this process at once, with an exit code.
    """
    if read_owner(directory) is None:
        return
    over = threading.Event()
    watch = Watch(directory)
    leader = 0 if first or START in os.environ else os.getpgrp()
    if leader and start_time(leader) is None:
        return  # not one group, or a system without /proc

    def look() -> None:
        gone_since: float | None = None
        while not over.wait(LOOK_S):
            if watch.homeless():
                _say(f"its directory {directory} was deleted: it ends without a checkpoint")
                end(1)
                return
            if leader:
                gone = start_time(leader) is None
                gone_since = (gone_since or time.monotonic()) if gone else None
                if gone_since is not None and time.monotonic() - gone_since > GONE_S:
                    _say(f"the first rank (pid {leader}) is gone: this rank ends too")
                    end(1)
                    return
            elif first and (why := watch.look()):
                orphaned(why)
                return

    threading.Thread(target=look, name="daemon watch", daemon=True).start()


def _say(message: str) -> None:
    print(message, file=sys.stderr, flush=True)  # noqa: T201


def _missing(path: Path) -> bool:
    """Whether it is certainly not there. An error of the file system proves nothing."""
    try:
        path.stat()
    except (FileNotFoundError, NotADirectoryError):
        return True
    except OSError:
        return False
    return False
