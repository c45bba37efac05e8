"""Where students train: one run at a time on each device. Looks at the machine without importing torch."""

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
    """A training device; `threads` is what its ranks share on a CPU."""

    name: str
    kind: Literal["cpu", "cuda"]
    index: int
    threads: int


def find_devices(names: list[str]) -> list[Device]:
    """The devices of the configuration; "auto" is every GPU, else two halves of the CPU.

    Raises:
        ConfigError: a name is none, or a GPU is not there.
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
                f'daemon.devices: {name!r} is no device; expected ["auto"], or "cuda:0", "cpu:0", …'
            )
        index = int(match[2])
        if match[1] == "cuda" and index >= gpus:
            raise ConfigError(f"daemon.devices: {name} is not there: this machine has {gpus} GPU(s)")
        kind: Literal["cpu", "cuda"] = "cuda" if match[1] == "cuda" else "cpu"
        devices.append(Device(name, kind, index, max(1, cores() // on_cpu)))
    return devices


def check_ranks(devices: list[Device], students: list[StudentConfig], folder: Path) -> None:
    """Refuses a student that wants more GPUs than there are; on a CPU ranks share the cores.

    Args:
        devices: this machine's.
        students: who is trained.
        folder: where relative paths of hostfiles start.

    Raises:
        ConfigError: which student, and how many there are; or its hostfile is none.
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
    """CPU cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def gpu_count() -> int:
    """NVIDIA GPUs of this machine, as the driver lists them."""
    return len(list(Path("/proc/driver/nvidia/gpus").glob("*")))
