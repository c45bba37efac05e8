"""Training processes of forked daemons (`tests/forked.py`): forked too, so that they begin with their libraries imported.

A start of `python -m engine.students.train` costs five seconds of CPU, nearly all of it imports, and the suite makes dozens. A forked command
that may start trainers first forks a helper, which has one thread and does nothing else. When the command starts a module of `engine.students` with
`subprocess.Popen`, the helper forks it: a process of its own, a child of the command, with the arguments, folder, environment, standard streams and
process group it was given. Daemons started with `anew` start theirs in full.
"""

from __future__ import annotations

import atexit
import ctypes
import inspect
import json
import os
import runpy
import signal
import socket
import subprocess
import sys
import threading
import traceback
import warnings
from contextlib import suppress
from typing import Any, NoReturn

from engine.students import train
from engine.students.launch import rank_environment

PACKAGE = "engine.students."
PR_SET_CHILD_SUBREAPER = 36
_GIVEN = inspect.signature(subprocess.Popen._execute_child)  # type: ignore[attr-defined]


def imported() -> None:
    """Imports the training libraries as a process that trains on a CPU does, which needs no network."""
    before = dict(os.environ)
    os.environ.update(rank_environment(before, device="cpu", threads=1) | {"HF_HUB_OFFLINE": "1"})
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            train.import_libraries()
    finally:
        os.environ.clear()
        os.environ.update(before)


def prepare() -> None:
    """Lets `subprocess.Popen` of this process fork modules of `engine.students`. To be called while it has one thread."""
    ours, helpers = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    if os.fork() == 0:
        ours.close()
        _help(helpers)
    helpers.close()
    # The trainer's parent is a process between, which ends at once: the kernel then makes it a child of this one.
    ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    ForkedTrainer.helper = ours
    subprocess.Popen = ForkedTrainer  # type: ignore[misc]


class ForkedTrainer(subprocess.Popen):  # type: ignore[type-arg]
    """A `Popen` whose process is forked where it is a trainer on a CPU."""

    helper: socket.socket

    def _execute_child(self, *given: Any) -> None:
        named = _GIVEN.bind(self, *given).arguments
        argv, env = [os.fspath(word) for word in named["args"]], named["env"]
        if argv[1:3] != ["-P", "-m"] or not argv[3].startswith(PACKAGE) or env.get("DS_ACCELERATOR") != "cpu":
            super()._execute_child(*given)  # type: ignore[misc]
            return
        order = {
            **{"module": argv[3], "argv": argv[4:], "env": env, "group": named["process_group"]},
            **{"cwd": os.fspath(named["cwd"] or os.getcwd()), "session": named["start_new_session"]},
        }
        streams = [named[name] for name in ("p2cread", "c2pwrite", "errwrite")]
        streams = [number if stream == -1 else stream for number, stream in enumerate(streams)]
        socket.send_fds(self.helper, [json.dumps(order).encode()], streams)
        answer = self.helper.recv(64)
        if not answer.isdigit():
            raise OSError(f"{argv[3]} was not forked")
        self.pid = int(answer)
        self._child_created = True
        names = ("p2cread", "p2cwrite", "c2pread", "c2pwrite", "errread", "errwrite")
        self._close_pipe_fds(*(named[name] for name in names))  # type: ignore[attr-defined]


def _help(orders: socket.socket) -> NoReturn:
    """The helper: forks on request, until the command is gone."""
    os.setpgid(0, 0)  # signals to the group of the command are not for it
    _let_go(orders.fileno())
    while True:
        message, streams, *_ = socket.recv_fds(orders, 1 << 20, 3)
        if not message:
            os._exit(0)
        said, saying = os.pipe()
        between = os.fork()
        if between == 0:
            if os.fork() == 0:
                _become(json.loads(message), streams, saying)
            os._exit(0)
        os.close(saying)
        for stream in streams:
            os.close(stream)
        with os.fdopen(said) as lines:
            pid = lines.readline()
        os.waitpid(between, 0)
        orders.send(pid.encode() or b"none")


def _let_go(*kept: int) -> None:
    """Puts the null device in place of inherited files. Their numbers stay in use: objects that will close them are inherited too."""
    nothing = os.open(os.devnull, os.O_RDWR)
    for number in {0, 1, 2, *map(int, os.listdir("/proc/self/fd"))} - {*kept, nothing}:
        with suppress(OSError):  # that of the folder
            os.fstat(number)
            os.dup2(nothing, number)


def _become(order: dict[str, Any], streams: list[int], saying: int) -> NoReturn:
    """The trainer."""
    code: Any = 1
    try:
        if order["session"]:
            os.setsid()
        elif order["group"] >= 0:
            os.setpgid(0, order["group"])
        for number, stream in enumerate(streams):
            os.dup2(stream, number)
        os.chdir(order["cwd"])
        os.environ.clear()
        os.environ.update(order["env"])
        os.write(saying, str(os.getpid()).encode())
        _let_go(0, 1, 2)
        for number in (signal.SIGTERM, signal.SIGHUP, signal.SIGUSR1, signal.SIGUSR2):
            signal.signal(number, signal.SIG_DFL)
        signal.signal(signal.SIGINT, signal.default_int_handler)
        sys.stdin = open(0, closefd=False)
        sys.stdout, sys.stderr = (open(number, "w", buffering=1, closefd=False) for number in (1, 2))
        sys.path[:] = [
            *order["env"].get("PYTHONPATH", "").split(os.pathsep),
            *(each for each in sys.path if each),
        ]
        sys.argv = [order["module"], *order["argv"]]
        warnings.simplefilter("ignore")
        runpy.run_module(order["module"], run_name="__main__", alter_sys=True)
        code = 0
    except SystemExit as ended:
        code = ended.code
        if isinstance(code, str):
            print(code, file=sys.stderr)  # noqa: T201
            code = 1
    except BaseException:
        traceback.print_exc()
    finally:
        threading._shutdown()  # type: ignore[attr-defined]
        atexit._run_exitfuncs()
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code or 0)


imported()  # the server of `tests/forked.py` imports this module before it forks
