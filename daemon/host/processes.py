"""Processes of ours: started in a group of their own, recognised after a restart, ended as a group.

A pid alone says nothing (pids are reused); a pid with its start time names a process.
"""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from engine.students.launch import RankLaunch


def start_time(pid: int) -> float | None:
    """When a process started (clock ticks since boot), None where there is no such process or it is a zombie."""
    try:
        text = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return None
    fields = text.rpartition(")")[2].split()
    return None if fields[0] in "ZX" else float(fields[19])


def is_alive(pid: int | None, started: float | None) -> bool:
    """Whether this very process is there."""
    return pid is not None and started is not None and start_time(pid) == started


def spawn_ranks(launches: Sequence[RankLaunch], log: Path) -> list[subprocess.Popen[bytes]]:
    """Starts the ranks of a run in one process group, led by rank 0; all they print goes to `log`."""
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
    """Signals every process of a group; nothing happens where it is gone."""
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(leader, number)
