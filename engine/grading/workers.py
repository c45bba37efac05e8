"""Processes that compare expressions, each killed if it does not answer in time.

A pool starts a process when it first needs one, keeps it for the next question and replaces one that was killed or died. Any
number of threads may ask; more than `size` wait for their turn. Neither this wait nor the start counts against a deadline.
Processes are started afresh, not forked, because the daemon has threads. They end when their input ends, so they do not
outlive the process that started them, however it ends. The pool does not know what the expressions mean.
"""

from __future__ import annotations

import atexit
import json
import os
import select
import subprocess
import sys
import threading
import time
from functools import lru_cache

from engine.errors import JobFailed

DEADLINE_S = 5.0
START_S = 120.0
"""How long importing sympy may take on a machine that is busy."""


class Pool:
    """Up to `size` workers, started when they are needed."""

    def __init__(self, size: int, deadline_s: float = DEADLINE_S) -> None:
        self.deadline_s = deadline_s
        self.size = size
        self._turns = threading.Semaphore(size)
        self._idle: list[_Worker] = []

    def compare(self, first: str, second: str) -> str | None:
        """How two expressions relate: a `Relation`, "failed", or None where the deadline passed.

        Raises:
            JobFailed: no worker can be started.
        """
        with self._turns:
            try:
                worker = self._idle.pop()
            except IndexError:
                worker = _Worker(self.deadline_s)
            else:
                if not worker.is_alive():
                    worker.end()
                    worker = _Worker(self.deadline_s)
            try:
                relation = worker.ask([first, second], self.deadline_s)
            except BaseException:
                worker.end()
                raise
            if relation is None or not worker.is_alive():
                worker.end()
            else:
                self._idle.append(worker)
            return relation

    def close(self) -> None:
        """Ends the idle workers."""
        while self._idle:
            self._idle.pop().end()


class _Worker:
    """One process; it answers one question at a time."""

    def __init__(self, deadline_s: float) -> None:
        path = os.pathsep.join(entry or os.getcwd() for entry in sys.path)
        kept = {name: os.environ[name] for name in ("PATH", "HOME", "LANG", "TMPDIR") if name in os.environ}
        self._process = subprocess.Popen(
            [sys.executable, "-P", "-m", "engine.grading.algebra", str(deadline_s)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env={**kept, "PYTHONPATH": path},  # no keys of teachers
            start_new_session=True,  # Ctrl-C is for the daemon
        )
        try:
            ready = self._line(START_S)
        except BaseException:
            self.end()
            raise
        if ready != "ready":
            self.end()
            raise JobFailed(
                "the process that compares mathematical answers did not start; check that math-verify is installed "
                f"({sys.executable} -m pip install math-verify)"
            )

    def is_alive(self) -> bool:
        return self._process.poll() is None

    def ask(self, question: list[str], deadline_s: float) -> str | None:
        """The answer; None after the deadline, "failed" where the process died of the question."""
        assert self._process.stdin is not None
        try:
            self._process.stdin.write(json.dumps(question).encode() + b"\n")
            self._process.stdin.flush()
        except BrokenPipeError:
            return "failed"
        return self._line(deadline_s)

    def end(self) -> None:
        """Kills the process, whatever it is doing."""
        self._process.kill()
        self._process.wait()
        for stream in (self._process.stdin, self._process.stdout):
            assert stream is not None
            try:
                stream.close()
            except BrokenPipeError:  # a question it never read
                pass

    def _line(self, seconds: float) -> str | None:
        """The next answer; None when it does not come in time, "failed" when the process ends without one."""
        assert self._process.stdout is not None
        handle, received, until = self._process.stdout.fileno(), b"", time.monotonic() + seconds
        while not received.endswith(b"\n"):
            left = until - time.monotonic()
            if left <= 0 or not select.select([handle], [], [], left)[0]:
                return None
            piece = os.read(handle, 4096)
            if not piece:
                return "failed"
            received += piece
        answer: str = json.loads(received)
        return answer


@lru_cache(maxsize=1)
def shared() -> Pool:
    """The pool of this process, closed when it ends."""
    pool = Pool(size=min(4, max(1, (os.cpu_count() or 2) // 2)))
    atexit.register(pool.close)
    return pool
