"""The server of a student as a process of its own, at most one at a time for each student.

The process inherits the locked descriptor of the student's lock file, and the kernel releases it when the process is gone. So
there are never two, whichever daemon started the first. It ends when its standard input is closed: with this daemon, even by SIGKILL.
"""

from __future__ import annotations

import fcntl
import json
import os
import re
import signal
import subprocess
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

from daemon.host.processes import is_alive, start_time
from daemon.training.devices import Device
from engine.students.launch import serve_command

END_S = 5.0
"""How long a server may take to end before it is killed."""
_URL = re.compile(rb"at (http://\S+)\n")


def take_lock(path: Path) -> int | str:
    """The locked descriptor of a lock file, or why it is locked. A server whose daemon is gone is killed: nobody reads its answers.

    Raises:
        OSError: the file cannot be made.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        try:
            return _holder(descriptor)
        finally:
            os.close(descriptor)
    return descriptor


def _holder(descriptor: int) -> str:
    try:
        found = json.loads(os.pread(descriptor, 4096, 0))
        pid, started = int(found["pid"]), float(found["started"])
        daemon = is_alive(int(found["daemon"]), float(found["daemon_started"]))
    except (ValueError, KeyError, TypeError):
        return "an earlier server of it is about to end"
    if daemon:
        return f"another daemon (pid {found['daemon']}) serves it"
    if is_alive(pid, started):
        with suppress(ProcessLookupError, PermissionError):
            os.kill(pid, signal.SIGKILL)
    return f"an earlier server of it (pid {pid}) is about to end"


class ServerProcess:
    """A server that was started."""

    def __init__(self, directory: Path, name: str, device: Device, usd_per_hour: float, lock: int) -> None:
        """Starts it. Blocks for a moment.

        Args:
            directory: the run directory.
            name: of the student.
            device: what it computes on.
            usd_per_hour: what an hour of that costs.
            lock: the descriptor that it keeps; this process closes it.
        """
        launch = serve_command(
            directory, name, device=device.kind, threads=device.threads, environ=os.environ
        )
        if device.kind == "cuda":
            launch = replace(launch, env={**launch.env, "CUDA_VISIBLE_DEVICES": str(device.index)})
        costs = ("--usd-per-hour", str(usd_per_hour)) if usd_per_hour else ()
        self.log = directory / "serve.log"
        self._said = b""
        try:
            with self.log.open("wb") as log:
                self._process = subprocess.Popen(
                    (*launch.argv, "--with-parent", *costs),
                    env=dict(launch.env),
                    stdin=subprocess.PIPE,
                    stdout=subprocess.PIPE,
                    stderr=log,
                    start_new_session=True,
                    pass_fds=(lock,),
                )
            who = {"pid": self.pid, "started": start_time(self.pid), "daemon": os.getpid()}
            os.ftruncate(lock, 0)
            os.pwrite(lock, json.dumps({**who, "daemon_started": start_time(os.getpid())}).encode(), 0)
        finally:
            os.close(lock)
        assert self._process.stdout is not None
        os.set_blocking(self._process.stdout.fileno(), False)

    @property
    def pid(self) -> int:
        """Its process."""
        return self._process.pid

    def ended(self) -> int | None:
        """Its exit code; None while it lives."""
        return self._process.poll()

    def url(self) -> str:
        """Its address, once it answers; before that empty."""
        assert self._process.stdout is not None
        with suppress(BlockingIOError):
            self._said += os.read(self._process.stdout.fileno(), 4096)
        found = _URL.search(self._said)
        return found[1].decode() if found else ""

    def end(self) -> None:
        """Ends it. Blocks until it is gone."""
        assert self._process.stdin is not None and self._process.stdout is not None
        with suppress(OSError):
            self._process.stdin.close()
        try:
            self._process.wait(END_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._process.stdout.close()
