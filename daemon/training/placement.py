"""Where a run is trained on this machine or those of a hostfile: the number of ranks, the devices and the processes.

The number of ranks and the machines do not change the student, so the current configuration decides them.
"""

from __future__ import annotations

import subprocess
from collections.abc import Callable, Collection, Sequence
from contextlib import closing
from dataclasses import replace
from pathlib import Path

from daemon.host.processes import spawn_ranks
from daemon.training.derived import materialise_derived
from daemon.training.devices import Device
from daemon.training.manifest import materialise
from engine.config import Config, TrainingConfig
from engine.errors import JobFailed
from engine.students.cluster import prepare_cluster
from engine.students.hosts import place, read_hostfile
from engine.students.launch import rank_commands, ranks_for
from engine.students.orphans import Owner, show_owner
from engine.students.run_commands import FILE as LAUNCH
from engine.students.run_commands import STOP, THREADS, write_share
from engine.students.slurm import FILE as SLURM
from state.database import open_reader
from state.enums import TRAIN
from state.runs import RunRow

OF_THE_MACHINES = (
    *("executor", "slurm", "hostfile", "launcher", "launcher_arguments", "master_address", "master_port"),
)
"""Settings whose current value is used, however old the run is."""


def training_now(run: RunRow, config: Config, devices: Sequence[Device]) -> TrainingConfig:
    """The training settings of a run, with as many ranks as are configured and available now.

    The ranks share the micro-batches of a step, so their number divides it.

    Raises:
        ConfigError: its hostfile cannot be used.
        JobFailed: its ranks do not fit on the nodes.
    """
    training = TrainingConfig.model_validate(run.settings.student["training"])
    now = next((each for each in config.students if each.name == run.student), None)
    machines = now.training if now else training
    wanted = machines.devices
    if machines.executor == "slurm":
        nodes = machines.slurm.nodes
        ranks = max(
            (each for each in range(nodes, wanted + 1, nodes) if each == ranks_for(training, each)), default=0
        )
        if not ranks:
            raise JobFailed(f"no number of ranks up to {wanted} shares a step of this run over {nodes} nodes")
    elif machines.hostfile:
        hosts = read_hostfile(config.folder / machines.hostfile)
        fits = [ranks for ranks in range(1, wanted + 1) if place(hosts, ranks, machines.launcher)]
        ranks = max(ranks for ranks in fits if ranks == ranks_for(training, ranks))
    else:
        ranks = ranks_for(training, min(wanted, len(devices)) if devices[0].kind == "cuda" else wanted)
    return training.model_copy(
        update={"devices": ranks, **{name: getattr(machines, name) for name in OF_THE_MACHINES}}
    )


def free_devices(
    training: TrainingConfig, devices: Sequence[Device], busy: Collection[str]
) -> tuple[Device, ...]:
    """Devices for a run: one GPU per rank, or on a CPU one device whose threads the ranks share."""
    free = [device for device in devices if device.name not in busy]
    if training.hostfile:  # other machines are assumed to be equal to this one, and the run uses all of it
        return () if busy else tuple(free)
    wanted = training.devices if devices[0].kind == "cuda" else min(training.devices, len(devices))
    return tuple(free[:wanted]) if len(free) >= min(wanted, len(devices)) else ()


def named_devices(names: str, wanted: int, devices: Sequence[Device]) -> tuple[Device, ...]:
    """The devices that a run was started on; the first ones if those names no longer exist."""
    known = {device.name: device for device in devices}
    return tuple(known[name] for name in names.split(",") if name in known) or tuple(devices[:wanted])


def prepare(run: RunRow, config: Config, owner: Owner, say: Callable[[str], None]) -> Path:
    """Writes the directory of a run, without what an earlier start left there. Blocks.

    Raises:
        JobFailed: its rows have changed, or another's directory is in the way.
    """
    with closing(open_reader(config.database)) as connection:
        write = materialise if run.kind == TRAIN else materialise_derived
        directory = write(connection, config, run, say)
    show_owner(directory, owner)
    for name in (LAUNCH, STOP, SLURM):
        (directory / name).unlink(missing_ok=True)
    return directory


def spawn(
    run: RunRow,
    config: Config,
    training: TrainingConfig,
    devices: tuple[Device, ...],
    threads: int,
    owner: Owner,
    say: Callable[[str], None],
) -> tuple[Path, list[subprocess.Popen[bytes]]]:
    """Writes the directory of a run and starts its ranks, or the launcher that starts them. Blocks.

    `threads`: the CPU threads that its ranks on this machine share. `owner`: the daemon that it belongs to. `say` is told
    if another's directory was set aside.

    Raises:
        JobFailed: its rows have changed, or another's directory is in the way.
        ConfigError: its hostfile cannot be used.
    """
    directory = prepare(run, config, owner, say)
    if training.hostfile:
        (directory / THREADS).unlink(missing_ok=True)
        hosts = read_hostfile(config.folder / training.hostfile)
        launch = prepare_cluster(
            directory,
            training,
            hosts,
            device=devices[0].kind,
            threads=max(1, threads // max(host.slots for host in hosts)),
        )
        return directory, spawn_ranks([launch], directory / "log.txt")
    return directory, spawn_here(directory, training, devices, threads)


def spawn_here(
    directory: Path,
    training: TrainingConfig,
    devices: tuple[Device, ...],
    threads: int,
    *,
    module: str = "engine.students.train",
) -> list[subprocess.Popen[bytes]]:
    """Starts the ranks of a run directory on this machine, which share this number of CPU threads. Blocks."""
    write_share(directory, threads)
    launches = rank_commands(
        directory,
        training,
        device=devices[0].kind,
        threads=max(1, threads // training.devices),
        module=module,
    )
    if devices[0].kind == "cuda":
        visible = ",".join(str(device.index) for device in devices)
        launches = [
            replace(launch, env={**launch.env, "CUDA_VISIBLE_DEVICES": visible}) for launch in launches
        ]
    return spawn_ranks(launches, directory / "log.txt")
