"""A folder to run the daemon in, and processes whose CPU time is measured exactly (`wait4`)."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO

from state import sqlite
from state.database import open_reader
from state.errors import StateError

ROOT = Path(__file__).resolve().parents[1]
DEADLINE_S = 120.0

CONFIG = """\
[teachers.bench]
base_url = "{url}"
model = "bench"
{limits}

[tasks.sums]
source = "sums.jsonl"
answer = "number"
dev = 0

[[plans]]
name = "bench"
strategy = "zero-shot-cot-chat"
rationales = {rationales}
"""


@dataclass
class FinishedProcess:
    """A finished process: exit code, wall seconds, CPU seconds (user and system), output and peak memory."""

    code: int
    wall_s: float
    cpu_s: float
    output: str
    memory_mb: float
    loop_lag_ms: float = 0.0
    commit_lag_ms: float = 0.0


@dataclass
class Daemon:
    """`coterie run` as a process, with the lags that its heartbeats report."""

    process: subprocess.Popen[bytes]
    sink: IO[bytes]
    database: Path
    started: float
    heartbeats: dict[int, tuple[float, float]] = field(default_factory=dict)

    def ended(self, each: Callable[[], bool] = lambda: False, look_s: float = 0.25) -> FinishedProcess:
        """Waits for the end of the process; kills it when `each`, called every `look_s`, returns True."""
        while True:
            pid, status, usage = os.wait4(self.process.pid, os.WNOHANG)
            if pid:
                break
            if each() or time.monotonic() - self.started > DEADLINE_S:
                self.process.kill()
            self._look()
            time.sleep(look_s)
        wall = time.monotonic() - self.started
        self.process.returncode = os.waitstatus_to_exitcode(status)
        self.sink.seek(0)
        output = self.sink.read().decode("utf-8", "replace")
        self.sink.close()
        return FinishedProcess(
            code=self.process.returncode,
            wall_s=wall,
            cpu_s=usage.ru_utime + usage.ru_stime,
            output=output,
            memory_mb=usage.ru_maxrss / 1e3,
            loop_lag_ms=max((lag for lag, _ in self.heartbeats.values()), default=0.0),
            commit_lag_ms=max((lag for _, lag in self.heartbeats.values()), default=0.0),
        )

    def _look(self) -> None:
        with (
            contextlib.suppress(StateError, sqlite.DatabaseError),
            contextlib.closing(open_reader(self.database)) as connection,
        ):
            for at, data in connection.execute("SELECT at, data FROM pulse").fetchall():
                heartbeat = json.loads(data)
                self.heartbeats[at] = (heartbeat["loop_lag_ms"], heartbeat["commit_lag_ms"])


class DaemonFixture:
    """A folder with a configuration and a task file."""

    def __init__(self, folder: Path, root: Path = ROOT) -> None:
        self.folder = folder
        self._root = root
        self.database = folder / "state.db"

    def populate(self, url: str, *, questions: int, rationales: int = 1, **limits: int) -> None:
        """Writes the configuration and a task file with this many questions; `limits` are keys of the teacher."""
        lines = "\n".join(f"{name} = {value}" for name, value in limits.items())
        (self.folder / "config.toml").write_text(
            CONFIG.format(url=url, limits=lines, rationales=rationales), encoding="utf-8"
        )
        with (self.folder / "sums.jsonl").open("w", encoding="utf-8") as file:
            for number in range(questions):
                text = f"Question {number}: how much is 40 and {number} less {number} and 2?"
                row = {"id": str(number), "question": text, "answer": "42", "split": "train"}
                file.write(json.dumps(row) + "\n")

    def start(self) -> Daemon:
        """Starts the daemon with `--until-idle`."""
        return self._launch("run", "--until-idle", "--no-tui")

    def command(self, *arguments: str) -> FinishedProcess:
        """Runs a command and waits for its end."""
        return self._launch(*arguments).ended(look_s=0.01)

    def _launch(self, *arguments: str) -> Daemon:
        sink = tempfile.TemporaryFile()
        config = [] if "--help" in arguments else ["-c", str(self.folder / "config.toml")]
        process = subprocess.Popen(
            [sys.executable, "-m", "daemon", *arguments, *config],
            cwd=self._root,
            stdin=subprocess.DEVNULL,
            stdout=sink,
            stderr=sink,
        )
        return Daemon(process, sink, self.database, time.monotonic())

    def counts(self) -> dict[str, int]:
        """Counts of stored samples, of correct samples, and of attempts by outcome."""
        with contextlib.closing(open_reader(self.database)) as connection:
            stored, accepted = connection.execute(
                "SELECT count(*) FILTER (WHERE state = 'stored'), count(*) FILTER (WHERE verdict = 1) FROM sample"
            ).fetchone()
            outcomes = connection.execute(
                "SELECT coalesce(outcome, 'open'), count(*) FROM attempt GROUP BY 1"
            ).fetchall()
        return {"stored": stored, "accepted": accepted, **dict(outcomes)}


@contextlib.contextmanager
def daemon_fixture(root: Path = ROOT) -> Iterator[DaemonFixture]:
    """A new folder, which is deleted afterwards. `root`: the checkout whose daemon runs in it."""
    with tempfile.TemporaryDirectory(prefix="coterie-bench-") as folder:
        yield DaemonFixture(Path(folder), root)


def measured(*command: str) -> FinishedProcess:
    """Runs a module such as `bench.bare` and waits for its end."""
    with tempfile.TemporaryFile() as sink:
        started = time.monotonic()
        process = subprocess.Popen([sys.executable, "-m", *command], cwd=ROOT, stdout=sink)
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        wall = time.monotonic() - started
        sink.seek(0)
        output = sink.read().decode("utf-8", "replace")
    if process.returncode:
        raise RuntimeError(f"{' '.join(command)} failed with {process.returncode}")
    return FinishedProcess(
        process.returncode, wall, usage.ru_utime + usage.ru_stime, output, usage.ru_maxrss / 1e3
    )


def bare(url: str, requests: int, workers: int) -> tuple[FinishedProcess, float]:
    """Runs the reference loop; returns its process and the seconds that its requests took."""
    ran = measured("bench.bare", url, f"--requests={requests}", f"--workers={workers}")
    found = json.loads(ran.output)
    if found["good"] != requests:
        raise RuntimeError(f"the reference got {found['good']} of {requests} answers")
    return ran, float(found["seconds"])


def span_s(times: list[float]) -> float:
    """Seconds between the first and the last of `times`."""
    return max(times) - min(times)
