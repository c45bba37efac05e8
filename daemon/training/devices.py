"""The devices that students are trained on, one run at a time each. Detects them without importing torch."""

from __future__ import annotations

import math
import os
import re
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from engine.config import StudentConfig
from engine.errors import ConfigError
from engine.students.hosts import capacity, place, read_hostfile

NAME = re.compile(r"(cpu|cuda):(\d+)")


@dataclass(frozen=True, slots=True)
class Device:
    """A training device."""

    name: str
    kind: Literal["cpu", "cuda"]
    index: int
    threads: int
    """Its CPU threads while all devices are in use."""
    shared: bool = False
    """Whether runs also use the threads of devices that are free."""


def find_devices(names: list[str]) -> list[Device]:
    """The configured devices. "auto" means every GPU, or two halves of the CPU, of which one run alone uses both.

    Named devices have fixed parts of the CPU.

    Raises:
        ConfigError: a name is invalid, or a GPU does not exist.
    """
    gpus = gpu_count()
    if shared := names == ["auto"]:
        halves = ["cpu:0", "cpu:1"] if cores() > 1 else ["cpu:0"]
        names = [f"cuda:{index}" for index in range(gpus)] or halves
    part = max(1, cores() // len(names))
    devices = []
    for name in names:
        match = NAME.fullmatch(name)
        if match is None:
            raise ConfigError(
                f'daemon.devices: {name!r} is not a device; expected ["auto"], or names such as "cuda:0" and "cpu:0"'
            )
        index = int(match[2])
        if match[1] == "cuda" and index >= gpus:
            raise ConfigError(f"daemon.devices: {name} does not exist: this machine has {gpus} GPU(s)")
        kind: Literal["cpu", "cuda"] = "cuda" if match[1] == "cuda" else "cpu"
        devices.append(Device(name, kind, index, part, shared))
    return devices


def threads_of(devices: Collection[Device], busy: Collection[Device]) -> int:
    """The CPU threads of a run on some devices.

    Args:
        devices: the devices of the run.
        busy: all devices in use, those of the run included.
    """
    if all(device.shared for device in devices):
        return max(1, cores() * len(devices) // max(1, len(busy)))
    return sum(device.threads for device in devices)


def check_ranks(devices: list[Device], students: list[StudentConfig], folder: Path) -> None:
    """Refuses a student that needs more GPUs than there are. On a CPU, ranks share the cores.

    Args:
        devices: the devices of this machine.
        students: the configured students.
        folder: relative paths of hostfiles start here.

    Raises:
        ConfigError: a student needs too many GPUs, or its hostfile is invalid.
    """
    for student in students:
        training = student.training
        if training.hostfile:
            hosts = read_hostfile(folder / training.hostfile)
            if place(hosts, training.devices, training.launcher) is None:
                raise ConfigError(
                    f"students.{student.name}.training.devices: {training.devices} ranks do not fit on the machines of "
                    f"{training.hostfile}, which have {capacity(hosts, training.launcher)} slots for {training.launcher}"
                )
    if not devices or devices[0].kind == "cpu":
        return
    here = (each for each in students if not each.training.hostfile and each.training.executor == "local")
    for student in here:
        if student.training.devices > len(devices):
            raise ConfigError(
                f"students.{student.name}.training.devices: {student.training.devices} ranks need as many GPUs;"
                f" daemon.devices has {len(devices)}"
            )


def cores() -> int:
    """The number of CPU cores that this process may use: of its affinity, and of its container's quota."""
    allowed = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return max(
        1, min(allowed, math.ceil(quota(Path("/proc/self/cgroup"), Path("/sys/fs/cgroup")) or allowed))
    )


def quota(own: Path, root: Path) -> float | None:
    """The CPU time per second that control groups (version 2) allow, such as 1.5; None if they set no limit.

    Args:
        own: the file that names the group of this process.
        root: the folder of all groups.
    """
    found = []
    try:
        [name] = [line[3:] for line in own.read_text().splitlines() if line.startswith("0::")]
        folder = root / name.strip("/")
        for group in (folder, *folder.parents):
            if (file := group / "cpu.max").is_file():
                time, period = file.read_text().split()
                found += [] if time == "max" else [int(time) / int(period)]
            if group == root:
                break
    except (OSError, ValueError):  # no control groups, or not of version 2
        pass
    return min(found, default=None)


def gpu_count() -> int:
    """The number of NVIDIA GPUs of this machine, from the driver."""
    return len(list(Path("/proc/driver/nvidia/gpus").glob("*")))
