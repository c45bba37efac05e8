"""A wall clock that jumps by a day, forwards and back: only what is shown knows of it."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from pathlib import Path

from tests.daemon.ledgers import check_promise
from tests.daemon.site import ENV, configure, count, query, teacher, wait_until

DAY = 86_400
WRONG = """
import pathlib, sys, time
real, real_ns, file = time.time, time.time_ns, pathlib.Path("offset")
def offset():
    return int(file.read_text() or 0)
time.time = lambda: real() + offset()
time.time_ns = lambda: real_ns() + offset() * 10**9
from daemon.__main__ import main
sys.exit(main())
"""


def command(*argv: str) -> list[str]:
    """A command of ours on a machine with this clock."""
    return [sys.executable, "-c", WRONG, *argv]


def jump(folder: Path, seconds: int) -> None:
    """The clock is off by so much from now on."""
    (folder / "offset.new").write_text(str(seconds))
    (folder / "offset.new").replace(folder / "offset")


def status(folder: Path) -> dict[str, object]:
    shown = subprocess.run(
        command("status", "--json"), cwd=folder, env=ENV, capture_output=True, check=True, timeout=60
    )
    return dict(json.loads(shown.stdout))


def beats(folder: Path, seconds: int) -> bool:
    """Whether the last beat is of a clock that is off by so much."""
    return abs(query(folder, "SELECT at FROM pulse")[0][0] / 1000 - time.time() - seconds) < 3600


def test_a_clock_that_jumps_by_a_day_changes_no_pace_no_wait_and_no_account(tmp_path: Path) -> None:
    with teacher(tmp_path, "--latency-ms", "30") as server:
        configure(tmp_path, server.url, train=90, teacher="requests_per_minute = 6000\nconcurrency = 16")
        jump(tmp_path, 0)
        with (tmp_path / "output.txt").open("wb") as output:
            argv = command("run", "--no-tui")
            process = subprocess.Popen(argv, cwd=tmp_path, env=ENV, stdout=output, stderr=output)
            try:
                wait_until("it samples", lambda: count(tmp_path, "sample", "state = 'stored'") > 20)
                for seconds in (DAY, -DAY):
                    jump(tmp_path, seconds)
                    wait_until("it beats in the new time", lambda off=seconds: beats(tmp_path, off))
                    shown = status(tmp_path)["daemon"]
                    assert isinstance(shown, dict) and shown["state"] == "running" and shown["uptime_s"] >= 0
                wait_until("all is stored", lambda: count(tmp_path, "sample", "state = 'stored'") == 186)
                process.terminate()
                assert process.wait(timeout=60) == 130, (tmp_path / "output.txt").read_text()
            finally:
                process.kill()
                process.wait()
        ledger = server.ledger()
        assert check_promise(tmp_path, ledger)["unknown"] == 0
    starts = sorted(entry["received_at"] for entry in ledger)
    most = max(sum(at <= each < at + 1000 for each in starts) for at in starts)
    assert most <= 170, f"{most} requests in a second at a limit of 100"
    waits = "SELECT max(latency_ms), min(latency_ms) FROM attempt"
    longest, shortest = query(tmp_path, waits)[0]
    assert 0 <= shortest and longest < 60_000
    ended = status(tmp_path)["daemon"]
    assert isinstance(ended, dict) and ended["state"] == "stopped" and ended["uptime_s"] >= 0
