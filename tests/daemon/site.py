"""A place to run the real daemon in: a folder with a configuration, real processes, a real teacher server."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, contextmanager
from pathlib import Path
from tempfile import TemporaryFile
from typing import Any

from state.database import open_reader
from state.errors import StateMissing
from tests.forked import Forked

ROOT = Path(__file__).resolve().parents[2]
ENV = {**os.environ, "PYTHONPATH": str(ROOT), "PYTHONUNBUFFERED": "1"}


def wait_until(what: str, condition: Callable[[], Any], seconds: float = 60.0) -> Any:
    """The condition's first true value; fails with `what` when there is none in time."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if value := condition():
            return value
        time.sleep(0.02)
    raise AssertionError(f"not within {seconds} s: {what}")


class Teacher:
    """The built-in teacher in a process of its own, with a ledger on disk that survives everything."""

    def __init__(self, folder: Path, *flags: str) -> None:
        self.ledger_file = folder / "ledger.jsonl"
        argv = ["--port", "0", "--ledger", str(self.ledger_file), "--exit-with-parent", *flags]
        theirs, self._stdin = os.pipe()
        said, saying = os.pipe()
        self._process = Forked(
            "engine.practice", argv, cwd=folder, env=ENV, stdin=theirs, stdout=saying, stderr=2
        )
        os.close(theirs)
        os.close(saying)
        with os.fdopen(said) as lines:
            self.url = json.loads(lines.readline())["url"]

    def ledger(self) -> list[dict[str, Any]]:
        """Every request it received."""
        if not self.ledger_file.exists():
            return []
        lines = self.ledger_file.read_text().split("\n")
        return [json.loads(line) for line in lines[:-1]]

    def stop(self) -> None:
        """Ends it."""
        os.close(self._stdin)
        self._process.wait(timeout=10)


@contextmanager
def teacher(folder: Path, *flags: str) -> Iterator[Teacher]:
    """A teacher server for a while."""
    server = Teacher(folder, *flags)
    try:
        yield server
    finally:
        server.stop()


class Daemon:
    """A `coterie run` process; what it prints is kept. `anew`: by `python -m`, with imports and a command line of its own."""

    def __init__(
        self, folder: Path, *flags: str, env: dict[str, str] | None = None, anew: bool = False
    ) -> None:
        self.folder = folder
        self._output = (folder / "output.txt").open("ab")
        self._start = self._output.tell()
        argv, environment = ["run", "--no-tui", *flags], {**ENV, **(env or {})}
        anew = anew or "LD_PRELOAD" in environment
        self.process: Forked | subprocess.Popen[bytes]
        if anew:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "daemon", *argv],
                cwd=folder,
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=self._output,
                stderr=subprocess.STDOUT,
            )
        else:
            out = self._output.fileno()
            with open(os.devnull, "rb") as nothing:
                self.process = Forked(
                    *("daemon", argv),
                    cwd=folder,
                    env=environment,
                    stdin=nothing.fileno(),
                    stdout=out,
                    stderr=out,
                )

    def output(self) -> str:
        """What this process printed so far."""
        return (self.folder / "output.txt").read_bytes()[self._start :].decode()

    def wait(self, seconds: float = 120.0) -> int:
        """Its exit code."""
        try:
            return self.process.wait(timeout=seconds)
        except subprocess.TimeoutExpired:
            raise AssertionError(f"the daemon did not end:\n{self.output()[-3000:]}") from None
        finally:
            self.close()

    def kill(self) -> None:
        """SIGKILL, as a crash."""
        self.process.kill()
        self.process.wait()
        self.close()

    def terminate(self) -> None:
        """SIGTERM, as an operator."""
        self.process.send_signal(signal.SIGTERM)

    def close(self) -> None:
        """Ends it whatever it does."""
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        self._output.close()


@contextmanager
def daemon(
    folder: Path, *flags: str, env: dict[str, str] | None = None, anew: bool = False
) -> Iterator[Daemon]:
    """A daemon that is gone at the end."""
    started = Daemon(folder, *flags, env=env, anew=anew)
    try:
        yield started
    finally:
        started.close()


def said_at_the_end(output: str) -> str:
    """The tables at the end of a run, and where its report is."""
    return output[output.index("Accuracy in percent on the test questions") :]


def methods(tables: str) -> list[str]:
    """The first column of those tables."""
    rows = [line.split("|")[1].strip() for line in tables.splitlines() if line.startswith("| ")]
    return [row for row in rows if row != "method" and set(row) != {"-"}]


def run_to_end(folder: Path, *, env: dict[str, str] | None = None, seconds: float = 120.0) -> tuple[int, str]:
    """Exit code and output of `coterie run --until-idle`."""
    with daemon(folder, "--until-idle", env=env) as started:
        return started.wait(seconds), started.output()


def coterie(
    folder: Path,
    *argv: str,
    module: str = "daemon",
    seconds: float = 60.0,
    env: Mapping[str, str] | None = None,
) -> subprocess.CompletedProcess[str]:
    """One command of the command line, or of another module that is one."""
    with TemporaryFile() as out, TemporaryFile() as err, open(os.devnull, "rb") as nothing:
        process = Forked(
            *(module, argv),
            cwd=folder,
            env={**ENV, **(env or {})},
            stdin=nothing.fileno(),
            stdout=out.fileno(),
            stderr=err.fileno(),
        )
        try:
            code = process.wait(timeout=seconds)
        finally:
            process.kill()
        out.seek(0)
        err.seek(0)
        return subprocess.CompletedProcess(argv, code, out.read().decode(), err.read().decode())


def query(folder: Path, sql: str, *values: Any) -> list[tuple[Any, ...]]:
    """Rows of the folder's database; none while it is not there yet."""
    try:
        with closing(open_reader(folder / "state.db")) as connection:
            return connection.execute(sql, values).fetchall()
    except StateMissing:
        return []


def count(folder: Path, table: str, where: str = "1") -> int:
    """How many rows there are; 0 while there is no database or no such table yet."""
    try:
        rows = query(folder, f"SELECT count(*) FROM {table} WHERE {where}")
    except Exception:
        return 0
    return int(rows[0][0]) if rows else 0


def configure(folder: Path, url: str, **change: Any) -> None:
    """A configuration that samples coin flips from the teacher at `url`; `students` is TOML to append."""
    given = {
        "budget": 5.0,
        "teacher": "",
        "train": 30,
        "dev": 4,
        "test": 6,
        "rationales": 2,
        "plan": "",
        "students": "",
        "strategy": "zero-shot-cot",
        "drain": 20,
        **change,
    }
    (folder / "config.toml").write_text(
        f"""
[daemon]
budget_usd = {given["budget"]}
drain_seconds = {given["drain"]}

[teachers.school]
base_url = "{url}"
model = "practice-large"
usd_per_million_input = 0.15
usd_per_million_output = 0.60
{given["teacher"]}

[tasks.coin_flip]
source = "builtin:coin_flip"
answer = "yes_no"
train = {given["train"]}
dev = {given["dev"]}
test = {given["test"]}

[[plans]]
name = "diverse"
strategy = "{given["strategy"]}"
rationales = {given["rationales"]}
temperature = 0.7
{given["plan"]}

[[plans]]
name = "teacher"
split = "test"
temperature = 0.0

{given["students"]}
""",
        encoding="utf-8",
    )
