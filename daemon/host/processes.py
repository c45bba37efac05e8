"""Processes: training runs in process groups of their own, their recognition after a restart, and system limits.

A pid alone does not identify a process, since pids are reused; a pid with its start time does.
"""

from __future__ import annotations

import os
import resource
import signal
import subprocess
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from engine.students.launch import RankLaunch
from engine.students.run_lock import start_time as start_time  # of all processes, not of trainers alone

FILES_SET_ASIDE = 64
"""Open files kept for readers of `state.db`, logs and training processes."""
FILES_WANTED = 65_536


def is_alive(pid: int | None, started: float | None) -> bool:
    """Whether the process with this pid and start time is alive."""
    return pid is not None and started is not None and start_time(pid) == started


def spawn_ranks(launches: Sequence[RankLaunch], log: Path) -> list[subprocess.Popen[bytes]]:
    """Starts the ranks of a run in one process group, led by rank 0; their output goes to `log`."""
    ranks: list[subprocess.Popen[bytes]] = []
    with log.open("ab") as output:
        for launch in launches:
            ranks.append(_spawn(launch, output.fileno(), ranks[0].pid if ranks else 0))
    return ranks


def _spawn(launch: RankLaunch, output: int, group: int) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        launch.argv,
        env=dict(launch.env),
        cwd=launch.folder,
        stdin=subprocess.DEVNULL,
        stdout=output,
        stderr=subprocess.STDOUT,
        process_group=group,
        close_fds=True,
    )


def signal_group(leader: int, number: signal.Signals) -> None:
    """Signals every process of a group, if it still exists."""
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(leader, number)


def killed_for_memory(
    own: Path = Path("/proc/self/cgroup"), root: Path = Path("/sys/fs/cgroup")
) -> int | None:
    """How many processes of this control group the kernel has killed because memory ran out; None if not known.

    Training processes share the daemon's control group, so its counter covers them. Where no control group can be
    read (another system, a closed container), the number is not known.
    """
    try:
        lines = [line.split(":", 2) for line in own.read_text().splitlines()]
    except OSError:
        return None
    for _, controllers, group in (line for line in lines if len(line) == 3):
        if controllers == "":  # version 2
            file = root / group.lstrip("/") / "memory.events"
        elif "memory" in controllers.split(","):
            file = root / "memory" / group.lstrip("/") / "memory.oom_control"
        else:
            continue
        try:
            counts = dict(line.split(maxsplit=1) for line in file.read_text().splitlines())
            return int(counts["oom_kill"])
        except (OSError, ValueError, KeyError):
            continue
    return None


def raise_file_limit() -> int:
    """Raises this process's limit of open files as far as allowed, and returns it."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    most = FILES_WANTED if hard == resource.RLIM_INFINITY else min(hard, FILES_WANTED)
    if soft == resource.RLIM_INFINITY or soft >= most:
        return FILES_WANTED if soft == resource.RLIM_INFINITY else soft
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, hard))
    return most


def connections_per_key(limit: int, keys: int) -> int:
    """Connections that each key may have at once, so that the database and commands always find a free file."""
    return max(1, (limit - FILES_SET_ASIDE) // max(1, keys))
