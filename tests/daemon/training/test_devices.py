from __future__ import annotations

import pytest

from daemon.training import devices
from daemon.training.devices import Device, check_ranks, cores, find_devices, gpu_count, quota, threads_of
from engine.config import StudentConfig, TrainingConfig
from engine.errors import ConfigError


def on(monkeypatch: pytest.MonkeyPatch, *, gpus: int, cpus: int) -> None:
    monkeypatch.setattr(devices, "gpu_count", lambda: gpus)
    monkeypatch.setattr(devices, "cores", lambda: cpus)


def test_auto_is_every_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    on(monkeypatch, gpus=2, cpus=16)
    assert [device.name for device in find_devices(["auto"])] == ["cuda:0", "cuda:1"]


@pytest.mark.parametrize(("cpus", "names", "threads"), [(1, ["cpu:0"], 1), (8, ["cpu:0", "cpu:1"], 4)])
def test_auto_without_a_gpu_is_halves_of_the_cpu(
    monkeypatch, cpus: int, names: list[str], threads: int
) -> None:
    on(monkeypatch, gpus=0, cpus=cpus)
    found = find_devices(["auto"])
    assert [device.name for device in found] == names
    assert {device.threads for device in found} == {threads}


@pytest.mark.parametrize(("gpus", "cpus"), [(0, 2), (0, 7), (2, 16)])
def test_a_run_alone_has_all_threads_and_runs_side_by_side_share_them(
    monkeypatch, gpus: int, cpus: int
) -> None:
    on(monkeypatch, gpus=gpus, cpus=cpus)
    one, other = find_devices(["auto"])
    assert threads_of([one], [one]) == cpus
    assert threads_of([one, other], [one, other]) == cpus
    assert threads_of([one], [one, other]) + threads_of([other], [one, other]) in (cpus, cpus - 1)


def test_named_devices_keep_their_part(monkeypatch: pytest.MonkeyPatch) -> None:
    on(monkeypatch, gpus=2, cpus=8)
    for names in (["cpu:0", "cpu:1"], ["cuda:0", "cuda:1"]):
        one, other = find_devices(names)
        assert threads_of([one], [one]) == threads_of([one], [one, other]) == 4
        assert threads_of([one, other], [one, other]) == 8
    [whole] = find_devices(["cpu:0"])
    assert threads_of([whole], [whole]) == 8


def test_the_quota_of_a_container_counts(tmp_path) -> None:
    own, root = tmp_path / "cgroup", tmp_path / "fs"
    inner = root / "docker" / "run"
    inner.mkdir(parents=True)
    own.write_text("12:cpuset:/\n0::/docker/run\n")
    assert quota(own, root) is None
    (inner / "cpu.max").write_text("max 100000\n")
    assert quota(own, root) is None
    (inner.parent / "cpu.max").write_text("150000 100000\n")
    assert quota(own, root) == 1.5
    (inner / "cpu.max").write_text("50000 100000\n")
    assert quota(own, root) == 0.5
    assert quota(tmp_path / "none", root) is None


def test_named_devices_share_the_cores(monkeypatch: pytest.MonkeyPatch) -> None:
    on(monkeypatch, gpus=1, cpus=8)
    assert find_devices(["cuda:0", "cpu:0", "cpu:1", "cpu:2"]) == [
        Device("cuda:0", "cuda", 0, 2),
        *(Device(f"cpu:{index}", "cpu", index, 2) for index in range(3)),
    ]


@pytest.mark.parametrize(
    ("names", "words"),
    [
        (["gpu"], "'gpu' is not a device"),
        (["auto", "cpu:0"], "'auto' is not a device"),
        (["cuda:1"], "cuda:1 does not exist: this machine has 1 GPU"),
        (["cuda:-1"], "is not a device"),
        ([""], "is not a device"),
    ],
)
def test_a_device_that_is_none_is_refused(monkeypatch, names: list[str], words: str) -> None:
    on(monkeypatch, gpus=1, cpus=2)
    with pytest.raises(ConfigError, match=r"daemon\.devices") as caught:
        find_devices(names)
    assert words in caught.value.message


def test_this_machine_has_a_core() -> None:
    assert cores() >= 1
    assert gpu_count() >= 0


def test_more_ranks_than_gpus_are_refused_and_a_cpu_shares_its_cores(tmp_path) -> None:
    wide = StudentConfig(name="wide", training=TrainingConfig(devices=2))
    gpu = Device("cuda:0", "cuda", 0, 1)
    with pytest.raises(ConfigError, match=r"students.wide.training.devices: 2 ranks .* has 1"):
        check_ranks([gpu], [wide], tmp_path)
    check_ranks([gpu, Device("cuda:1", "cuda", 1, 1)], [wide], tmp_path)
    check_ranks([Device("cpu:0", "cpu", 0, 1)], [wide], tmp_path)


def test_ranks_on_several_machines_are_counted_by_the_hostfile(tmp_path) -> None:
    (tmp_path / "hosts").write_text("a slots=2\nb slots=2\n")
    wide, wider = (
        StudentConfig(name="wide", training=TrainingConfig(devices=ranks, hostfile="hosts"))
        for ranks in (4, 5)
    )
    gpu = Device("cuda:0", "cuda", 0, 1)
    check_ranks([gpu], [wide], tmp_path)  # more than this machine has
    with pytest.raises(
        ConfigError, match=r"students.wide.training.devices: 5 ranks .* have 4 slots for pdsh"
    ):
        check_ranks([gpu], [wider], tmp_path)
    with pytest.raises(ConfigError, match="cannot be read"):
        check_ranks([], [wide], tmp_path / "elsewhere")
