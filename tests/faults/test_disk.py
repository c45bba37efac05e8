"""A disk that fails, and a log of the database that was torn."""

from __future__ import annotations

import asyncio
import json
import random
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path

import pytest

from state.database import open_reader, open_writer
from tests.daemon.ledgers import check_promise
from tests.daemon.site import ENV, configure, coterie, count, daemon, query, run_to_end, teacher, wait_until
from tests.faults.fault_server import body, fault_server, says
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
    fails = {"LD_PRELOAD": str(shim), "COTERIE_SHIM": "0:200:1,1:25:1"}
    with teacher(tmp_path, "--latency-ms", "5") as server:
        configure(tmp_path, server.url, train=30, teacher="concurrency = 8")
        code, output = run_to_end(tmp_path, env=fails)
        assert code == 0, output
        assert check_promise(tmp_path, server.ledger()) == {"billed": 132, "stored": 132, "unknown": 0}
    assert "state.db: disk I/O error; waiting, nothing received is lost" in output
    assert "state.db is writable again" in output


@contextmanager
def small_disk(folder: Path) -> Iterator[Path]:
    """A file system of 8 MB."""
    folder.mkdir()
    mount = shutil.which("mount")
    if (
        mount is None
        or subprocess.run([mount, "-t", "tmpfs", "-o", "size=8m", "tmpfs", folder], check=False).returncode
    ):
        pytest.skip("no file system can be mounted here: it takes the root user")
    try:
        yield folder
    finally:
        subprocess.run(["umount", "--lazy", folder], check=True)


def fill(disk: Path) -> Path:
    """A file that leaves no room on a disk."""
    filler = disk / "filler"
    with filler.open("wb", buffering=0) as file, suppress(OSError):
        while True:
            file.write(bytes(4096))
    return filler


def test_a_reload_waits_for_a_full_disk_and_so_does_what_is_in_flight(tmp_path: Path) -> None:
    """Nothing is claimed meanwhile (all is paused), so the reload is the first to write."""
    go = tmp_path / "go"

    async def slowly(request, asked):  # type: ignore[no-untyped-def]
        while not go.exists():  # noqa: ASYNC110 - of the test, in another thread
            await asyncio.sleep(0.02)
        return await says(body())(request, asked)

    rows = "".join(f'{{"question": "What is {n}?", "answer": "4", "split": "train"}}\n' for n in range(60))
    (tmp_path / "sums.jsonl").write_text(rows)
    with small_disk(tmp_path / "small") as disk, fault_server() as served:
        served.does = {"a": slowly}

        def write(rationales: int) -> None:
            (tmp_path / "config.toml").write_text(
                f'[state]\nurl = "sqlite:///small/state.db"\n[teachers.a]\nbase_url = "{served.url}/a/v1"\nmodel = "m"\n'
                'concurrency = 30\n[tasks.sums]\nsource = "sums.jsonl"\nanswer = "number"\ndev = 0\n[[plans]]\nname = "one"\n'
                f'strategy = "zero-shot-cot-chat"\nrationales = {rationales}\n'
            )

        write(1)
        with daemon(tmp_path) as running:
            wait_until("requests are in flight", lambda: len(served.of("a")) >= 8)
            assert coterie(tmp_path, "pause").returncode == 0
            filler = fill(disk)
            wait_until("the heartbeat waits", lambda: "waiting, nothing received is lost" in running.output())
            write(2)
            running.process.send_signal(signal.SIGHUP)
            said = "the new configuration waits until state.db can be written"
            wait_until("it waits", lambda: said in running.output() or running.process.poll() is not None)
            go.touch()
            filler.unlink()
            wait_until("it is reloaded", lambda: count(disk, "event", "kind = 'ConfigReloaded'"))
            assert coterie(tmp_path, "resume").returncode == 0
            wait_until("all is stored", lambda: count(disk, "sample", "state = 'stored'") == 120)
            running.terminate()
            assert running.wait() == 130, running.output()
        assert (
            len(served.of("a")) == count(disk, "attempt", "outcome = 'ok'") == count(disk, "attempt") == 120
        )


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
