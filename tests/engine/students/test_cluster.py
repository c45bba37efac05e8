"""Several machines: hostfiles, what DeepSpeed's launchers are told, and what a rank makes of what they set.

The launchers are fakes on the PATH that write down how they were called; DeepSpeed's own program calls them. A real run on two
machines is `make twonodes`.
"""

from __future__ import annotations

import json
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from engine.config.students import TrainingConfig
from engine.errors import ConfigError, JobFailed
from engine.students.cluster import prepare_cluster
from engine.students.hosts import Host, capacity, place, read_hostfile
from engine.students.launch import ROOT
from engine.students.launched_rank import environment
from engine.students.node import main as node_main
from engine.students.run_commands import (
    START,
    Launch,
    follow_commands,
    read_launch,
    send_command,
    write_launch,
)

HOSTS = (Host("node1", 2), Host("node2", 2))
MEMBER = str(ROOT / "engine" / "students" / "launched_rank.py")
FAKE = """#!{python}
import json, os, sys
with open({record!r}, "a") as file:
    file.write(json.dumps([os.path.basename(sys.argv[0]), sys.argv[1:], os.environ.get("NCCL_IB_HCA")]) + "\\n")
"""
CALL = """
import json, sys
from deepspeed.launcher import runner
for argv in json.loads(sys.argv[1]):
    try:
        runner.main(argv)
    except SystemExit as error:
        assert not error.code, (argv, error.code)
"""


def settings(launcher: str, **more: object) -> TrainingConfig:
    return TrainingConfig.model_validate(
        {"devices": 4, "hostfile": "hosts", "launcher": launcher, "master_port": 29400, **more}
    )


def fakes(folder: Path, *names: str) -> tuple[Path, Path]:
    """A folder of fake programs, and where they write how they were called."""
    folder.mkdir()
    record = folder / "calls"
    record.touch()
    for name in names:
        program = folder / name
        program.write_text(FAKE.format(python=sys.executable, record=str(record)))
        program.chmod(0o755)
    return folder, record


def test_a_hostfile_is_read_as_deepspeed_reads_it(tmp_path) -> None:
    path = tmp_path / "hosts"
    path.write_text("# mine\nnode1 slots=8\n\n10.0.0.2   slots=4  # smaller\n")
    assert read_hostfile(path) == (Host("node1", 8), Host("10.0.0.2", 4))


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("node1\n", "hosts:1: 'node1' is not a machine; expected a line such as: node1 slots=8"),
        ("a slots=1\na slots=2\n", "hosts:2: a appears twice"),
        ("a slots=0\n", "hosts:1: 'a slots=0' is not a machine"),
        ("-oProxyCommand=x slots=1\n", "is not a machine"),
        ("# none\n", "has no machines"),
        (None, "cannot be read"),
    ],
)
def test_what_is_no_hostfile_is_refused(tmp_path, text, words) -> None:
    if text is not None:
        (tmp_path / "hosts").write_text(text)
    with pytest.raises(ConfigError) as caught:
        read_hostfile(tmp_path / "hosts")
    assert words in caught.value.message


def test_ranks_fill_the_machines_in_order_or_share_them_evenly() -> None:
    hosts = (Host("a", 4), Host("b", 2))
    assert place(hosts, 5, "pdsh") == (Host("a", 4), Host("b", 1))
    assert place(hosts, 3, "pdsh") == (Host("a", 3),)
    assert place(hosts, 7, "pdsh") is None and capacity(hosts, "pdsh") == 6
    assert place(hosts, 4, "slurm") == (Host("a", 4),)  # one machine is enough
    assert place((Host("a", 2), Host("b", 2)), 4, "slurm") == (Host("a", 2), Host("b", 2))
    assert place(hosts, 5, "slurm") is None and capacity(hosts, "slurm") == 4


def test_the_launchers_are_told_who_takes_part(tmp_path) -> None:
    """DeepSpeed's own program, called as the daemon calls it; the launchers write down what they were told."""
    programs, record = fakes(
        tmp_path / "bin", "pdsh", "srun", "sinfo", "mpirun", "ompi_info", "ssh", "python-unused"
    )
    environ = {
        "PATH": f"{programs}:/usr/bin:/bin",
        "NCCL_IB_HCA": "mlx5_0,mlx5_1",
        "OPENAI_API_KEY": "canary",
    }
    calls, launches = [], {}
    for name, arguments in (
        ("pdsh", ""),
        ("slurm", "--partition=gpu"),
        ("openmpi", "-mca btl_tcp_if_include ib0"),
    ):
        run = tmp_path / name
        run.mkdir()
        launch = prepare_cluster(
            run, settings(name, launcher_arguments=arguments), HOSTS, device="cpu", threads=3, environ=environ
        )
        assert launch.argv[:4] == (sys.executable, "-P", "-m", "deepspeed.launcher.runner")
        assert "canary" not in json.dumps([launch.argv, dict(launch.env), (run / "launch.json").read_text()])
        launches[name] = launch
        calls.append([*launch.argv[4:]])
    for name in ("mpich", "impi"):
        (tmp_path / name).mkdir()
        calls.append(
            [
                *prepare_cluster(
                    tmp_path / name, settings(name), HOSTS, device="cpu", threads=3, environ=environ
                ).argv[4:]
            ]
        )
    done = subprocess.run(
        [sys.executable, "-P", "-c", CALL, json.dumps(calls)],
        env=dict(launches["slurm"].env),
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    told = [json.loads(line) for line in record.read_text().splitlines()]
    ssh, pdsh, srun, openmpi, mpich, impi = (argv for name, argv, _ in told)
    assert {hca for _, _, hca in told} == {"mlx5_0,mlx5_1"}
    assert ssh[-2:] == ["node1", "hostname"]  # DeepSpeed looks whether it may
    assert pdsh[:5] == ["-S", "-f", "1024", "-w", "node1,node2"]
    assert [word for word in pdsh if word.startswith("--")][1:] == [
        *("--node_rank=%n", "--master_addr=node1", "--master_port=29400", "--no_local_rank"),
        "--enable_each_rank_log=None",
    ]
    assert pdsh[-2:] == [MEMBER, str(tmp_path / "pdsh")] and f"cd {ROOT};" in pdsh
    assert "PYTHONSAFEPATH=1" in pdsh[5] and "canary" not in " ".join(pdsh)
    assert srun[:3] == ["-n", "4", "--partition=gpu"] and srun[3].startswith("--export=ALL,")
    assert srun[4:] == [sys.executable, "-u", MEMBER, str(tmp_path / "slurm")]
    hostfile = tmp_path / "openmpi" / "hostfile"
    assert openmpi[:4] == ["-n", "4", "-hostfile", str(hostfile)]
    assert hostfile.read_text() == "node1 slots=2\nnode2 slots=2\n"
    assert openmpi[openmpi.index("btl_tcp_if_include") + 1] == "ib0" and "eth0" not in openmpi
    assert openmpi[-4:] == [sys.executable, "-u", MEMBER, str(tmp_path / "openmpi")]
    assert mpich[:4] == ["-n", "4", "-ppn", "2"] and mpich[-2:] == [MEMBER, str(tmp_path / "mpich")]
    assert mpich[mpich.index("-hosts") + 1] == "node1,node2"
    assert impi[:2] == ["-ppn", "2"] and impi.count(MEMBER) == 4 and impi.count("RANK") == 4


def test_without_ssh_each_machine_is_started_by_itself(tmp_path) -> None:
    launch = prepare_cluster(
        tmp_path,
        settings("no-ssh", devices=3, master_address="10.0.0.1"),
        HOSTS,
        device="cuda",
        threads=1,
        environ={},
    )
    assert launch.argv[4:] == (
        *(f"--hostfile={tmp_path}/hostfile", "--master_addr=10.0.0.1", "--master_port=29400"),
        *("--no_local_rank", "--no_ssh", "--node_rank=0", MEMBER, str(tmp_path)),
    )
    assert (tmp_path / "hostfile").read_text() == "node1 slots=2\nnode2 slots=1\n"
    told = read_launch(tmp_path)
    assert told is not None and told.world == 3 and told.address == "10.0.0.1"
    assert "CUDA_VISIBLE_DEVICES" not in told.env  # the launcher sets it on each machine


def test_a_launcher_that_is_not_there_is_named(tmp_path) -> None:
    with pytest.raises(JobFailed, match=r'launcher = "slurm" needs srun'):
        prepare_cluster(
            tmp_path, settings("slurm"), HOSTS, device="cpu", threads=1, environ={"PATH": "/none"}
        )
    with pytest.raises(JobFailed, match="9 ranks do not fit"):
        prepare_cluster(tmp_path, settings("no-ssh", devices=9), HOSTS, device="cpu", threads=1, environ={})


def launched(launcher: str = "slurm", start: str = "one", **env: str) -> Launch:
    return Launch(
        start=start,
        launcher=launcher,
        hosts=(("node1", 2), ("node2", 2)),
        address="node1",
        port=29400,
        env={"NCCL_IB_HCA": "mlx5_0,mlx5_1", **env},
    )


@pytest.mark.parametrize(
    ("launcher", "told"),
    [
        ("slurm", {"SLURM_PROCID": "3", "SLURM_LOCALID": "1", "SLURM_NTASKS": "4"}),
        ("openmpi", {"OMPI_COMM_WORLD_RANK": "3", "OMPI_COMM_WORLD_LOCAL_RANK": "1"}),
        ("mpich", {"PMI_RANK": "3", "MPI_LOCALRANKID": "1"}),
        ("impi", {"RANK": "3", "LOCAL_RANK": "1"}),
        ("pdsh", {"RANK": "3", "LOCAL_RANK": "1", "CUDA_VISIBLE_DEVICES": "0,1"}),
    ],
)
def test_a_rank_finds_its_number_and_leaves_secrets_behind(launcher, told) -> None:
    machine = {"PATH": "/bin", "AWS_SECRET_ACCESS_KEY": "canary", "NCCL_IB_HCA": "mlx5_0", **told}
    env = environment(launched(launcher), machine)
    assert (env["RANK"], env["LOCAL_RANK"], env["WORLD_SIZE"]) == ("3", "1", "4")
    assert (env["MASTER_ADDR"], env["MASTER_PORT"], env[START]) == ("node1", "29400", "one")
    assert env["NCCL_IB_HCA"] == "mlx5_0,mlx5_1"  # srun and others would have cut it at the comma
    assert "canary" not in env.values() and env["PATH"] == "/bin"
    assert env.get("CUDA_VISIBLE_DEVICES") == told.get("CUDA_VISIBLE_DEVICES")


def test_without_ssh_a_machines_own_environment_counts() -> None:
    machine = {"RANK": "2", "LOCAL_RANK": "0", "NCCL_SOCKET_IFNAME": "ib1"}
    env = environment(launched("no-ssh", NCCL_SOCKET_IFNAME="ib0"), machine)
    assert env["NCCL_SOCKET_IFNAME"] == "ib1"


def test_a_launcher_that_does_not_say_who_is_who_is_refused() -> None:
    with pytest.raises(JobFailed, match="none of SLURM_PROCID is set"):
        environment(launched(), {"RANK": "0", "LOCAL_RANK": "0"})


def test_ranks_obey_without_a_signal(tmp_path, monkeypatch) -> None:
    stopped, ended = threading.Event(), threading.Event()
    write_launch(tmp_path, launched(start="two"))
    monkeypatch.delenv(START, raising=False)
    before = threading.active_count()
    follow_commands(tmp_path, stopped.set, lambda _code: ended.set())
    assert threading.active_count() == before  # no launcher started this one
    monkeypatch.setenv(START, "two")
    monkeypatch.setattr("engine.students.run_commands.LOOK_S", 0.01)
    follow_commands(tmp_path, stopped.set, lambda _code: ended.set())
    send_command(tmp_path, "stop")
    assert stopped.wait(30) and not ended.is_set()
    write_launch(tmp_path, launched(start="three"))  # a newer start: this rank is a leftover
    assert ended.wait(30)


def test_an_end_is_not_taken_back(tmp_path) -> None:
    send_command(tmp_path, "stop")  # no start, nothing to say
    assert read_launch(tmp_path) is None
    write_launch(tmp_path, launched())
    send_command(tmp_path, "end")
    send_command(tmp_path, "stop")
    found = read_launch(tmp_path)
    assert found is not None and found.command == "end"


@pytest.mark.parametrize("argv", [["--node-rank", "1", "/no/such"], ["--node-rank", "0", "."]])
def test_a_node_says_what_it_needs(argv, capsys) -> None:
    with pytest.raises(SystemExit) as caught:
        node_main(argv)
    assert caught.value.code == 2 and "daemon's" in capsys.readouterr().err
