"""The machines of a run: a hostfile, and the placement of ranks. Starts nothing; imports nothing heavy.

A hostfile has one machine per line, `NAME slots=N`, as DeepSpeed and MPI read it; `#` starts a comment. The daemon and
rank 0 run on the first machine.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from engine.errors import ConfigError

_LINE = re.compile(r"(?P<name>[A-Za-z0-9_][\w.:-]*)\s+slots=(?P<slots>[1-9]\d*)")
EVEN = ("slurm", "mpich", "impi")
"""Launchers that start the same number of ranks on each machine."""


@dataclass(frozen=True, slots=True)
class Host:
    """A machine and the number of ranks (GPUs) it takes."""

    name: str
    slots: int


def read_hostfile(path: Path) -> tuple[Host, ...]:
    """The machines of a hostfile, in order.

    Raises:
        ConfigError: the file cannot be read, a line is invalid, or a machine appears twice.
    """
    if path.exists() and not path.is_file():
        raise ConfigError(f"the hostfile {path} is not a regular file")
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"the hostfile {path} cannot be read: {error}") from None
    hosts: list[Host] = []
    for number, line in enumerate(text.splitlines(), 1):
        bare = line.partition("#")[0].strip()
        if not bare:
            continue
        match = _LINE.fullmatch(bare)
        if match is None:
            raise ConfigError(
                f"{path}:{number}: {bare!r} is not a machine; expected a line such as: node1 slots=8"
            )
        if any(host.name == match["name"] for host in hosts):
            raise ConfigError(
                f"{path}:{number}: {match['name']} appears twice; give all its slots in one line"
            )
        hosts.append(Host(match["name"], int(match["slots"])))
    if not hosts:
        raise ConfigError(f"the hostfile {path} has no machines; expected lines such as: node1 slots=8")
    return tuple(hosts)


def capacity(hosts: Sequence[Host], launcher: str) -> int:
    """The largest number of ranks that fit. Launchers of `EVEN` use the smallest machine as the measure."""
    if launcher in EVEN:
        return len(hosts) * min(host.slots for host in hosts)
    return sum(host.slots for host in hosts)


def place(hosts: Sequence[Host], ranks: int, launcher: str) -> tuple[Host, ...] | None:
    """The machines with the slots that this number of ranks uses, filled in order; None if the ranks do not fit.

    Launchers of `EVEN` get the fewest machines that share the ranks evenly.
    """
    if launcher in EVEN:
        for count in range(1, len(hosts) + 1):
            each, rest = divmod(ranks, count)
            if not rest and each and all(host.slots >= each for host in hosts[:count]):
                return tuple(Host(host.name, each) for host in hosts[:count])
        return None
    placed: list[Host] = []
    for host in hosts:
        taken = min(host.slots, ranks)
        if taken:
            placed.append(Host(host.name, taken))
        ranks -= taken
    return tuple(placed) if not ranks else None


def hostfile_text(hosts: Sequence[Host]) -> str:
    """The hostfile of placed machines."""
    return "".join(f"{host.name} slots={host.slots}\n" for host in hosts)
