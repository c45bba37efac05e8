"""Jobs of a Slurm cluster: submits them through submitit, asks after them, signals and cancels them. Every call blocks.

A job is known by its name, which is of this start alone and is in `slurm.json` of the run's directory before Slurm hears of
it. So a daemon that died while it submitted finds the job again, and starts no second one. Imports nothing heavy.
"""

from __future__ import annotations

import importlib.util
import os
import re
import shutil
import subprocess
import uuid
from collections.abc import Collection, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, ValidationError

from engine.config.training import TrainingConfig
from engine.errors import JobFailed
from engine.students.cluster import OF_A_MACHINE
from engine.students.launch import ROOT, Device, rank_environment, training_environment
from engine.students.slurm_rank import SlurmRank

FILE, FOLDER = "slurm.json", "slurm"
PROGRAMS = ("sbatch", "srun", "squeue", "scancel", "scontrol")
ANSWER_S = 30.0
MOST_REQUEUES = 10_000
"""Of submitit. A job that makes no new checkpoint between two limits is not queued again (`SlurmRank.checkpoint`)."""

ENDED = frozenset(
    ("BOOT_FAIL", "CANCELLED", "COMPLETED", "DEADLINE", "FAILED", "NODE_FAIL", "OUT_OF_MEMORY")
    + ("PREEMPTED", "REVOKED", "TIMEOUT", "GONE")
)
"""States of a job that will not run again. GONE: Slurm no longer knows it."""

_FOR_A_WHILE = re.compile(
    r"unable to contact|timed out|temporarily unavailable|connection refused|communication connection failure"
    r"|slurmctld.*(?:down|not running)|socket|MaxSubmitJob|policy.*submit limit|job submit limit|backup",
    re.IGNORECASE,
)


class SlurmBusy(Exception):
    """Slurm does not answer, or takes no further job at the moment: try again later."""


class SlurmJob(BaseModel):
    """The newest job of a run."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str
    job: int | None = None
    """Its number; None until Slurm has answered."""
    began: int = 0
    """Where its reports begin in the progress file."""


@dataclass(frozen=True, slots=True)
class JobState:
    """What Slurm says of a job."""

    job: int
    state: str
    reason: str = ""

    @property
    def ended(self) -> bool:
        """Whether it will not run again."""
        return self.state in ENDED


def check_slurm(environ: Mapping[str, str]) -> None:
    """Checks that jobs can be submitted from this machine.

    Raises:
        JobFailed: a program of Slurm or submitit is missing.
    """
    path = environ.get("PATH", os.defpath)
    if absent := [name for name in PROGRAMS if shutil.which(name, path=path) is None]:
        raise JobFailed(
            f'training.executor = "slurm" needs {", ".join(absent)} on the PATH: run the daemon on a machine from which jobs'
            ' are submitted, or use executor = "local"'
        )
    if importlib.util.find_spec("submitit") is None:
        raise JobFailed(
            "training.executor = \"slurm\" needs submitit, which is not installed: pip install '.[slurm]'"
        )


def read_job(directory: Path) -> SlurmJob | None:
    """The newest job of a run; None if it has none."""
    try:
        return SlurmJob.model_validate_json((directory / FILE).read_bytes())
    except (OSError, ValidationError):
        return None


def submit(run: int, directory: Path, training: TrainingConfig) -> SlurmJob:
    """Submits a run whose directory is ready.

    Args:
        run: its id.
        directory: its directory, on a file system that the nodes share.
        training: its settings, with the number of ranks.

    Raises:
        SlurmBusy: Slurm takes no job now.
        JobFailed: it will not take this one.
    """
    check_slurm(os.environ)
    progress = directory / "progress.jsonl"
    job = SlurmJob(
        name=f"coterie-{run}-{uuid.uuid4().hex[:12]}",
        began=progress.stat().st_size if progress.exists() else 0,
    )
    _write(directory, job)
    import submitit
    from submitit.core.utils import FailedJobError

    device: Device = "cuda" if training.slurm.gpu else "cpu"
    env = rank_environment(os.environ, device=device, threads=training.slurm.cpus_per_rank, local=False)
    shared = {name: value for name, value in env.items() if not OF_A_MACHINE.fullmatch(name)}
    executor = submitit.SlurmExecutor(directory / FOLDER, max_num_timeout=MOST_REQUEUES)
    executor.update_parameters(job_name=job.name, **parameters(training))
    try:
        submitted = executor.submit(SlurmRank(str(directory.resolve()), device, shared))
    except (FailedJobError, subprocess.SubprocessError) as error:
        said = " ".join(str(error).split())
        said = said[said.rfind("sbatch: error") :] if "sbatch: error" in said else said
        if _FOR_A_WHILE.search(said):
            raise SlurmBusy(said) from None
        raise JobFailed(f"Slurm refused the job: {said}") from None
    job = job.model_copy(update={"job": int(submitted.job_id)})
    _write(directory, job)
    return job


def parameters(training: TrainingConfig) -> dict[str, Any]:
    """The settings of a job, as submitit takes them."""
    slurm, per_node = training.slurm, training.devices // training.slurm.nodes
    gpus = f"{slurm.gpu}:{per_node}" if isinstance(slurm.gpu, str) else per_node
    optional = {
        "partition": slurm.partition,
        "account": slurm.account,
        "qos": slurm.qos,
        "constraint": slurm.constraint,
        "mem": slurm.memory,
        "gpus_per_node": gpus if slurm.gpu else None,
    }
    names = [*training_environment(os.environ), "SLURM_CONF", "PYTHONPATH"]
    return {name: value for name, value in optional.items() if value} | {
        "time": slurm.minutes,
        "nodes": slurm.nodes,
        "ntasks_per_node": per_node,
        "cpus_per_task": slurm.cpus_per_rank,
        "signal_delay_s": slurm.stop_before_s,
        "stderr_to_stdout": True,
        "setup": [f"export PYTHONPATH={_quoted(str(ROOT))}"],
        "srun_args": ["--export=ALL", "--kill-on-bad-exit=1", f"--cpus-per-task={slurm.cpus_per_rank}"],
        # By default sbatch would give the job everything in the daemon's environment, keys included.
        "additional_parameters": {**slurm.arguments, "export": ",".join(names), "requeue": True},
    }


def states_of(names: Collection[str]) -> dict[str, JobState]:
    """What Slurm says of these jobs; those that it no longer knows are missing.

    Raises:
        SlurmBusy: it does not answer.
    """
    said = _ask("squeue", "--noheader", "--states=all", f"--name={','.join(names)}", "--format=%j|%i|%T|%r")
    found: dict[str, JobState] = {}
    for line in said.splitlines():
        with suppress(ValueError):
            name, job, state, reason = line.split("|", 3)
            found[name] = JobState(int(job), state, "" if reason == "None" else reason)
    return found


def ask_to_stop(job: int) -> None:
    """Asks a job for a checkpoint; one that has not begun is cancelled.

    Raises:
        SlurmBusy: Slurm does not answer.
    """
    _ask("scancel", "--state=PENDING", str(job))
    _ask("scancel", "--signal=TERM", str(job))


def cancel(job: int) -> None:
    """Ends a job.

    Raises:
        SlurmBusy: Slurm does not answer.
    """
    _ask("scancel", str(job))


def _ask(*command: str) -> str:
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, check=False, timeout=ANSWER_S, stdin=subprocess.DEVNULL
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise SlurmBusy(f"{command[0]}: {error}") from None
    if done.returncode and "Invalid job id" not in done.stderr:
        raise SlurmBusy(" ".join(done.stderr.split()) or f"{command[0]} ended with {done.returncode}")
    return done.stdout


def _write(directory: Path, job: SlurmJob) -> None:
    scratch = directory / f"{FILE}.new"
    scratch.write_text(job.model_dump_json() + "\n", encoding="utf-8")
    scratch.rename(directory / FILE)


def _quoted(text: str) -> str:
    return "'" + text.replace("'", "'\\''") + "'"
