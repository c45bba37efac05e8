"""The process of a run: whether it is alive, and how it is stopped."""

from __future__ import annotations

import signal
import subprocess
from dataclasses import dataclass, field
from pathlib import Path

from daemon.host.processes import is_alive, signal_group
from daemon.training.devices import Device
from daemon.training.progress_reader import Ending
from engine.students.run_commands import send_command
from state.runs import RunRow


@dataclass(slots=True)
class RunProcess:
    """A run whose process is alive, or has just ended."""

    row: RunRow
    devices: tuple[Device, ...]
    directory: Path
    pid: int
    pid_started: float
    task_ids: dict[str, int]
    threads: int = 0
    """The CPU threads that it was told to use; 0: none yet."""
    ranks: list[subprocess.Popen[bytes]] = field(default_factory=list)  # empty: adopted
    offset: int = 0
    kills: int | None = None
    """How many processes the kernel had killed for lack of memory when this one started."""
    ending: Ending = field(default_factory=Ending)
    launched: bool = False
    """Whether a launcher started ranks on several machines. Signals do not reach those; run commands do."""
    stop: str = ""  # who asked: "user" (for good) or "daemon" (resumed at its next start)
    stop_since: float = 0.0

    def alive(self) -> bool:
        """Whether rank 0 is alive. When a rank dies, the others are killed."""
        if self.ranks:
            codes = [rank.poll() for rank in self.ranks]
            if any(code not in (None, 0) for code in codes) and None in codes:
                signal_group(self.pid, signal.SIGKILL)
                codes = [rank.wait() for rank in self.ranks]
            return None in codes
        return is_alive(self.pid, self.pid_started)

    def ask_to_stop(self) -> None:
        """Asks for a checkpoint at the next step."""
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
