"""One rank as a launcher starts it on any machine: `python engine/students/launched_rank.py RUN_DIR`.

It reads the shared environment from the run directory, takes its rank from the variables of the launcher (DeepSpeed,
SLURM, Open MPI, MPICH), and becomes `engine.students.train`. So no launcher has to pass an environment on: each quotes
differently, and some break values with a comma. Secrets of the machine are left out. Imports nothing heavy.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from engine.errors import JobFailed
from engine.students.launch import ROOT, training_environment
from engine.students.run_commands import FILE, START, Launch, read_launch

NUMBERS = {
    "pdsh": (("RANK",), ("LOCAL_RANK",)),
    "no-ssh": (("RANK",), ("LOCAL_RANK",)),
    "slurm": (("SLURM_PROCID",), ("SLURM_LOCALID",)),
    "openmpi": (("OMPI_COMM_WORLD_RANK",), ("OMPI_COMM_WORLD_LOCAL_RANK",)),
    "mpich": (("RANK", "PMI_RANK", "PMIX_RANK"), ("LOCAL_RANK", "MPI_LOCALRANKID", "PALS_LOCAL_RANKID")),
    "impi": (("RANK", "PMI_RANK"), ("LOCAL_RANK", "MPI_LOCALRANKID")),
}
"""Where each launcher stores the rank of a process, globally and on its machine."""


def main(argv: Sequence[str]) -> int:
    """Becomes the rank; returns only if that fails."""
    if len(argv) != 1:
        print("usage: python engine/students/launched_rank.py RUN_DIR", file=sys.stderr)  # noqa: T201
        return 2
    directory = Path(argv[0]).resolve()
    launch = read_launch(directory)
    if launch is None:
        print(f"{directory} has no {FILE}: is it on a file system that all machines share?", file=sys.stderr)  # noqa: T201
        return 1
    try:
        env = environment(launch, os.environ)
    except JobFailed as error:
        print(error, file=sys.stderr)  # noqa: T201
        return 1
    sys.stdout.flush()
    os.execve(sys.executable, [sys.executable, "-P", "-m", "engine.students.train", str(directory)], env)


def environment(launch: Launch, environ: Mapping[str, str]) -> dict[str, str]:
    """The complete environment of this rank.

    The environment of the daemon wins, except where each machine is started by hand (no-ssh): there its own wins.

    Raises:
        JobFailed: the launcher did not say which rank this is.
    """
    rank, local = (_number(launch, names, environ) for names in NUMBERS[launch.launcher])
    own = training_environment(environ)
    shared = {**launch.env, **own} if launch.launcher == "no-ssh" else {**own, **launch.env}
    return shared | {
        "RANK": rank,
        "LOCAL_RANK": local,
        "WORLD_SIZE": str(launch.world),
        "MASTER_ADDR": launch.address,
        "MASTER_PORT": str(launch.port),
        "PYTHONPATH": str(ROOT),
        START: launch.start,
    }


def _number(launch: Launch, names: Sequence[str], environ: Mapping[str, str]) -> str:
    found = next((environ[name] for name in names if environ.get(name, "").isdecimal()), None)
    if found is None:
        raise JobFailed(
            f"the launcher {launch.launcher} did not say which rank this is: none of {', '.join(names)} is set"
        )
    return found


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
