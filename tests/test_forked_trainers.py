from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

from daemon.host.processes import spawn_ranks
from engine.config.students import TrainingConfig
from engine.students.launch import rank_commands, rank_environment
from tests.forked import in_fork


def test_a_forked_trainer_is_a_process_of_its_own_as_a_started_one(tmp_path: Path) -> None:
    assert in_fork(in_a_command, tmp_path) == 0


def in_a_command(folder: Path) -> None:
    """What a daemon does with its trainers."""
    from tests.forked_trainers import prepare

    prepare()
    launches = rank_commands(folder / "no-run", TrainingConfig(devices=2), device="cpu", threads=1)
    ranks = spawn_ranks(launches, folder / "log.txt")
    assert {os.getpgid(rank.pid) for rank in ranks} == {ranks[0].pid} != {os.getpgrp()}
    assert [rank.wait(20) for rank in ranks] == [1, 1]
    log = (folder / "log.txt").read_text()
    assert (
        log.count("Traceback") == 2
        and "JobFailed: " in log
        and "forked_trainers" not in log.split("File")[-1]
    )

    def waiting() -> subprocess.Popen[bytes]:
        return subprocess.Popen(
            [sys.executable, "-P", "-m", "engine.students.open_bases"],
            env=rank_environment({"HOME": str(folder)}, device="cpu", threads=1),
            cwd=folder,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            process_group=0,
        )

    idle = waiting()
    stat = Path(f"/proc/{idle.pid}/stat").read_text().rpartition(")")[2].split()
    assert int(stat[1]) == os.getpid() and os.readlink(f"/proc/{idle.pid}/cwd") == str(folder)
    assert Path(f"/proc/{idle.pid}/cmdline").read_bytes() == Path("/proc/self/cmdline").read_bytes()
    files = {os.readlink(file) for file in Path(f"/proc/{idle.pid}/fd").iterdir()}
    assert not any(name.startswith("socket:") for name in files), files
    os.killpg(idle.pid, signal.SIGKILL)
    assert idle.wait(20) == -signal.SIGKILL
    said, _ = waiting().communicate(b"[]", timeout=60)
    assert said == b"[]"
