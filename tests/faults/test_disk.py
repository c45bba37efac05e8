"""A disk that fails, and a log of the database that was torn."""

from __future__ import annotations

import json
import random
import shutil
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest

from state.database import open_reader, open_writer
from tests.daemon.ledgers import check_promise
from tests.daemon.site import ENV, configure, count, daemon, query, run_to_end, teacher, wait_until
from tests.simulation.invariants import check_rest

HERE = Path(__file__).parent


@pytest.fixture(scope="module")
def shim(tmp_path_factory: pytest.TempPathFactory) -> Path:
    library = tmp_path_factory.mktemp("shim") / "shim.so"
    compiler = shutil.which("cc") or shutil.which("gcc")
    if compiler is None:
        pytest.skip("no C compiler: the failing disk is not there")
    made = subprocess.run(
        [compiler, "-shared", "-fPIC", "-O1", "-o", str(library), str(HERE / "shim.c"), "-ldl"],
        capture_output=True,
        text=True,
        check=False,
    )
    if made.returncode:
        pytest.skip(f"the failing disk cannot be built: {made.stderr[:200]}")
    return library


def test_an_input_output_error_at_any_call_loses_and_doubles_nothing(shim: Path, tmp_path: Path) -> None:
    database = tmp_path / "state.db"
    ran = subprocess.run(
        [sys.executable, "-m", "tests.faults.stubborn", str(shim), str(database)],
        env={**ENV, "LD_PRELOAD": str(shim)},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert ran.returncode == 0, ran.stderr
    told = json.loads(ran.stdout)
    assert sorted(told["acknowledged"]) == list(range(1, told["asked"] + 1))
    assert (
        told["failed"] > 40 and "state.db: disk I/O error; waiting, nothing received is lost" in told["waits"]
    )
    with closing(open_reader(database)) as connection:
        kept = [number for (number,) in connection.execute("SELECT number FROM kept ORDER BY number")]
        assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)
    assert kept == sorted(told["acknowledged"])


def test_a_daemon_on_a_disk_that_fails_now_and_then_ends_its_work(shim: Path, tmp_path: Path) -> None:
    fails = {"LD_PRELOAD": str(shim), "COTERIE_SHIM": "0:120:1,1:15:1"}
    with teacher(tmp_path, "--latency-ms", "5") as server:
        configure(tmp_path, server.url, train=30, teacher="concurrency = 8")
        code, output = run_to_end(tmp_path, env=fails)
        assert code == 0, output
        assert check_promise(tmp_path, server.ledger()) == {"billed": 132, "stored": 132, "unknown": 0}
    assert "state.db: disk I/O error; waiting, nothing received is lost" in output
    assert "state.db is writable again" in output


def test_a_torn_log_opens_as_what_was_once_committed(tmp_path: Path) -> None:
    whole = tmp_path / "state.db"
    rng = random.Random(3)
    with closing(open_writer(whole)) as connection:
        connection.execute("CREATE TABLE kept (number INTEGER PRIMARY KEY, text TEXT)")
        for number in range(1, 121):
            connection.execute("BEGIN IMMEDIATE")
            connection.execute("INSERT INTO kept VALUES (?, ?)", (number, rng.randbytes(700).hex()))
            connection.execute("COMMIT")
        base, log = whole.read_bytes(), Path(f"{whole}-wal").read_bytes()
    seen = set()
    for case in range(40):
        folder = tmp_path / str(case)
        folder.mkdir()
        torn = bytearray(log)
        at = rng.randrange(32, len(torn))
        if case % 2:
            del torn[at:]
        else:
            torn[at : at + 200] = rng.randbytes(len(torn[at : at + 200]))
        (folder / "state.db").write_bytes(base)
        (folder / "state.db-wal").write_bytes(torn)
        with closing(open_writer(folder / "state.db")) as connection:
            assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)
            try:
                found = [
                    number for (number,) in connection.execute("SELECT number FROM kept ORDER BY number")
                ]
            except Exception:
                found = []  # torn before the table was made
        assert found == list(range(1, len(found) + 1)), "no prefix of what was committed"
        seen.add(len(found))
    assert len(seen) > 10 and min(seen) < 60 < max(seen)


def test_a_daemon_goes_on_with_a_torn_log(tmp_path: Path) -> None:
    """As after a power cut with a disk that lied: the newest commits are gone, what is left is consistent."""
    with teacher(tmp_path, "--latency-ms", "10") as server:
        configure(tmp_path, server.url, train=40, teacher="concurrency = 8")
        with daemon(tmp_path) as running:
            wait_until("it samples", lambda: count(tmp_path, "sample", "state = 'stored'") > 30)
            running.kill()
        log = tmp_path / "state.db-wal"
        data = log.read_bytes()
        log.write_bytes(data[: int(len(data) * 0.8)])
        code, output = run_to_end(tmp_path)
        assert code == 0, output
    check_rest(tmp_path)
    assert query(tmp_path, "SELECT sum(wanted), sum(stored) FROM plan WHERE active = 1") == [(86, 86)]
