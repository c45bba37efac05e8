"""Starts Coterie's commands in processes of their own that begin with its modules already imported.

A start of `python -m daemon` costs more than a second of CPU, nearly all of it imports, and the suite makes hundreds. Here
a server process, which has the modules and does nothing else, forks for each start. What runs is the same: a process
of its own with its own arguments, folder, environment, standard streams and signals. Tests of the start itself (imports,
`python -m`, the console script, the terminal) use `subprocess`.
"""

from __future__ import annotations

import atexit
import multiprocessing
import os
import runpy
import signal
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from importlib import import_module
from multiprocessing.connection import Connection
from pathlib import Path

PRELOADED = [
    *("daemon.cli.run", "daemon.service", "daemon.cli.check", "daemon.cli.export", "daemon.cli.grade"),
    *("daemon.cli.status", "daemon.cli.report", "daemon.cli.control", "engine.practice.run"),
    *("uvloop", "anyio._backends._asyncio", "daemon.cli.parser"),
    # What a daemon imports for its report when it ends, which is as much as all else that it does in a short test.
    *(
        "matplotlib.figure",
        "matplotlib.backends.backend_svg",
        "matplotlib.backends.backend_pdf",
        "mpl_toolkits.mplot3d",
        "markdown_it",
        "linkify_it",
    ),
    "tests.forked_trainers",
]
TRAINING = ("run", "check")
"""Commands that may start training processes."""

_CONTEXT = multiprocessing.get_context("forkserver")
_CONTEXT.set_forkserver_preload(PRELOADED)


def _main(
    module: str, argv: Sequence[str], cwd: str, env: Mapping[str, str], streams: Sequence[Connection]
) -> None:
    """The child: becomes `python -m module argv` in that folder."""
    for number, stream in enumerate(streams):
        os.dup2(stream.fileno(), number)
        stream.close()
    sys.stdin, sys.stdout, sys.stderr = (
        os.fdopen(0, "r", closefd=False),
        os.fdopen(1, "w", buffering=1, closefd=False),
        os.fdopen(2, "w", buffering=1, closefd=False),
    )
    signal.signal(signal.SIGINT, signal.default_int_handler)
    os.environ.clear()
    os.environ.update(env)
    os.chdir(cwd)
    sys.argv = [module, *argv]
    if module == "daemon" and argv[0] in TRAINING:
        import_module("tests.forked_trainers").prepare()
    try:
        runpy.run_module(module, run_name="__main__", alter_sys=True)
    finally:
        atexit._run_exitfuncs()  # which a process of multiprocessing leaves out
        sys.stdout.flush()
        sys.stderr.flush()


def in_fork(function: Callable[..., None], *given: object) -> int | None:
    """The exit code of a process that calls a function of a module; its errors go to stderr."""
    process = _CONTEXT.Process(target=function, args=given)
    process.start()
    process.join(120)
    process.kill()
    process.join()
    return process.exitcode


class Forked:
    """A started process, with what the tests use of `subprocess.Popen`; streams are file descriptors."""

    def __init__(
        self,
        module: str,
        argv: Sequence[str],
        *,
        cwd: Path,
        env: Mapping[str, str],
        stdin: int,
        stdout: int,
        stderr: int,
    ) -> None:
        streams = [Connection(os.dup(stdin), writable=False)]
        streams += [Connection(os.dup(each), readable=False) for each in (stdout, stderr)]
        self._process = _CONTEXT.Process(
            target=_main, args=(module, list(argv), str(cwd), dict(env), streams), daemon=False
        )
        self._process.start()
        for stream in streams:
            stream.close()
        assert self._process.pid is not None
        self.pid = self._process.pid

    @property
    def returncode(self) -> int | None:
        """Its exit code, negative for a signal; None while it runs."""
        return self._process.exitcode

    def poll(self) -> int | None:
        """The same."""
        return self._process.exitcode

    def wait(self, timeout: float | None = None) -> int:
        """Waits for its end; returns the exit code."""
        self._process.join(timeout)
        code = self._process.exitcode
        if code is None:
            raise subprocess.TimeoutExpired(str(self.pid), timeout or 0.0)
        return code

    def send_signal(self, number: int) -> None:
        """Sends a signal, if it still runs."""
        if self._process.exitcode is None:
            os.kill(self.pid, number)

    def kill(self) -> None:
        """SIGKILL."""
        self.send_signal(signal.SIGKILL)

    def terminate(self) -> None:
        """SIGTERM."""
        self.send_signal(signal.SIGTERM)
