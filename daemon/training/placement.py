"""Where a student run is trained: on how many ranks, on which devices, by which processes.

The number of ranks and the machines are no part of what a student becomes: they are taken as they are configured now.
"""

from __future__ import annotations

import subprocess
from collections.abc import Collection, Sequence
from contextlib import closing
from dataclasses import replace
from pathlib import Path

from daemon.host.processes import spawn_ranks
from daemon.training.devices import Device
from daemon.training.manifest import materialise
from engine.config import Config, TrainingConfig
from engine.students.cluster import prepare_cluster
from engine.students.hosts import place, read_hostfile
from engine.students.launch import rank_commands
from engine.students.orders import FILE as LAUNCH
from engine.students.sharing import ranks_for
from state.database import open_reader
from state.runs import RunRow

OF_THE_MACHINES = ("hostfile", "launcher", "launcher_arguments", "master_address", "master_port")
"""Settings that are taken as they are now, however old the run is."""


def training_now(run: RunRow, config: Config, devices: Sequence[Device]) -> TrainingConfig:
    """How to train a run: as it was made, on as many ranks as are configured now and can be had.

    The number of ranks is no part of what a student becomes. They share a step's micro-batches, so it is
    one that divides them.
    """
    training = TrainingConfig.model_validate(run.settings.student["training"])
    now = next((each for each in config.students if each.name == run.student), None)
    machines = now.training if now else training
    wanted = machines.devices
    if machines.hostfile:
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
    """Devices for a run: a GPU a rank; on a CPU one device, whose threads its ranks share."""
    free = [device for device in devices if device.name not in busy]
    if training.hostfile:  # other machines' devices are like this one's: it has all of them
        return () if busy else tuple(free)
    wanted = training.devices if devices[0].kind == "cuda" else min(training.devices, len(devices))
    return tuple(free[:wanted]) if len(free) >= min(wanted, len(devices)) else ()


def named_devices(names: str, wanted: int, devices: Sequence[Device]) -> tuple[Device, ...]:
    """The devices that a run was started on; where they are called otherwise now, the first ones."""
    known = {device.name: device for device in devices}
    return tuple(known[name] for name in names.split(",") if name in known) or tuple(devices[:wanted])


def spawn(
    run: RunRow, config: Config, training: TrainingConfig, devices: tuple[Device, ...]
) -> tuple[Path, list[subprocess.Popen[bytes]]]:
    """Writes a run's directory and starts its ranks, or the launcher that does; it blocks.

    Raises:
        JobFailed: its rows are not what they were.
        ConfigError: its hostfile does not serve.
    """
    with closing(open_reader(config.database)) as connection:
        directory = materialise(connection, config, run)
    threads = sum(device.threads for device in devices)
    (directory / LAUNCH).unlink(missing_ok=True)
    if training.hostfile:
        hosts = read_hostfile(config.folder / training.hostfile)
        launch = prepare_cluster(
            directory,
            training,
            hosts,
            device=devices[0].kind,
            threads=max(1, threads // max(host.slots for host in hosts)),
        )
        return directory, spawn_ranks([launch], directory / "log.txt")
    launches = rank_commands(
        directory, training, device=devices[0].kind, threads=max(1, threads // training.devices)
    )
    if devices[0].kind == "cuda":
        visible = ",".join(str(device.index) for device in devices)
        launches = [
            replace(launch, env={**launch.env, "CUDA_VISIBLE_DEVICES": visible}) for launch in launches
        ]
    return directory, spawn_ranks(launches, directory / "log.txt")
