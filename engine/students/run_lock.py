"""Which process trains in a run directory. Imports nothing heavy.

    lock           locked (flock) by the first rank until its process ends, so two never train in one directory
    process.json   which process that is; it writes this itself, before it does anything else

The kernel releases the lock when the process dies, however it dies. Children do not keep it: a started program closes the
descriptor by itself (O_CLOEXEC), a forked child does so here.
"""

from __future__ import annotations

import fcntl
import os
import socket
import time
import uuid
from pathlib import Path

from pydantic import BaseModel, ConfigDict, ValidationError

from engine.errors import JobFailed

LOCK, FILE = "lock", "process.json"
LOCKED = 3
"""Exit code of a trainer that found another one in its directory."""
WAIT_S = 2.0
"""A daemon that looks for the holder takes the lock for a moment, so one refusal proves nothing."""
WAIT_FOR_EARLIER_START_S = 20.0
"""Ranks on several machines end by themselves when there is a newer start, within about a second."""
LOOK_S = 0.05
READ_S = 0.5

_held: set[int] = set()


class RunLocked(JobFailed):
    """Another process trains in this directory."""


class Holder(BaseModel):
    """The process that trains in a run directory. A pid is reused; with the start time it is not, until the next boot."""

    model_config = ConfigDict(frozen=True)

    pid: int
    started: float | None
    """Clock ticks since the machine booted; None where the system does not say."""
    host: str
    nonce: str
    """Of this start alone."""

    @property
    def alive(self) -> bool:
        """Whether it is a process of this machine that is alive."""
        here = self.host == socket.gethostname()
        return here and self.started is not None and start_time(self.pid) == self.started


def start_time(pid: int) -> float | None:
    """When a process started (clock ticks since the machine booted); None if it does not exist or is a zombie."""
    try:
        text = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return None
    fields = text.rpartition(")")[2].split()
    return None if fields[0] in "ZX" else float(fields[19])


def lock_run(directory: Path, *, first: bool, wait_s: float = WAIT_S) -> int:
    """Makes this process the only one in a directory until it ends, if it is the first rank, and writes which one it is.

    Raises:
        RunLocked: another process trains here.
        JobFailed: the directory is missing.
    """
    if not directory.is_dir():
        raise JobFailed(f"{directory} is not a directory: nothing to train")
    descriptor = os.open(directory / LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    _held.add(descriptor)
    if not first:
        return descriptor
    deadline = time.monotonic() + wait_s
    while not _taken(descriptor, fcntl.LOCK_EX):
        if time.monotonic() > deadline:
            unlock_run(descriptor)
            holder = _read(directory)
            who = f" (pid {holder.pid} on {holder.host})" if holder else ""
            raise RunLocked(
                f"another process{who} is training in {directory}: this one ends and has changed nothing"
            )
        time.sleep(LOOK_S)
    pid = os.getpid()
    me = Holder(pid=pid, started=start_time(pid), host=socket.gethostname(), nonce=uuid.uuid4().hex)
    scratch = directory / f"{FILE}.new"
    scratch.write_text(me.model_dump_json() + "\n", encoding="utf-8")
    scratch.rename(directory / FILE)
    return descriptor


def unlock_run(descriptor: int) -> None:
    """Releases what `lock_run` returned."""
    _held.discard(descriptor)
    os.close(descriptor)


def holder_of(directory: Path) -> Holder | None:
    """The process that trains in a directory; None if there is none. Blocks for half a second at most.

    If the holder cannot be seen from here (another machine or container), it is returned but is not `alive`.
    """
    try:
        descriptor = os.open(directory / LOCK, os.O_RDONLY | os.O_CLOEXEC)
    except (FileNotFoundError, NotADirectoryError):
        return None
    try:
        deadline = time.monotonic() + READ_S
        while not _taken(descriptor, fcntl.LOCK_SH):
            holder = _read(directory)
            if holder is not None and holder.alive:
                return holder
            if time.monotonic() > deadline:
                return holder or Holder(pid=0, started=None, host="", nonce="")
            time.sleep(LOOK_S)  # it has the lock, and is about to write who it is
        return None
    finally:
        os.close(descriptor)


def _taken(descriptor: int, how: int) -> bool:
    try:
        fcntl.flock(descriptor, how | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _read(directory: Path) -> Holder | None:
    try:
        return Holder.model_validate_json((directory / FILE).read_bytes())
    except (OSError, ValidationError):
        return None


def _forget() -> None:
    for descriptor in _held:
        os.close(descriptor)
    _held.clear()


os.register_at_fork(after_in_child=_forget)
