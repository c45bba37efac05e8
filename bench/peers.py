"""Coterie beside other programs that do the same work: `python -m bench.peers`.

Each peer runs as its users run it, in a virtual environment of its own (`bench/.peers`, created at the first run from the pins
below), against the same server, right after Coterie in the same run. They store different things: Coterie stores every
answer, graded and synced to disk; curator writes every answer to a file without syncing; litellm stores nothing.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from bench.cli import alone
from bench.daemon_fixture import DEADLINE_S, FinishedProcess, daemon_fixture
from bench.server import Server, running
from bench.tables import Row, Table, ratio

HERE = Path(__file__).parent
ENVIRONMENT = HERE / ".peers"
PINS = ("bespokelabs-curator==0.1.31", "litellm==1.83.7")
PEERS = {"curator": HERE / "peer_curator.py", "litellm": HERE / "peer_litellm.py"}
UNLIMITED = 10_000_000


def bench(quick: bool) -> Table:
    """Four workloads: immediate answers, slow answers, a period of refusals, a server with a low concurrency limit."""
    python = environment()
    some, many = (500, 1_000) if quick else (2_000, 4_000)
    rows: list[Row] = []
    rows += _work(python, "{n:,} immediate answers: CPU per sample", "cpu", some, 100, {})
    rows += _work(
        python, "{n:,} of 500 ms, 1,000 in flight: per second", "rate", many, 1_000, {"delay_ms": 500}
    )
    storm = {"refuse_s": 8, "retry_after": 5, "delay_ms": 50}
    rows += _work(python, "{n:,}, all refused for 8 s, Retry-After 5", "ended", 200, None, storm)
    few = {"concurrency": 20, "delay_ms": 200}
    rows += _work(python, "{n:,} of 200 ms, at most 20 in flight", "ended", 1_000, None, few)
    about = (
        "Measured: Coterie; reference: the peer, in the same run; whole processes, start included. "
        + ", ".join(PINS)
        + "."
    )
    return Table("Beside others", about, rows)


def environment() -> Path:
    """The peers' Python; its environment is created at the first call."""
    python = ENVIRONMENT / "bin" / "python"
    mark = ENVIRONMENT / "pins"
    if not mark.exists() or mark.read_text(encoding="utf-8") != "\n".join(PINS):
        subprocess.run([sys.executable, "-m", "venv", "--clear", str(ENVIRONMENT)], check=True)
        subprocess.run(
            [str(python), "-m", "pip", "install", "-q", "--disable-pip-version-check", *PINS], check=True
        )
        mark.write_text("\n".join(PINS), encoding="utf-8")
    return python


def _work(
    python: Path, what: str, figure: str, samples: int, workers: int | None, server: dict[str, float]
) -> list[Row]:
    """One row for each peer; `workers` None leaves the concurrency to each program's default."""
    ours, got = _coterie(samples, workers, server)
    return [
        Row(
            f"{what.format(n=samples)}: {name}",
            *_figures(figure, samples, (ours, got), _peer(python, name, samples, workers, server)),
        )
        for name in PEERS
    ]


def _figures(
    figure: str, samples: int, ours: tuple[FinishedProcess, str], theirs: tuple[FinishedProcess, str]
) -> tuple[str, str, str]:
    (one, got), (two, other) = ours, theirs
    if figure == "cpu":
        return (
            f"{one.cpu_s / samples * 1e6:,.0f} µs",
            f"{two.cpu_s / samples * 1e6:,.0f} µs{other}",
            ratio(one.cpu_s, two.cpu_s),
        )
    if figure == "rate":
        return (
            f"{samples / one.wall_s:,.0f}",
            f"{samples / two.wall_s:,.0f}{other}",
            ratio(two.wall_s, one.wall_s),
        )
    return f"{one.wall_s:.1f} s{got}", f"{two.wall_s:.1f} s{other}", ratio(one.wall_s, two.wall_s)


def _coterie(samples: int, workers: int | None, options: dict[str, float]) -> tuple[FinishedProcess, str]:
    limits = {} if workers is None else {"concurrency": workers, "requests_per_minute": UNLIMITED}
    with running(**options) as server, daemon_fixture() as fixture:
        fixture.populate(server.url, questions=samples, **limits)
        ran = fixture.start().ended()
        return ran, _remarks(fixture.counts()["accepted"], samples, server)


def _peer(
    python: Path, name: str, samples: int, workers: int | None, options: dict[str, float]
) -> tuple[FinishedProcess, str]:
    command = [str(python), str(PEERS[name]), "", f"--requests={samples}"]
    if workers is not None:
        command.append(f"--workers={workers}")
    with running(**options) as server, tempfile.TemporaryFile() as sink:
        command[2] = server.url
        started = time.monotonic()
        process = subprocess.Popen(command, stdout=sink, stderr=subprocess.DEVNULL)
        while True:
            pid, status, usage = os.wait4(process.pid, os.WNOHANG)
            if pid:
                break
            if time.monotonic() - started > DEADLINE_S:
                process.kill()
            time.sleep(0.05)
        process.returncode = os.waitstatus_to_exitcode(status)
        wall = time.monotonic() - started
        sink.seek(0)
        lines = sink.read().decode("utf-8", "replace").splitlines()
        found = json.loads(lines[-1]) if lines and process.returncode == 0 else {"good": 0}
        ran = FinishedProcess(
            process.returncode, wall, usage.ru_utime + usage.ru_stime, "", usage.ru_maxrss / 1e3
        )
        return ran, _remarks(int(found["good"]), samples, server)


def _remarks(good: int, samples: int, server: Server) -> str:
    """Remarks on a figure: missing answers, refused requests."""
    refused = server.stats()["refused"]
    missing = f", {good:,} of {samples:,} answers" if good != samples else ""
    return missing + (f", {refused:,} 429s" if refused else "")


if __name__ == "__main__":
    alone(bench)
