"""What a machine does to a daemon: a full disk, a held or damaged database, few open files, a stopped process."""

from __future__ import annotations

import json
import resource
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

from tests.daemon.ledgers import check_promise
from tests.daemon.site import ENV, configure, coterie, count, daemon, query, run_to_end, teacher, wait_until

HOLDER = """
import sqlite3, sys
connection = sqlite3.connect(sys.argv[1], isolation_level=None, timeout=30)
connection.execute("BEGIN EXCLUSIVE")
print("held", flush=True)
sys.stdin.readline()
connection.execute("COMMIT")
"""


@contextmanager
def held(database: Path) -> Iterator[None]:
    """Another process holds the database."""
    argv = [sys.executable, "-c", HOLDER, str(database)]
    with subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as holder:
        assert holder.stdout is not None and holder.stdin is not None
        assert holder.stdout.readline() == b"held\n"
        try:
            yield
        finally:
            holder.stdin.close()


def stored(folder: Path) -> int:
    return count(folder, "sample", "state = 'stored'")


def all_stored(folder: Path) -> bool:
    rows = query(folder, "SELECT wanted, stored + failed FROM plan WHERE active = 1")
    return all(wanted == ended for wanted, ended in rows)


def test_a_full_disk_holds_everything_and_goes_on_by_itself(tmp_path: Path) -> None:
    with teacher(tmp_path, "--latency-ms", "40") as school:
        configure(tmp_path, school.url, train=100, teacher="concurrency = 8")
        with daemon(tmp_path, "--until-idle") as running:
            wait_until("it samples", lambda: stored(tmp_path) > 10)
            limits = resource.prlimit(running.process.pid, resource.RLIMIT_FSIZE)
            resource.prlimit(running.process.pid, resource.RLIMIT_FSIZE, (16_384, limits[1]))
            wait_until("it tells", lambda: "waiting, nothing received is lost" in running.output(), 20)
            at_once = len(school.ledger())

            def noticed() -> bool:
                status = json.loads(coterie(tmp_path, "status", "--json").stdout)
                return any("writes nothing" in notice for notice in status["notices"])

            wait_until("the status tells", noticed)
            assert len(school.ledger()) <= at_once + 8, "it went on sending"
            assert running.process.poll() is None
            resource.prlimit(running.process.pid, resource.RLIMIT_FSIZE, limits)
            assert running.wait() == 0, running.output()
            assert "is writable again" in running.output()
        told = check_promise(tmp_path, school.ledger())
        assert told == {"billed": 412, "stored": 412, "unknown": 0}


def test_a_database_that_another_process_holds_is_waited_for_or_refused(tmp_path: Path) -> None:
    with teacher(tmp_path, "--latency-ms", "40") as school:
        configure(tmp_path, school.url, train=60, teacher="concurrency = 8")
        with daemon(tmp_path, "--until-idle") as running:
            wait_until("it samples", lambda: stored(tmp_path) > 10)
            with held(tmp_path / "state.db"):
                before = stored(tmp_path)
                wait_until("it tells", lambda: "locked; waiting" in running.output())
                assert stored(tmp_path) == before
            assert running.wait() == 0, running.output()
        told = check_promise(tmp_path, school.ledger())
        assert told == {"billed": 252, "stored": 252, "unknown": 0}
        with held(tmp_path / "state.db"):
            refused = coterie(tmp_path, "run", "--no-tui")
        assert refused.returncode == 2 and "is locked by another process" in refused.stderr, refused.stderr
        assert run_to_end(tmp_path)[0] == 0


def test_few_open_files_cut_the_connections_and_nothing_else(tmp_path: Path) -> None:
    with teacher(tmp_path, "--latency-ms", "100") as school:
        configure(tmp_path, school.url, train=150, teacher="concurrency = 300")
        limit = "import os, resource, sys; resource.setrlimit(resource.RLIMIT_NOFILE, (88, 88));"
        argv = [sys.executable, "-c", f"{limit} os.execv(sys.executable, sys.argv[1:])", sys.executable]
        with (tmp_path / "output.txt").open("wb") as output:
            process = subprocess.Popen(
                [*argv, "-m", "daemon", "run", "--no-tui"],
                cwd=tmp_path,
                env=ENV,
                stdout=output,
                stderr=output,
            )
            try:
                wait_until("it samples", lambda: stored(tmp_path) > 10)
                assert coterie(tmp_path, "pause").stdout == "all sampling paused\n"
                assert coterie(tmp_path, "resume").returncode == 0
                wait_until("all is stored", lambda: all_stored(tmp_path))
                assert coterie(tmp_path, "stop").returncode == 0
                assert process.wait(timeout=30) == 0, (tmp_path / "output.txt").read_text()
            finally:
                process.kill()
                process.wait()
        assert "concurrency = 300 is limited to 24" in (tmp_path / "output.txt").read_text()
        assert count(tmp_path, "attempt", "outcome <> 'ok'") == 0
        assert check_promise(tmp_path, school.ledger())["unknown"] == 0


def test_files_that_run_out_in_the_middle_cut_the_connections_and_use_up_nothing(tmp_path: Path) -> None:
    with teacher(tmp_path, "--latency-ms", "60") as school:
        configure(tmp_path, school.url, train=60, teacher="concurrency = 4")
        with daemon(tmp_path, "--until-idle") as running:
            wait_until("it samples", lambda: stored(tmp_path) > 8)
            pid, folder = running.process.pid, Path(f"/proc/{running.process.pid}/fd")
            limits = resource.prlimit(pid, resource.RLIMIT_NOFILE)
            resource.prlimit(pid, resource.RLIMIT_NOFILE, (len(list(folder.iterdir())) + 12, limits[1]))
            configure(tmp_path, school.url, train=60, teacher="concurrency = 60")
            running.process.send_signal(signal.SIGHUP)
            cut = "reason LIKE 'no connection: too many open files%'"
            wait_until("connections fail", lambda: count(tmp_path, "attempt", cut))
            at = stored(tmp_path)
            wait_until("it goes on with fewer", lambda: stored(tmp_path) > at + 10)
            resource.prlimit(running.process.pid, resource.RLIMIT_NOFILE, limits)
            assert running.wait() == 0, running.output()
        told = check_promise(tmp_path, school.ledger())
        assert told == {"billed": 252, "stored": 252, "unknown": 0}
        assert query(tmp_path, "SELECT sum(attempts), sum(unknowns) FROM sample") == [(0, 0)]


def test_a_stopped_process_goes_on_without_a_wave_and_without_paying_twice(tmp_path: Path) -> None:
    with teacher(tmp_path, "--latency-ms", "300") as school:
        limits = "concurrency = 60\nrequests_per_minute = 3000\ntimeout_seconds = 2"
        configure(tmp_path, school.url, train=30, teacher=limits)
        with daemon(tmp_path, "--until-idle") as running:
            wait_until("it samples", lambda: stored(tmp_path) > 20)
            running.process.send_signal(signal.SIGSTOP)
            time.sleep(3.5)  # while it is stopped nothing can be waited for: longer than timeout_seconds
            before = len(school.ledger())
            running.process.send_signal(signal.SIGCONT)
            woken = time.monotonic()
            time.sleep(0.5)  # a wave would come in this time; that none comes has no condition
            wave = len(school.ledger()) - before
            seconds = time.monotonic() - woken
            assert wave <= 35 + 50 * seconds, f"{wave} requests in {seconds:.1f} s at 50/s"
            assert running.wait() == 0, running.output()
            assert "nothing ran for" in running.output()
        told = check_promise(tmp_path, school.ledger())
        assert told == {"billed": 132, "stored": 132, "unknown": 0}


def flip(database: Path, data: bytes) -> bytes:
    """Some bytes of a table that a start does not read are others."""
    with closing(sqlite3.connect(database)) as opened:
        page = opened.execute("SELECT rootpage FROM sqlite_schema WHERE name = 'prediction'").fetchone()[0]
    other = bytearray(data)
    other[(page - 1) * 4096 : (page - 1) * 4096 + 60] = b"\xa5" * 60
    return bytes(other)


def test_what_was_damaged_in_a_crash_is_refused_and_a_backup_takes_its_place(tmp_path: Path) -> None:
    with teacher(tmp_path, "--latency-ms", "10") as school:
        configure(tmp_path, school.url, train=100, teacher="concurrency = 32")
        assert "no state database yet" in coterie(tmp_path, "backup").stderr
        with daemon(tmp_path) as running:
            wait_until("it samples", lambda: stored(tmp_path) > 20)
            before = stored(tmp_path)
            made = coterie(tmp_path, "backup")
            after = stored(tmp_path)
            assert running.process.poll() is None
            running.kill()
        (copy,) = (tmp_path / "backups").iterdir()
        assert made.returncode == 0 and made.stdout == f"{copy}: {copy.stat().st_size:,} bytes, checked\n"
        with closing(sqlite3.connect(copy)) as opened:
            kept = opened.execute("SELECT count(*) FROM sample WHERE state = 'stored'").fetchone()[0]
            assert opened.execute("PRAGMA integrity_check").fetchone() == ("ok",)
        assert before <= kept <= after
        again = coterie(tmp_path, "backup", "-o", str(copy))
        assert again.returncode == 2 and "already exists" in again.stderr

        database = tmp_path / "state.db"
        with closing(sqlite3.connect(database)) as opened:  # the log goes into the file
            opened.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        whole, asked = database.read_bytes(), len(school.ledger())
        for damaged in (flip(database, whole), whole[: len(whole) // 2]):
            database.write_bytes(damaged)
            refused = coterie(tmp_path, "run", "--no-tui")
            assert refused.returncode == 2, refused.stderr
            assert "is damaged" in refused.stderr and f"The newest backup is {copy}" in refused.stderr
            assert "Traceback" not in refused.stderr and len(school.ledger()) == asked
            assert database.read_bytes() == damaged
        for name in ("state.db-wal", "state.db-shm"):
            (tmp_path / name).unlink(missing_ok=True)
        database.write_bytes(copy.read_bytes())
        code, output = run_to_end(tmp_path)
        assert code == 0 and all_stored(tmp_path), output


def test_a_database_that_is_lost_under_a_daemon_ends_it_and_nothing_is_destroyed(tmp_path: Path) -> None:
    """Overwritten in place, then deleted; beside the first a copy is looked at."""
    lives = {"overwritten or truncated": tmp_path / "one", "moved or deleted": tmp_path / "two"}
    with teacher(tmp_path, "--latency-ms", "150") as school:
        for said, folder in lives.items():
            folder.mkdir()
            configure(folder, school.url, train=300, teacher="concurrency = 8")
            database, copy = folder / "state.db", tmp_path / "copy"
            with daemon(folder) as running:
                wait_until("it samples", lambda folder=folder: stored(folder) > 10)
                if not copy.exists():
                    copy.mkdir()
                    (copy / "config.toml").write_bytes((folder / "config.toml").read_bytes())
                    assert coterie(folder, "backup", "-o", str(copy / "state.db")).returncode == 0
                    status = coterie(copy, "status").stdout
                    assert "this is a copy" in status and "disk" not in status, status
                    database.write_bytes(b"another content")
                else:
                    before = stored(folder)
                    database.unlink()
                asked = len(school.ledger())
                assert running.wait(30) == 2, running.output()
                assert f"coterie: {database} was {said}" in running.output()
                assert "Traceback" not in running.output(), running.output()
            assert len(school.ledger()) - asked < 150, "it went on sending"
            if said == "moved or deleted":
                (kept,) = (folder / "backups").glob("state-rescued-*.db")
                with closing(sqlite3.connect(kept)) as opened:
                    assert opened.execute("PRAGMA integrity_check").fetchone() == ("ok",)
                    ended = "SELECT count(*) FROM sample WHERE state = 'stored'"
                    assert opened.execute(ended).fetchone()[0] >= before
                    open_ones = "SELECT count(*) FROM attempt WHERE outcome IS NULL OR outcome = 'unknown'"
                    assert opened.execute(open_ones).fetchone() == (0,), "what was in flight is stored"
            else:
                assert database.read_bytes() == b"another content"
                assert len(list((folder / "backups").glob("state-rescued-*.db-wal"))) == 1
                (results,) = (folder / "backups").glob("state-rescued-*.jsonl")
                lines = [json.loads(line) for line in results.read_text().splitlines()]
                assert any("choices" in (line["body"] or "") for line in lines), lines


def flip_in_file(database: Path, text: str) -> None:
    """One bit of a text in the file is another; the structure stays whole."""
    old = text.encode()
    new = old[:5] + bytes([old[5] ^ 1]) + old[6:]
    data = database.read_bytes()
    assert old in data
    database.write_bytes(data.replace(old, new))  # also where it lies in free space


def test_bits_that_flip_after_an_orderly_stop_are_named_and_a_question_is_read_again(tmp_path: Path) -> None:
    with teacher(tmp_path, "--latency-ms", "5") as school:
        configure(tmp_path, school.url, train=8, teacher="concurrency = 16")
        assert run_to_end(tmp_path)[0] == 0
        every = coterie(tmp_path, "export", "samples").stdout.splitlines()
        database = tmp_path / "state.db"
        with closing(sqlite3.connect(database)) as opened:
            opened.execute("PRAGMA wal_checkpoint(TRUNCATE)")
            alone = (
                "SELECT id, rationale FROM sample GROUP BY rationale HAVING count(*) = 1 AND split = 'train'"
            )
            sample, text = opened.execute(alone).fetchone()
            key, question = opened.execute(
                "SELECT id, text FROM question WHERE split = 'dev' LIMIT 1"
            ).fetchone()
        whole = database.read_bytes()
        flip_in_file(database, text)
        left = coterie(tmp_path, "export", "samples")
        assert left.returncode == 2 and f"damaged in state.db: sample {sample}." in left.stderr, left.stderr
        assert len(left.stdout.splitlines()) == len(every) - 1
        again = coterie(tmp_path, "regrade")
        assert again.returncode == 2 and f"sample {sample}." in again.stderr and "same" in again.stdout, (
            again.stderr
        )

        database.write_bytes(whole)
        flip_in_file(database, question)
        assert "questions of it are damaged" in coterie(tmp_path, "check").stdout
        assert run_to_end(tmp_path)[0] == 0
        assert query(tmp_path, "SELECT text FROM question WHERE id = ?", key) == [(question,)]
        assert "damaged" not in coterie(tmp_path, "check").stdout
        assert coterie(tmp_path, "export", "samples").stdout.splitlines() == every

        with closing(sqlite3.connect(database)) as opened:
            opened.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        damaged = flip(database, database.read_bytes())  # of its structure
        database.write_bytes(damaged)
        for command in (("check",), ("run", "--no-tui"), ("export", "predictions")):
            refused = coterie(tmp_path, *command)
            assert refused.returncode == 2 and "is damaged" in refused.stderr, (command, refused.stderr)
            assert "Traceback" not in refused.stderr
        assert database.read_bytes() == damaged
