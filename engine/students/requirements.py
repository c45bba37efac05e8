"""What the settings of students need of this machine besides their bases: packages, programs, a GPU. Imports nothing heavy."""

from __future__ import annotations

import importlib.util
import os
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence

from engine.config.students import StudentConfig, TrackerName, TrainingConfig
from engine.errors import JobFailed
from engine.methods import METHODS
from engine.students.cluster import check_launcher
from engine.students.launch import search_path
from engine.students.slurm import check_slurm

TRACKERS = {"tensorboard": "tensorboard", "wandb": "wandb", "trackio": "trackio"}
"""The package that each tracker needs."""


def missing(students: Sequence[StudentConfig], environ: Mapping[str, str], *, on_gpu: bool) -> list[str]:
    """Everything that is missing, with the setting that needs it."""
    return [
        f"students.{student.name}.{said}" for student in students for said in _of(student, on_gpu, environ)
    ]


def _of(student: StudentConfig, on_gpu: bool, environ: Mapping[str, str]) -> Iterator[str]:
    training, evaluation = student.training, student.evaluation
    if METHODS[student.method].trains:
        yield from _of_training(training, on_gpu, environ)
    command = evaluation.server_command
    if command and shutil.which(command[0], path=search_path(environ)) is None:
        yield (
            f"evaluation.server_command: {command[0]} is not on the PATH (nor beside this Python):"
            " install it, or remove server_command"
        )


def _of_training(training: TrainingConfig, on_gpu: bool, environ: Mapping[str, str]) -> Iterator[str]:
    yield from _refused(lambda: check_tracker(training.tracker))
    if training.executor == "slurm":  # the nodes have what else it needs
        yield from _refused(lambda: check_slurm(environ))
        return
    if training.hostfile:
        yield from _refused(lambda: check_launcher(training.launcher, environ))
    if training.attention == "flash":
        lacks = _lacks_gpu(on_gpu) or _lacks_package("flash-attn", "flash_attn", "flash_attn_interface")
        if not lacks and training.precision == "fp32":
            lacks = "it needs bf16 (training.precision)"
        if lacks:
            yield f'training.attention = "flash" cannot be used: {lacks} (attention = "auto" always works)'
    if training.liger and (lacks := _lacks_gpu(on_gpu) or _lacks_package("liger-kernel", "liger_kernel")):
        yield f"training.liger = true cannot be used: {lacks}"
    if training.compile:
        names = (environ.get("CXX"), "g++", "clang++")
        if not any(name and shutil.which(name, path=environ.get("PATH", os.defpath)) for name in names):
            yield "training.compile = true needs a C++ compiler (g++, or the one named by CXX): install one, or use compile = false"
        elif on_gpu and importlib.util.find_spec("triton") is None:
            yield "training.compile = true needs triton on a GPU, which is not installed"


def check_tracker(name: TrackerName) -> None:
    """Checks that a tracker can be used.

    Raises:
        JobFailed: its library is not installed.
    """
    package = TRACKERS.get(name)
    if package and importlib.util.find_spec(package) is None:
        raise JobFailed(
            f'training.tracker = "{name}" needs the package {package}, which is not installed (pip install {package})'
        )


def _refused(check: Callable[[], None]) -> Iterator[str]:
    try:
        check()
    except JobFailed as error:
        yield error.message


def _lacks_gpu(on_gpu: bool) -> str:
    return "" if on_gpu else "it needs a GPU"


def _lacks_package(package: str, *modules: str) -> str:
    if any(importlib.util.find_spec(module) is not None for module in modules):
        return ""
    return f"the package {package} is not installed (pip install {package})"
