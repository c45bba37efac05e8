"""One daemon for each `state.db`: an flock on `state.db.lock`, which names its holder."""

from __future__ import annotations

import fcntl
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from engine.errors import InstanceRunning


@contextmanager
def hold(database: Path) -> Iterator[None]:
    """Holds the lock; the kernel lets go of it when the process dies, whatever kills it.

    Raises:
        InstanceRunning: another daemon holds it.
    """
    path = database.with_name(database.name + ".lock")
    path.parent.mkdir(parents=True, exist_ok=True)
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise InstanceRunning(_message(database, os.pread(descriptor, 4096, 0))) from None
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, json.dumps({"pid": os.getpid()}).encode(), 0)
        yield
    finally:
        os.close(descriptor)


def _message(database: Path, holder: bytes) -> str:
    try:
        who = f"pid {json.loads(holder)['pid']}"
    except (ValueError, KeyError, TypeError):
        who = "another process"
    return (
        f"{database} is held by a running daemon ({who}). Watch it with `coterie tui`, stop it with `coterie stop`,"
        " or give this one another database in [state] url."
    )
