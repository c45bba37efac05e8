"""What the kernel says about memory that ran out: how often it killed a process of ours for it.

Training processes share the daemon's control group, so the group's counter is theirs, too. Where there is no
control group to be read (another system, a closed container), nothing is known.
"""

from __future__ import annotations

from pathlib import Path


def killed_for_memory(
    own: Path = Path("/proc/self/cgroup"), root: Path = Path("/sys/fs/cgroup")
) -> int | None:
    """How many processes of this control group the kernel has killed for want of memory; None: not known."""
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
