"""Commands to the ranks of a run. Imports nothing heavy.

`finish` in the run's directory asks the first rank to end the training early. `launch.json` is for runs on several machines:
the daemon writes the file each time it starts a run on several machines, with a new `start`. Every rank reads it once a
second. So ranks are stopped without a signal, which launchers do not pass on reliably, and a rank left over from an
earlier start ends by itself when there is a newer one.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

FILE = "launch.json"
FINISH = "finish"
"""A file in the directory of a run that is to end at its next step as if all steps were done. It outlives kills and restarts."""
STOP = "stop"
"""A file in the directory of a run that the user stopped for good, until it is started again: the daemon that was told may die."""
THREADS = "threads"
"""A file in the directory of a run: the number of CPU threads that its ranks share on this machine."""
HOSTFILE = "hostfile"
START = "COTERIE_START"
"""In the environment of a rank: the start it belongs to. Unset for ranks that no launcher started."""
LOOK_S = 1.0

RankCommand = Literal["", "stop", "end"]
"""None; make a checkpoint and stop; end at once (also written when the run is over)."""


class Launch(BaseModel):
    """One start of a run on several machines."""

    model_config = ConfigDict(frozen=True, extra="forbid", populate_by_name=True)

    start: str
    launcher: str
    hosts: tuple[tuple[str, int], ...]
    """The machines and their numbers of ranks, in order."""
    address: str
    port: int
    env: Mapping[str, str]
    """The environment of every rank, whatever the launcher passes on."""
    command: RankCommand = Field(default="", alias="order")

    @property
    def world(self) -> int:
        """The number of ranks on all machines."""
        return sum(slots for _, slots in self.hosts)


def ask_to_finish(directory: Path) -> None:
    """Asks a run to end at its next step."""
    (directory / FINISH).touch()


def asked_to_finish(directory: Path) -> bool:
    """Whether it was asked to."""
    return (directory / FINISH).exists()


def write_share(directory: Path, threads: int) -> None:
    """Tells the ranks of a run how many threads they have together."""
    with suppress(OSError):  # the directory is gone: there is nobody to tell
        scratch = directory / f"{THREADS}.new"
        scratch.write_text(f"{threads}\n", encoding="utf-8")
        scratch.rename(directory / THREADS)


def read_share(directory: Path) -> int | None:
    """The threads of a run together; None if nobody said."""
    try:
        return max(1, int((directory / THREADS).read_text(encoding="utf-8")))
    except (OSError, ValueError):
        return None


def read_launch(directory: Path) -> Launch | None:
    """The newest start on several machines; None if there is none or it cannot be read."""
    try:
        return Launch.model_validate_json((directory / FILE).read_bytes())
    except (OSError, ValidationError):
        return None


def write_launch(directory: Path, launch: Launch) -> None:
    """Writes the file atomically."""
    scratch = directory / f"{FILE}.new"
    scratch.write_text(launch.model_dump_json(indent=1, by_alias=True) + "\n", encoding="utf-8")
    scratch.rename(directory / FILE)


def send_command(directory: Path, command: RankCommand) -> None:
    """Sends a command to the ranks of the newest start, if there is one."""
    launch = read_launch(directory)
    if launch is not None and launch.command != "end":
        write_launch(directory, launch.model_copy(update={"command": command}))


def follow_commands(
    directory: Path, stop: Callable[[], None], end: Callable[[int], object] = os._exit
) -> None:
    """Follows commands in a thread until the process ends. Does nothing in a rank that no launcher started.

    Args:
        directory: the directory of the run.
        stop: asks this rank to stop at its next step.
        end: ends this process at once, with an exit code.
    """
    start = os.environ.get(START)
    if start is None:
        return
    over = threading.Event()

    def look() -> None:
        while not over.wait(LOOK_S):
            launch = read_launch(directory)
            if launch is None:
                continue  # a shared file system may be unavailable for a moment
            if launch.start != start or launch.command == "end":
                end(1)
                return
            if launch.command == "stop":
                stop()

    threading.Thread(target=look, name="run commands", daemon=True).start()
