"""Which process trains in a run directory: held by small processes that stand in for trainers, and a real second trainer."""

from __future__ import annotations

import fcntl
import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from engine.errors import JobFailed
from engine.students.launch import ROOT
from engine.students.run_lock import (
    FILE,
    LOCK,
    LOCKED,
    RunLocked,
    holder_of,
    lock_run,
    start_time,
    unlock_run,
)

HOLDER = """
import os, subprocess, sys
from pathlib import Path
from engine.students.run_lock import lock_run
lock_run(Path(sys.argv[1]), first=True)
if os.fork() == 0:  # as a worker process
    sys.stdin.read()
    os._exit(0)
subprocess.Popen(["cat"], stdin=0, stdout=subprocess.DEVNULL, close_fds=False)  # as a compiler
print("held", flush=True)
sys.stdin.read()
"""


@pytest.fixture
def holder(tmp_path: Path):
    """A process that holds the directory; it has two children."""
    process = subprocess.Popen(
        [sys.executable, "-c", HOLDER, str(tmp_path)],
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout.readline() == "held\n"
    yield process
    process.stdin.close()
    process.kill()
    process.wait()
    process.stdout.close()


def test_a_second_trainer_ends_and_says_why(tmp_path: Path, holder) -> None:
    found = holder_of(tmp_path)
    assert found is not None and found.alive
    assert (found.pid, found.started) == (holder.pid, start_time(holder.pid))
    before = sorted(path.name for path in tmp_path.iterdir())
    second = subprocess.run(
        [sys.executable, "-m", "engine.students.train", str(tmp_path)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert second.returncode == LOCKED == 3
    assert second.stderr == (
        f"another process (pid {holder.pid} on {found.host}) is training in {tmp_path}: this one ends and has changed nothing\n"
    )
    assert sorted(path.name for path in tmp_path.iterdir()) == before
    assert holder_of(tmp_path) == found


def test_the_lock_ends_with_its_process_and_not_with_its_children(tmp_path: Path, holder) -> None:
    holder.send_signal(signal.SIGKILL)
    holder.wait()
    assert (tmp_path / FILE).exists() and holder_of(tmp_path) is None  # its children hold its stdin still
    unlock_run(lock_run(tmp_path, first=True, wait_s=0))


def test_the_look_of_a_daemon_does_not_keep_a_trainer_out(tmp_path: Path) -> None:
    looking = os.open(tmp_path / LOCK, os.O_RDWR | os.O_CREAT)
    fcntl.flock(looking, fcntl.LOCK_SH)
    with pytest.raises(RunLocked):
        lock_run(tmp_path, first=True, wait_s=0)
    timer = threading.Timer(0.1, os.close, [looking])
    timer.start()
    unlock_run(lock_run(tmp_path, first=True, wait_s=60))
    timer.join()


def test_a_holder_that_cannot_be_seen_is_one_all_the_same(tmp_path: Path) -> None:
    assert holder_of(tmp_path) is None
    assert holder_of(tmp_path / "nowhere") is None
    held = lock_run(tmp_path, first=True)
    other = (tmp_path / FILE).read_text().replace('"host":"', '"host":"not-')
    (tmp_path / FILE).write_text(other)
    found = holder_of(tmp_path)
    assert found is not None and not found.alive and found.host.startswith("not-")
    (tmp_path / FILE).unlink()  # of a version that did not write it
    found = holder_of(tmp_path)
    assert found is not None and not found.alive
    unlock_run(held)
    with pytest.raises(JobFailed, match="is not a directory"):
        lock_run(tmp_path / "nowhere", first=True)


def test_other_ranks_do_not_take_the_lock(tmp_path: Path) -> None:
    held = lock_run(tmp_path, first=True)
    unlock_run(lock_run(tmp_path, first=False))
    assert holder_of(tmp_path) is not None
    unlock_run(held)
