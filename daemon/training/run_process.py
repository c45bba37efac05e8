"""The process of a run: how it is found again, whether it is alive, and how it is stopped."""

from __future__ import annotations

import signal
import subprocess
from dataclasses import dataclass, field
from pathlib import Path
from typing import ClassVar

from daemon.host.processes import is_alive, killed_for_memory, signal_group
from daemon.training.devices import Device
from daemon.training.progress_reader import Ending, last_ending, tail
from engine.students.orphans import read_owner
from engine.students.run_commands import STOP, read_launch, send_command
from engine.students.run_lock import holder_of
from state.runs import RunRow


@dataclass(slots=True)
class RunProcess:
    """A run whose process is alive, or has just ended."""

    local: ClassVar[bool] = True
    """Whether it is a process of this machine, which is asked for a checkpoint when the daemon stops."""

    row: RunRow
    directory: Path
    devices: tuple[Device, ...] = ()
    pid: int = 0
    pid_started: float = 0.0
    threads: int = 0
    """The CPU threads that it was told to use; 0: none yet."""
    ranks: list[subprocess.Popen[bytes]] = field(default_factory=list)  # empty: adopted
    began: int = 0
    """Where its reports begin in the progress file; 0: not known, since an earlier daemon started it."""
    kills: int | None = None
    """How many processes the kernel had killed for lack of memory when this one started."""
    ending: Ending = field(default_factory=Ending)
    launched: bool = False
    """Whether a launcher started ranks on several machines. Signals do not reach those; run commands do."""
    stop: str = ""  # who asked: "user" (for good) or "daemon" (resumed at its next start)
    stop_since: float = 0.0
    offset: int = field(init=False)
    task_ids: dict[str, int] = field(init=False)

    def __post_init__(self) -> None:
        """Continues where the reports of the run were read last."""
        self.offset = self.row.progress_offset
        self.task_ids = {task.name: task.id for task in self.row.settings.tasks}
        if (self.directory / STOP).exists():
            self.stop = "user"

    def alive(self) -> bool:
        """Whether rank 0 is alive. When a rank dies, the others are killed."""
        if self.ranks:
            codes = [rank.poll() for rank in self.ranks]
            if any(code not in (None, 0) for code in codes) and None in codes:
                signal_group(self.pid, signal.SIGKILL)
                codes = [rank.wait() for rank in self.ranks]
            return None in codes
        return is_alive(self.pid, self.pid_started)

    def stop_for(self, who: str, now: float) -> None:
        """Asks for a checkpoint at the next step; a user's stop stays one, also for the next daemon."""
        if who == "user":
            (self.directory / STOP).touch()
        self.stop = who if self.stop != "user" else self.stop
        self.stop_since = now
        self.ask_to_stop()

    def ask_to_stop(self) -> None:
        """Asks the process."""
        if self.launched:
            send_command(self.directory, "stop")
        else:
            signal_group(self.pid, signal.SIGTERM)

    def kill(self) -> None:
        """Kills it at once."""
        if self.launched:
            send_command(self.directory, "end")
        signal_group(self.pid, signal.SIGKILL)

    def codes(self) -> list[int]:
        """Exit codes of the ranks that failed; empty for an adopted run."""
        return [rank.returncode for rank in self.ranks if rank.returncode]

    @property
    def where(self) -> str:
        """Its devices, with commas."""
        return ",".join(device.name for device in self.devices)

    def news(self) -> str:
        """What else is new of it, for the log; empty if nothing."""
        return ""

    def last_word(self) -> Ending:
        """How it said it ended, where the previous daemon may have read that and died. Blocks."""
        return self.ending if self.ranks else last_ending(self.directory)

    def out_of_memory(self) -> bool:
        """Whether the kernel killed it for lack of memory, as far as is known."""
        killed = -signal.SIGKILL in self.codes() and self.kills is not None
        return killed and (killed_for_memory() or 0) > (self.kills or 0)

    def cancelled(self) -> bool:
        """Whether somebody ended it for good, other than by a command to the daemon."""
        return False

    def stopped_in_order(self) -> bool:
        """Whether a stop that it reported uses up no try."""
        return True

    def why_gone(self) -> str:
        """How it ended without a word."""
        codes = ", ".join(str(code) for code in self.codes()) or "unknown"
        return f"exit {codes}"

    def last_lines(self) -> str:
        """The end of its log."""
        return tail(self.directory / "log.txt")

    def close(self) -> None:
        """It is followed no longer."""


@dataclass(frozen=True, slots=True)
class FoundProcess:
    """A process that trains in the directory of a run."""

    pid: int
    started: float
    devices: str
    known: bool
    """Whether `state.db` has it."""
    obstacle: str = ""
    """Why the run can neither be followed nor started."""


def find_process(row: RunRow, directory: Path, *, own: bool) -> FoundProcess | None:
    """The process that trains a run, also one whose daemon died before it stored the pid. Blocks for a moment."""
    if row.pid is not None and row.pid_started is not None and is_alive(row.pid, row.pid_started):
        return FoundProcess(row.pid, row.pid_started, row.device, known=True)
    holder = holder_of(directory)
    if holder is None:
        return None
    owner = read_owner(directory)
    devices = owner.devices if owner else row.device
    obstacle = ""
    if not holder.alive and read_launch(directory) is not None:
        return None  # on another machine: it ends when it sees a newer start
    if not holder.alive or holder.started is None:
        where = f"on {holder.host}" if holder.host else "unknown to this machine"
        obstacle = f"a process {where} is training in {directory}"
    elif not own:
        obstacle = (
            f"process {holder.pid} trains another run in {directory}, of a database that was there before"
        )
    return FoundProcess(holder.pid, holder.started or 0.0, devices, known=False, obstacle=obstacle)
