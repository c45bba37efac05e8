"""`coterie serve`: a finished student as an OpenAI-compatible server on 127.0.0.1, until Ctrl-C or SIGTERM.

This process becomes the server (`engine.students.serve`), so signals and exit code are its own.
"""

from __future__ import annotations

import argparse
import importlib.util
import os
import sys
from contextlib import closing
from pathlib import Path

from daemon.cli.finished_student import finished_student
from daemon.training.devices import cores, gpu_count
from engine.config import load_config
from engine.errors import UsageError
from engine.methods import METHODS
from engine.students.launch import Device, serve_command
from state.database import open_reader
from state.runs import RunRow, done_runs
from state.sqlite import Connection

PORTS = 65_535


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The arguments of the command."""
    parser.add_argument(
        "student", metavar="STUDENT", help="its name (the newest finished run), or the number of a run"
    )
    parser.add_argument("--task", help="of a student with a run for each task: which one")
    parser.add_argument("--port", type=int, default=0, metavar="N", help="port of 127.0.0.1 (a free one)")
    parser.add_argument(
        "--device", choices=("cpu", "cuda"), help="what it computes on (a GPU if there is one)"
    )


def command(arguments: argparse.Namespace) -> int:
    """Replaces this process by the server.

    Raises:
        UsageError: there is no such student, it has no finished run, or the port is wrong.
    """
    if not 0 <= arguments.port <= PORTS:
        raise UsageError(f"--port: expected a number from 0 to {PORTS:,} (got {arguments.port})")
    if importlib.util.find_spec("torch") is None:
        raise UsageError("serving needs the training libraries: pip install 'coterie[train]'")
    config = load_config(arguments.config)
    with closing(open_reader(config.database)) as connection:
        number = _run(connection, arguments.student, arguments.task)
        run, directory = finished_student(connection, config, number, members=True)
    if run.settings.student.get("part"):
        raise UsageError(
            f"run {run.id} is one part of a pair (part = {run.settings.student['part']!r}), which answers nothing by itself"
        )
    name = run.student if not arguments.student.isdecimal() else f"run-{run.id}"
    become(directory.parent, name, arguments.port, arguments.device)
    return 0


def become(directory: Path, name: str, port: int, device: str | None) -> None:
    """Replaces this process by the server of a run directory, with the environment of a training process."""
    kind: Device = "cuda" if device == "cuda" or (device is None and gpu_count()) else "cpu"
    launch = serve_command(directory, name, port, device=kind, threads=cores(), environ=os.environ)
    sys.stdout.flush()
    os.execve(launch.argv[0], list(launch.argv), dict(launch.env))


def _has_student(run: RunRow) -> bool:
    method = METHODS.get(str(run.settings.student.get("method", "")))
    return method is None or method.trains


def _run(connection: Connection, student: str, task: str | None) -> int:
    """The number of the newest finished run of a student."""
    if student.isascii() and student.isdecimal() and len(student) < 10:
        return int(student)
    runs = [run for run in done_runs(connection) if _has_student(run)]
    own = [run for run in runs if run.student == student]
    if not own:
        known = ", ".join(dict.fromkeys(run.student for run in runs)) or "none yet"
        raise UsageError(f"no finished run of a student {student!r}; finished: {known}")
    scopes = list(dict.fromkeys(run.scope for run in own))
    if task is not None and task not in scopes:
        raise UsageError(f"--task {task}: {student} has no finished run on it; it has: {', '.join(scopes)}")
    if task is None and len(scopes) > 1:
        raise UsageError(f"{student} has a run for each task: add --task with one of {', '.join(scopes)}")
    return max(run.id for run in own if task in (None, run.scope))
