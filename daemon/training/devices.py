"""The devices that students are trained on, one run at a time each. Detects them without importing torch."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from engine.config import StudentConfig
from engine.errors import ConfigError
from engine.students.hosts import capacity, place, read_hostfile

NAME = re.compile(r"(cpu|cuda):(\d+)")


@dataclass(frozen=True, slots=True)
class Device:
    """A training device. On a CPU, its ranks share `threads`."""

    name: str
    kind: Literal["cpu", "cuda"]
    index: int
    threads: int


def find_devices(names: list[str]) -> list[Device]:
    """The configured devices. "auto" means every GPU, or two halves of the CPU.

    Raises:
        ConfigError: a name is invalid, or a GPU does not exist.
    """
    gpus = gpu_count()
    if names == ["auto"]:
        halves = ["cpu:0", "cpu:1"] if cores() > 1 else ["cpu:0"]
        names = [f"cuda:{index}" for index in range(gpus)] or halves
    on_cpu = max(1, sum(name.startswith("cpu") for name in names))
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
        devices.append(Device(name, kind, index, max(1, cores() // on_cpu)))
    return devices


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
    for student in (each for each in students if not each.training.hostfile):
        if student.training.devices > len(devices):
            raise ConfigError(
                f"students.{student.name}.training.devices: {student.training.devices} ranks need as many GPUs;"
                f" daemon.devices has {len(devices)}"
            )


def cores() -> int:
    """The number of CPU cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def gpu_count() -> int:
    """The number of NVIDIA GPUs of this machine, from the driver."""
    return len(list(Path("/proc/driver/nvidia/gpus").glob("*")))
