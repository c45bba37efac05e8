from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

from daemon.host.processes import is_alive, signal_group, spawn_ranks, start_time
from engine.students.launch import RankLaunch

RANK = """
import os, subprocess, sys
child = subprocess.Popen([sys.executable, "-c", "import sys; sys.stdin.read()"], stdin=subprocess.PIPE)
told = f"{os.environ['NAME']} {os.getpid()} {os.getpgid(0)} {child.pid}\\n"
os.write(1, told.encode())  # in one piece, beside the others
child.wait()
"""


def gone(pid: int) -> bool:
    deadline = time.monotonic() + 20
    while start_time(pid) is not None:
        assert time.monotonic() < deadline, f"{pid} is still there"
        time.sleep(0.005)
    return True


def test_a_process_is_known_by_pid_and_start_time() -> None:
    me = os.getpid()
    started = start_time(me)
    assert started is not None
    assert is_alive(me, started)
    assert not is_alive(me, started - 1)  # the pid was given to another
    assert not is_alive(None, started)
    assert not is_alive(me, None)


def test_a_dead_process_is_gone_even_before_it_is_waited_for() -> None:
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as process:
        started = start_time(process.pid)
        assert is_alive(process.pid, started)
        process.kill()
        assert gone(process.pid)  # a zombie by now
        assert not is_alive(process.pid, started)
    assert start_time(process.pid) is None


def test_a_name_with_spaces_and_brackets_is_read(tmp_path: Path) -> None:
    odd = tmp_path / "a) R (b"
    odd.symlink_to(sys.executable)
    with subprocess.Popen([odd, "-c", "input()"], stdin=subprocess.PIPE) as process:
        started = start_time(process.pid)
        assert started is not None and started > 0
        process.kill()


def test_ranks_share_a_group_and_a_log_and_end_together(tmp_path: Path) -> None:
    log = tmp_path / "log.txt"
    log.write_text("from before\n")
    launches = [
        RankLaunch(rank=rank, argv=(sys.executable, "-c", RANK), env={**os.environ, "NAME": f"rank{rank}"})
        for rank in range(2)
    ]
    ranks = spawn_ranks(launches, log)
    try:
        deadline = time.monotonic() + 20
        while log.read_text().count("rank") < 2:
            assert time.monotonic() < deadline
            time.sleep(0.005)
        lines = log.read_text().splitlines()
        assert lines[0] == "from before"
        found = sorted(line.split() for line in lines[1:])
        assert [row[0] for row in found] == ["rank0", "rank1"]
        assert {int(row[2]) for row in found} == {ranks[0].pid}
        assert ranks[0].pid != os.getpgid(0)
        signal_group(ranks[0].pid, signal.SIGKILL)
        for row in found:
            assert gone(int(row[1])) and gone(int(row[3]))
    finally:
        for rank in ranks:
            rank.kill()
            rank.wait()
    signal_group(ranks[0].pid, signal.SIGTERM)  # nobody is there any more: nothing happens
