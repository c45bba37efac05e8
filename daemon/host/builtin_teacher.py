"""The built-in teacher as a process of its own, started for a teacher with `builtin = true`.

It ends when its standard input is closed, so it ends with the daemon, even by SIGKILL.
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

import anyio
from anyio.abc import Process, TaskStatus
from anyio.streams.buffered import BufferedByteReceiveStream

from engine.config import TeacherConfig
from engine.config.faults import nearest, quoted
from engine.errors import ConfigError, JobFailed, UsageError
from engine.practice.recorded_model import RecordedModel
from engine.practice.server_options import PracticeOptions, arguments, parse_faults
from engine.practice.simulated_model import MODELS
from engine.students.launch import training_environment
from engine.teachers.dialects import dialect

READY_S = 30.0
ROOT = Path(__file__).resolve().parents[2]


def read_recording(name: str, config: TeacherConfig, folder: Path) -> RecordedModel:
    """What a teacher replays; `folder` is that of the configuration.

    Raises:
        ConfigError: a file is missing, or cannot be read.
    """
    try:
        return RecordedModel(_recordings(config, folder))
    except UsageError as error:
        raise ConfigError(f"teachers.{name}.replay: {error.message}") from None


def _recordings(config: TeacherConfig, folder: Path) -> tuple[Path, ...]:
    return tuple(folder / Path(each).expanduser() for each in config.recordings)


def check_builtin(name: str, config: TeacherConfig) -> None:
    """Checks what only the built-in teacher itself knows: its models and faults.

    Raises:
        ConfigError: it has no such model or fault.
    """
    if not config.recordings and config.model not in MODELS:
        raise ConfigError(
            f"teachers.{name}.model: the built-in teacher has no model {quoted(config.model)}; {nearest(config.model, MODELS)}"
        )
    try:
        parse_faults(config.fault)
    except UsageError as error:
        raise ConfigError(f"teachers.{name}.fault: {error.message}") from None


def command(config: TeacherConfig, folder: Path) -> list[str]:
    """The command line of a built-in teacher on a free port of the loopback interface."""
    options = PracticeOptions(
        replay=_recordings(config, folder),
        error_rate=config.step_error_rate,
        errors=config.errors,
        latency_ms=config.latency_ms,
        requests_per_minute=config.requests_per_minute,
        tokens_per_minute=config.tokens_per_minute,
        concurrency=None if dialect(config.dialect).transport == "batches" else config.concurrency,
        faults=parse_faults(config.fault),
        refuse_unknown=True,
    )
    return [sys.executable, "-P", "-m", "engine.practice", "--exit-with-parent", *arguments(options)]


async def serve_practice(
    name: str,
    config: TeacherConfig,
    folder: Path,
    *,
    task_status: TaskStatus[str] = anyio.TASK_STATUS_IGNORED,
) -> None:
    """Runs the built-in teacher until cancelled; reports its address when it is ready.

    Raises:
        ConfigError: it has no such model or fault.
        JobFailed: the process did not start, or ended.
    """
    check_builtin(name, config)
    env = training_environment(os.environ) | {"PYTHONPATH": str(ROOT), "PYTHONUNBUFFERED": "1"}
    process = await anyio.open_process(command(config, folder), env=env, stderr=None, start_new_session=True)
    try:
        task_status.started(await _address(name, process))
        code = await process.wait()
        raise JobFailed(
            f"the built-in teacher of {name} ended (exit {code}); what is stored is kept, and `coterie run` goes on"
        )
    finally:
        with anyio.CancelScope(shield=True):
            await process.aclose()


async def _address(name: str, process: Process) -> str:
    assert process.stdout is not None
    try:
        with anyio.fail_after(READY_S):
            line = await BufferedByteReceiveStream(process.stdout).receive_until(b"\n", 4096)
            return str(json.loads(line)["url"])
    except (TimeoutError, anyio.IncompleteRead, anyio.EndOfStream, ValueError, KeyError):
        raise JobFailed(f"the built-in teacher of {name} did not start; see its message above") from None
