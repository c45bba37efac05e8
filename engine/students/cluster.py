"""Starts a run on several machines with DeepSpeed's launcher: its command line and the environment that ranks share.

The launcher (pdsh over ssh, srun, mpirun, or one start per machine) runs `launched_rank.py` as each rank, on a hostfile
that lists only the slots in use. Every machine needs this checkout and its Python at the same path, and the run
directory. This module starts nothing and imports nothing heavy.
"""

from __future__ import annotations

import os
import re
import shutil
import sys
import uuid
from collections.abc import Mapping
from pathlib import Path

from engine.config.students import TrainingConfig
from engine.errors import JobFailed
from engine.students.hosts import Host, hostfile_text, place
from engine.students.launch import ROOT, Device, RankLaunch, free_port, rank_environment, training_environment
from engine.students.run_commands import HOSTFILE, Launch, write_launch

_OF_LAUNCHERS = re.compile(r"SSH_AUTH_SOCK|(?:SLURM|PDSH|OMPI|PMIX|PRTE|HYDRA|I_MPI|FI|UCX)_\w+")
OF_A_MACHINE = re.compile(
    r"PATH|HOME|USER|LOGNAME|SHELL|TMPDIR|TEMP|TMP|XDG_CACHE_HOME|VIRTUAL_ENV|CUDA_VISIBLE_DEVICES"
)
_NEEDS = {"pdsh": "pdsh", "slurm": "srun", "openmpi": "mpirun", "mpich": "mpirun", "impi": "mpirun"}


def prepare_cluster(
    run_dir: Path,
    training: TrainingConfig,
    hosts: tuple[Host, ...],
    *,
    device: Device,
    threads: int,
    python: str = sys.executable,
    environ: Mapping[str, str] | None = None,
) -> RankLaunch:
    """Writes a start into the run directory and returns the command for this machine.

    Args:
        run_dir: the run directory, on a file system that all machines share.
        training: the number of ranks (`devices`), and the launcher with its settings.
        hosts: the available machines.
        device: the kind of device that ranks compute on.
        threads: CPU threads a rank may use.
        python: the interpreter, the same path on all machines.
        environ: the environment to choose from; by default that of the process.

    Raises:
        JobFailed: the launcher is not installed, or the ranks cannot be placed.
    """
    environ = os.environ if environ is None else environ
    placed = place(hosts, training.devices, training.launcher)
    if placed is None:
        raise JobFailed(
            f"{training.devices} ranks do not fit on the machines of {training.hostfile} with launcher {training.launcher}"
        )
    check_launcher(training.launcher, environ)
    env = rank_environment(environ, device=device, threads=threads, local=False)
    launch = Launch(
        start=uuid.uuid4().hex,
        launcher=training.launcher,
        hosts=tuple((host.name, host.slots) for host in placed),
        address=training.master_address or placed[0].name,
        port=training.master_port or free_port(),
        env={name: value for name, value in env.items() if not OF_A_MACHINE.fullmatch(name)}
        | ({"CUDA_VISIBLE_DEVICES": ""} if device == "cpu" else {}),
    )
    (run_dir / HOSTFILE).write_text(hostfile_text(placed), encoding="utf-8")
    write_launch(run_dir, launch)
    return node_launch(
        run_dir, launch, node=0, arguments=training.launcher_arguments, python=python, environ=environ
    )


def check_launcher(launcher: str, environ: Mapping[str, str]) -> None:
    """Checks that a launcher's program is on this machine.

    Raises:
        JobFailed: it is not.
    """
    needed = _NEEDS.get(launcher)
    if needed and shutil.which(needed, path=environ.get("PATH", os.defpath)) is None:
        raise JobFailed(
            f'training.launcher = "{launcher}" needs {needed}, which is not on the PATH: install it, '
            'or use launcher = "no-ssh" and `python -m engine.students.node` on the other machines'
        )


def node_launch(
    run_dir: Path,
    launch: Launch,
    *,
    node: int,
    arguments: str = "",
    python: str = sys.executable,
    environ: Mapping[str, str] | None = None,
) -> RankLaunch:
    """The command for one machine: DeepSpeed's launcher. With no-ssh, every machine runs it.

    Args:
        run_dir: the run directory.
        launch: the start.
        node: the position of this machine in the hostfile.
        arguments: passed on to pdsh, srun or mpirun.
        python: the interpreter.
        environ: the environment to choose from; by default that of the process.
    """
    environ = os.environ if environ is None else environ
    run_dir = run_dir.resolve()
    argv = [python, "-P", "-m", "deepspeed.launcher.runner", f"--hostfile={run_dir / HOSTFILE}"]
    argv += [f"--master_addr={launch.address}", f"--master_port={launch.port}", "--no_local_rank"]
    if launch.launcher == "no-ssh":
        argv += ["--no_ssh", f"--node_rank={node}"]
    else:
        argv += [f"--launcher={launch.launcher}", "--force_multi"]
        argv += [f"--launcher_args={arguments}"] if arguments else []
        argv += [] if launch.launcher == "pdsh" else ["--no_ssh_check"]
    argv += [str(Path(__file__).with_name("launched_rank.py")), str(run_dir)]
    env = training_environment(environ) | {
        name: value for name, value in environ.items() if _OF_LAUNCHERS.fullmatch(name)
    }
    env |= {"DS_ACCELERATOR": launch.env["DS_ACCELERATOR"], "PYTHONPATH": str(ROOT), "PYTHONSAFEPATH": "1"}
    env |= {"PYTHONUNBUFFERED": "1", "PYTHONWARNINGS": "ignore"}
    return RankLaunch(rank=node, argv=tuple(argv), env=env, folder=str(ROOT))
