"""One rank of a run inside a Slurm job: the function that submitit pickles and calls on each task. Imports nothing heavy.

The rank itself is a child, `engine.students.train`, with an environment of its own. This process only waits for it, and takes
the signal that Slurm sends before the time limit: the first rank then asks its child for a checkpoint and has Slurm queue the
job again. The other ranks stop with it, as ranks do.
"""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from engine.students.launch import ROOT, Device, training_environment
from engine.students.progress_file import FILE, has_progress

LOG = "log.txt"
FIRST_PORT, PORTS = 20_000, 20_000


@dataclass
class SlurmRank:
    """What a task of the job does. Picklable by name: every node has this checkout and its Python at the same path."""

    directory: str
    device: Device
    env: Mapping[str, str]
    """What all ranks have in common, from the daemon's machine."""
    python: str = sys.executable
    _child: int = field(default=0, init=False)
    _began: int = field(default=0, init=False)

    def __call__(self) -> None:
        """Runs the rank to its end.

        Raises:
            RuntimeError: it failed.
        """
        env = rank_environment_in(os.environ, self.env, self.device)
        directory = Path(self.directory)
        self._began = _size(directory / FILE)
        argv = [self.python, "-P", "-m", "engine.students.train", self.directory]
        first = env["RANK"] == "0"
        with (directory / LOG).open("ab") if first else open(os.devnull, "rb") as log:
            child = subprocess.Popen(
                argv,
                env=env,
                stdin=subprocess.DEVNULL,
                stdout=log if first else None,
                stderr=subprocess.STDOUT if first else None,
                preexec_fn=_ignore_the_warning,
            )
        self._child = child.pid
        _wait(child.pid)
        if code := child.wait():
            raise RuntimeError(f"rank {env['RANK']} ended with exit code {code}; see {directory / LOG}")

    def checkpoint(self) -> Any:
        """Called by submitit in the first task before the time limit: what the job does when it is queued again.

        None if this start made no new checkpoint: the job then fails, and the daemon counts a try.
        """
        from submitit.helpers import DelayedSubmission

        if self._child:
            os.kill(self._child, signal.SIGTERM)  # not reaped before this handler returns: it is still ours
            _wait(self._child)
        if not has_progress(Path(self.directory), self._began):
            return None
        return DelayedSubmission(SlurmRank(self.directory, self.device, self.env, self.python))


def rank_environment_in(
    environ: Mapping[str, str], shared: Mapping[str, str], device: Device
) -> dict[str, str]:
    """The complete environment of a rank, from what Slurm says of its task."""
    nodes = int(environ["SLURM_JOB_NUM_NODES"])
    port = FIRST_PORT + (int(environ["SLURM_JOB_ID"]) + int(environ.get("SLURM_RESTART_COUNT", "0"))) % PORTS
    env = training_environment(environ) | dict(shared)
    env |= {
        "RANK": environ["SLURM_PROCID"],
        "LOCAL_RANK": environ["SLURM_LOCALID"],
        "WORLD_SIZE": environ["SLURM_NTASKS"],
        "LOCAL_WORLD_SIZE": str(int(environ["SLURM_NTASKS"]) // nodes),
        "MASTER_ADDR": "127.0.0.1" if nodes == 1 else first_host(environ["SLURM_JOB_NODELIST"]),
        "MASTER_PORT": str(port),
        "PYTHONPATH": str(ROOT),
    }
    if device == "cpu":
        env["CUDA_VISIBLE_DEVICES"] = ""
        if nodes == 1:
            env["GLOO_SOCKET_IFNAME"] = "lo"
    return env


def first_host(nodes: str) -> str:
    """The first name of a list as Slurm writes it: "gpu[07-09,12],cpu1" begins with "gpu07"."""
    return re.sub(r"\[(\w+)[^\]]*\]", r"\1", nodes).split(",", 1)[0]


def _wait(pid: int) -> None:
    """Waits without reaping, since a signal handler waits for the same process."""
    os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT)


def _ignore_the_warning() -> None:
    signal.signal(signal.SIGUSR2, signal.SIG_IGN)  # Slurm sends it to every process of the job


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except FileNotFoundError:
        return 0
