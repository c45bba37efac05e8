"""The commands and environments of the ranks of a run, and of the server of its student. Starts nothing; imports nothing heavy.

Ranks on this machine are started directly with RANK, LOCAL_RANK, WORLD_SIZE, MASTER_ADDR and MASTER_PORT. The
`deepspeed` launcher would import everything twice more; `cluster` uses it for several machines. The environment is an
allow-list, so keys and tokens of the daemon never reach a training process.
"""

from __future__ import annotations

import os
import re
import socket
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from engine.config.students import TrainingConfig
from engine.errors import JobFailed

Device = Literal["cpu", "cuda"]

_ALLOWED = re.compile(
    r"PATH|HOME|USER|LOGNAME|SHELL|LANG|LANGUAGE|LC_\w+|TZ|TMPDIR|TEMP|TMP|VIRTUAL_ENV|XDG_CACHE_HOME|LD_LIBRARY_PATH"
    r"|DYLD_LIBRARY_PATH|SSL_CERT_FILE|SSL_CERT_DIR|REQUESTS_CA_BUNDLE|NO_PROXY|no_proxy"
    r"|HF_HOME|HF_HUB_\w+|HF_ENDPOINT|TRANSFORMERS_\w+|SYSTEMROOT"
    r"|(?:CUDA|NVIDIA|NCCL|GLOO|TORCH|PYTORCH|HIP|ROCR|DEEPSPEED|WANDB|TRACKIO)_\w+"
)
_SECRET = re.compile(r"KEY|TOKEN|SECRET|PASSW|CREDENTIAL|AUTH", re.IGNORECASE)
ROOT = Path(__file__).resolve().parents[2]


@dataclass(frozen=True, kw_only=True, slots=True)
class RankLaunch:
    """The command of one rank and its complete environment; nothing is inherited."""

    rank: int
    argv: tuple[str, ...]
    env: Mapping[str, str]
    folder: str | None = None
    """The working directory; None: any."""


def rank_commands(
    run_dir: Path,
    training: TrainingConfig,
    *,
    device: Device,
    threads: int,
    python: str = sys.executable,
    environ: Mapping[str, str] | None = None,
    port: int | None = None,
    module: str = "engine.students.train",
) -> list[RankLaunch]:
    """The commands of a run's local ranks, `training.devices` of them.

    Args:
        run_dir: the run directory; made absolute.
        training: the number of ranks.
        device: the kind of device that ranks compute on.
        threads: CPU threads a rank may use.
        python: the interpreter.
        environ: the environment to choose from; by default that of the process.
        port: where the ranks meet on this machine; a free port by default.
        module: what each rank runs, with the run directory as its argument.
    """
    shared = rank_environment(os.environ if environ is None else environ, device=device, threads=threads)
    shared |= {
        "WORLD_SIZE": str(training.devices),
        "LOCAL_WORLD_SIZE": str(training.devices),
        "MASTER_ADDR": "127.0.0.1",
        "MASTER_PORT": str(port or free_port()),
    }
    # -P: a folder named `state` or `engine` in the working directory must not be imported.
    argv = (python, "-P", "-m", module, str(run_dir.resolve()))
    return [
        RankLaunch(rank=rank, argv=argv, env=shared | {"RANK": str(rank), "LOCAL_RANK": str(rank)})
        for rank in range(training.devices)
    ]


def serve_command(
    directory: Path, name: str, port: int = 0, *, device: Device, threads: int, environ: Mapping[str, str]
) -> RankLaunch:
    """The command that serves the student of a run directory under a name. `port` 0: a free one."""
    env = rank_environment(environ, device=device, threads=threads) | {"HF_HUB_OFFLINE": "1"}
    argv = (sys.executable, "-P", "-m", "engine.students.serve", str(directory.resolve()), name, str(port))
    return RankLaunch(rank=0, argv=argv, env=env)


def rank_environment(
    environ: Mapping[str, str], *, device: Device, threads: int, local: bool = True
) -> dict[str, str]:
    """The environment that all ranks of a run have in common. `local`: all of them are on this machine."""
    shared = training_environment(environ) | {
        "OMP_NUM_THREADS": str(threads),
        "MKL_NUM_THREADS": str(threads),
        # Threads that spin while they wait for each other take a busy machine from the one they wait for.
        "OMP_WAIT_POLICY": "PASSIVE",
        "DS_ACCELERATOR": device,
        "TOKENIZERS_PARALLELISM": "false",
        "PYTHONPATH": str(ROOT),
        "PYTHONUNBUFFERED": "1",
        "PYTHONWARNINGS": "ignore",
    }
    if device == "cpu":
        shared["CUDA_VISIBLE_DEVICES"] = ""
        if sys.platform == "linux" and local:
            shared["GLOO_SOCKET_IFNAME"] = "lo"  # otherwise gloo looks up the host name, which may fail
    return shared


def training_environment(environ: Mapping[str, str]) -> dict[str, str]:
    """The variables that a training process may see: known names, and never a secret."""
    return {
        name: value
        for name, value in environ.items()
        if _ALLOWED.fullmatch(name) and not _SECRET.search(name)
    }


def search_path(environ: Mapping[str, str]) -> str:
    """Where the program of an evaluation server is looked for: beside this Python, then on the PATH."""
    return f"{Path(sys.executable).parent}{os.pathsep}{environ.get('PATH', os.defpath)}"


def free_port() -> int:
    """A TCP port of this machine that is free at the moment."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def accumulation_steps(training: TrainingConfig, world: int) -> int:
    """The micro-batches of one rank in an optimizer step. A step has `devices x accumulation`, which its ranks share.

    So the rows of a step, and the student, do not depend on the number of ranks.

    Raises:
        JobFailed: they cannot be shared evenly, so a step would have different rows.
    """
    together = training.devices * training.accumulation
    if together % world:
        raise JobFailed(
            f"a step of this run has {training.devices} x {training.accumulation} micro-batches "
            f"(training.devices x accumulation), which {world} ranks cannot share evenly"
        )
    return together // world


def ranks_for(training: TrainingConfig, available: int) -> int:
    """The largest number of available ranks that share the micro-batches of a step evenly."""
    together = training.devices * training.accumulation
    return max(number for number in range(1, min(available, together) + 1) if together % number == 0)
