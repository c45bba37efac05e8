"""A machine that takes part in runs without ssh: `python -m engine.students.node RUNS --node-rank N`.

It waits for runs that are started with `launcher = "no-ssh"` and starts its ranks of each with DeepSpeed's launcher, once
per start; their output goes to `node-N.txt` of the run. The daemon is node 0. SIGTERM asks the ranks for a checkpoint,
waits for them, and exits. It reads run directories only: no configuration, no `state.db`. Imports nothing heavy.
"""

from __future__ import annotations

import argparse
import os
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from types import FrameType

from engine.students.cluster import node_launch
from engine.students.run_commands import Launch, read_launch, send_command

LOOK_S = 1.0
GRACE_S = 60.0


class Node:
    """The part of one machine in the runs of a folder."""

    def __init__(self, runs: Path, rank: int) -> None:
        self._runs = runs
        self._rank = rank
        self._stopping = False

    def ask_to_stop(self, _number: int = 0, _frame: FrameType | None = None) -> None:
        """Stops as soon as the ranks have made their checkpoint."""
        self._stopping = True

    def serve(self) -> None:
        """Takes part in one run after another until it is asked to stop."""
        while not self._stopping:
            for directory in self._due():
                self._take_part(directory)
                break
            else:
                time.sleep(LOOK_S)

    def _due(self) -> list[Path]:
        found = [path.parent for path in self._runs.glob("*/launch.json")]
        return [directory for directory in sorted(found) if self._wanted(directory) is not None]

    def _wanted(self, directory: Path) -> Launch | None:
        """The start that this machine should join; None if there is none."""
        launch = read_launch(directory)
        if launch is None or launch.launcher != "no-ssh" or launch.command or self._rank >= len(launch.hosts):
            return None
        return None if _text(self._mark(directory)) == launch.start else launch

    def _mark(self, directory: Path) -> Path:
        return directory / f"node-{self._rank}.start"

    def _take_part(self, directory: Path) -> None:
        launch = self._wanted(directory)
        if launch is None:
            return
        self._mark(directory).write_text(launch.start, encoding="utf-8")
        what = node_launch(directory, launch, node=self._rank)
        with (directory / f"node-{self._rank}.txt").open("ab") as log:
            process = subprocess.Popen(
                what.argv,
                env=dict(what.env),
                cwd=what.folder,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                process_group=0,
            )
        asked = 0.0
        while process.poll() is None:
            if self._stopping and not asked:
                send_command(directory, "stop")
                asked = time.monotonic()
            if asked and time.monotonic() - asked > GRACE_S:
                os.killpg(process.pid, signal.SIGKILL)
            time.sleep(0.2)


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except OSError:
        return ""


def main(argv: Sequence[str]) -> int:
    """Takes part in the runs of a folder; returns the exit code."""
    parser = argparse.ArgumentParser(
        prog="python -m engine.students.node",
        description='Takes part in the runs that a daemon on another machine starts with launcher = "no-ssh".',
        epilog="example: python -m engine.students.node /shared/coterie/runs --node-rank 1",
    )
    parser.add_argument(
        "runs", type=Path, help="the daemon's folder of runs, on a file system that all machines share"
    )
    parser.add_argument(
        "--node-rank", type=int, required=True, help="the position of this machine in the hostfile, from 1"
    )
    options = parser.parse_args(argv)
    if options.node_rank < 1:
        parser.error(
            "--node-rank is the position of this machine in the hostfile, from 1: the first one is the daemon's"
        )
    if not options.runs.is_dir():
        parser.error(
            f"{options.runs} is not a directory; expected the daemon's folder of runs, which all machines share"
        )
    node = Node(options.runs.resolve(), options.node_rank)
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, node.ask_to_stop)
    node.serve()
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
