from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from daemon.host.lock import hold
from engine.errors import InstanceRunning
from tests.daemon.site import configure, coterie, count, daemon, teacher, wait_until

ROOT = Path(__file__).resolve().parents[3]
HOLDER = """
import sys
from pathlib import Path
from daemon.host.lock import hold
with hold(Path(sys.argv[1])):
    print("held", flush=True)
    sys.stdin.read()
"""


@contextmanager
def holder(database: Path) -> Iterator[subprocess.Popen[bytes]]:
    process = subprocess.Popen(
        [sys.executable, "-c", HOLDER, str(database)], cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    assert process.stdout is not None
    assert process.stdout.readline() == b"held\n"
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


def test_a_second_daemon_is_told_who_holds_the_database(tmp_path: Path) -> None:
    database = tmp_path / "state.db"
    with holder(database) as process:
        with pytest.raises(InstanceRunning) as caught, hold(database):
            raise AssertionError("held twice")
        assert caught.value.exit_code == 3
        assert f"{database} is held by a running daemon (pid {process.pid})" in caught.value.message
        assert "coterie tui" in caught.value.message and "coterie stop" in caught.value.message
        process.send_signal(signal.SIGKILL)
        process.wait()
        with hold(database):
            said = json.loads((tmp_path / "state.db.lock").read_text())
            assert said == {"pid": os.getpid()}


def test_the_lock_is_free_after_its_block_even_one_that_failed(tmp_path: Path) -> None:
    for _ in range(2):
        with pytest.raises(ZeroDivisionError), hold(tmp_path / "new" / "state.db"):
            raise ZeroDivisionError


def test_two_databases_do_not_know_each_other(tmp_path: Path) -> None:
    with hold(tmp_path / "a.db"), hold(tmp_path / "b.db"):
        pass


def test_a_lock_file_of_nonsense_is_no_obstacle(tmp_path: Path) -> None:
    (tmp_path / "state.db.lock").write_bytes(b"\xff" * 9000)
    with hold(tmp_path / "state.db"):
        assert json.loads((tmp_path / "state.db.lock").read_text())["pid"] == os.getpid()
        with pytest.raises(InstanceRunning):  # each open file has a lock of its own
            with hold(tmp_path / "state.db"):
                raise AssertionError("held twice")


@pytest.mark.parametrize("text", [b"", b"\xff\xfe", b"[1]", b'{"pid"', b"null"])
def test_a_holder_that_cannot_be_read_is_another_process(tmp_path: Path, text: bytes) -> None:
    with hold(tmp_path / "state.db"):
        (tmp_path / "state.db.lock").write_bytes(text)
        with pytest.raises(InstanceRunning, match="another process"), hold(tmp_path / "state.db"):
            raise AssertionError("held twice")


def test_a_deleted_lock_file_or_another_name_lets_no_second_daemon_in(tmp_path: Path) -> None:
    with teacher(tmp_path, "--latency-ms", "200") as school:
        configure(tmp_path, school.url, train=200)
        elsewhere = tmp_path / "elsewhere"
        elsewhere.mkdir()
        with daemon(tmp_path) as first:
            wait_until("it samples", lambda: count(tmp_path, "sample", "state = 'stored'"))
            (tmp_path / "state.db.lock").unlink()  # taken for a leftover
            (elsewhere / "config.toml").write_text((tmp_path / "config.toml").read_text())
            (elsewhere / "state.db").symlink_to(tmp_path / "state.db")
            for folder in (tmp_path, elsewhere):
                said = coterie(folder, "run", "--no-tui", "--until-idle")
                assert said.returncode == 3, said.stdout + said.stderr
                assert f"is held by a running daemon (pid {first.process.pid})" in said.stderr
            assert count(tmp_path, "boot") == 1
            assert count(tmp_path, "attempt", "outcome = 'unknown'") == 0
            first.kill()
        with hold(tmp_path / "state.db"):
            pass
