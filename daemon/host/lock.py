"""One daemon for each `state.db`: an flock on `state.db.lock`, which names its holder.

The file may be deleted by someone who mistakes it for a leftover, and a database may be reached by two names. So the
database is checked too: its last session names the process and whether it has ended.
"""

from __future__ import annotations

import fcntl
import json
import os
import socket
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

from daemon.host.places import make_folder
from daemon.host.processes import is_alive
from engine.errors import InstanceRunning
from state import sqlite
from state.daemon_sessions import last_process
from state.database import open_reader
from state.errors import StateError, StateReadOnly
from state.heartbeat import is_copy


@contextmanager
def hold(database: Path) -> Iterator[None]:
    """Holds the lock; the kernel releases it when the process dies.

    Raises:
        InstanceRunning: another daemon holds it.
        UsageError: its folder cannot be made or written.
        StateReadOnly: it cannot be opened.
    """
    path = database.with_name(database.name + ".lock")
    make_folder(path.parent, "state.url")
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NONBLOCK, 0o600)
    except OSError as error:
        raise StateReadOnly(f"state.url: {path} cannot be opened: {error.strerror}.") from None
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise InstanceRunning(_message(database, os.pread(descriptor, 4096, 0))) from None
        if pid := _running(database):
            raise InstanceRunning(_message(database, json.dumps({"pid": pid}).encode()))
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, json.dumps({"pid": os.getpid()}).encode(), 0)
        yield
    finally:
        os.close(descriptor)


def _running(database: Path) -> int | None:
    """The process of the last session, if it is another one, alive on this machine, and has not ended the session."""
    try:
        with closing(open_reader(database)) as connection:
            last = None if is_copy(connection) else last_process(connection)
    except (StateError, sqlite.Error):
        return None  # whoever opens the database for work reports what is wrong with it
    if last is None:
        return None
    running = not last.ended and last.host == socket.gethostname() and last.pid != os.getpid()
    return last.pid if running and is_alive(last.pid, last.pid_started) else None


def _message(database: Path, holder: bytes) -> str:
    try:
        who = f"pid {json.loads(holder)['pid']}"
    except (ValueError, KeyError, TypeError):
        who = "another process"
    return (
        f"{database} is held by a running daemon ({who}). Watch it with `coterie tui`, stop it with `coterie stop`,"
        " or give this one another database in [state] url."
    )
