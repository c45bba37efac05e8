from __future__ import annotations

from pathlib import Path
from typing import Any

from daemon.training.devices import Device
from daemon.training.placement import free_devices, named_devices, training_now
from engine.config import Config
from state.enums import RunState
from state.runs import RunRow, RunSettings
from tests.daemon.parts import config_of

GPUS = [Device(f"cuda:{index}", "cuda", index, 1) for index in range(4)]


def config(folder: Path, **training: Any) -> Config:
    return config_of(folder, students=[{"name": "s", "training": training}])


def row(**training: Any) -> RunRow:
    return RunRow(
        id=1,
        student="s",
        scope="t",
        trigger="3",
        state=RunState.QUEUED,
        base="builtin:nano",
        settings=RunSettings(student={"training": training}),
        digest="d",
    )


def test_a_run_has_as_many_ranks_as_are_configured_now_and_share_its_steps(tmp_path: Path) -> None:
    made = row(devices=2, accumulation=3)
    for wanted, devices, expected in ((2, GPUS, 2), (1, GPUS, 1), (6, GPUS, 3), (8, GPUS[:2], 2)):
        training = training_now(made, config(tmp_path, devices=wanted), devices)
        assert (training.devices, training.accumulation) == (expected, 3)


def test_machines_are_those_of_now_and_a_smaller_hostfile_leaves_fewer_ranks(tmp_path: Path) -> None:
    made = row(devices=4, accumulation=3)
    now = config(tmp_path, devices=4, hostfile="hosts", launcher="slurm", master_port=29400)
    gpus = GPUS[:2]
    for text, expected in (("a slots=2\nb slots=2\n", 4), ("a slots=2\n", 2), ("a slots=3\n", 3)):
        (tmp_path / "hosts").write_text(text)
        training = training_now(made, now, gpus)
        assert (training.devices, training.launcher, training.master_port) == (expected, "slurm", 29400)
        assert free_devices(training, gpus, set()) == tuple(gpus)  # the whole machine
        assert free_devices(training, gpus, {"cuda:0"}) == ()


def test_a_run_takes_as_many_free_devices_as_it_has_ranks_or_waits(tmp_path: Path) -> None:
    training = training_now(row(devices=2, accumulation=2), config(tmp_path, devices=2), GPUS)
    assert free_devices(training, GPUS, {"cuda:0"}) == tuple(GPUS[1:3])
    assert free_devices(training, GPUS, {"cuda:0", "cuda:1", "cuda:3"}) == ()


def test_a_run_that_is_found_alive_has_the_devices_that_it_was_started_on() -> None:
    assert named_devices("cuda:1,cuda:3", 2, GPUS) == (GPUS[1], GPUS[3])
    assert named_devices("gone", 2, GPUS) == (GPUS[0], GPUS[1])
