"""Tables of measurements, and the file that they are written to."""

from __future__ import annotations

import os
import platform
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

from state import sqlite

GPU = Path(__file__).with_name("RESULTS-gpu.md")
LIBRARIES = ("aiohttp", "uvloop", "anyio", "pydantic", "sqlmodel")


@dataclass(frozen=True)
class Row:
    """One figure: its name, the measurement, the reference in the same run, their ratio, and the target."""

    what: str
    measured: str
    reference: str = ""
    ratio: str = ""
    wanted: str = ""


@dataclass(frozen=True)
class Table:
    """A bench's figures; `about` says how they were measured."""

    title: str
    about: str
    rows: Sequence[Row]

    def markdown(self) -> str:
        """The table as Markdown."""
        lines = [f"## {self.title}", "", self.about, ""]
        lines += ["| what | measured | reference | ratio | wanted |", "|---|---|---|---|---|"]
        lines += [
            f"| {row.what} | {row.measured} | {row.reference} | {row.ratio} | {row.wanted} |"
            for row in self.rows
        ]
        return "\n".join(lines) + "\n"


def results(tables: Sequence[Table], *, quick: bool) -> str:
    """The content of RESULTS.md."""
    machine = f"{platform.system()} {platform.machine()}, {os.cpu_count()} cores, load {os.getloadavg()[0]:.1f} at the end"
    libraries = ", ".join(f"{name} {version(name)}" for name in LIBRARIES)
    head = [
        "# Results of the benches",
        "",
        "<!-- Written by `python -m bench`; do not edit. -->",
        "",
        f"- Date: {datetime.now(UTC):%Y-%m-%d %H:%M} UTC" + (", quick (fewer requests)" if quick else ""),
        f"- Machine: {machine}",
        f"- Versions: Python {sys.version.split()[0]}, {libraries}, {sqlite.describe().split(',')[0]}",
        "",
        "Client, server and other programs share the machine, so read the ratios rather than the seconds. The reference is",
        "a bare aiohttp loop (`bench/bare.py`) that stores nothing; it runs right after the daemon.",
        "",
    ]
    return "\n".join(head) + "\n" + "\n".join([*(table.markdown() for table in tables), gpu()])


def gpu() -> str:
    """The section on GPUs, which another command measures on another machine."""
    if GPU.exists():
        return f"## On a GPU\n\nSee [{GPU.name}]({GPU.name}).\n"
    return (
        "## On a GPU\n\nNot measured: this machine has no GPU. On a machine with one, `make gpu` runs the checks, measures tokens per second, MFU "
        "and peak memory beside TRL, and writes RESULTS-gpu.md; it needs no internet (copy `bench/.trl` there).\n"
    )


def ratio(measured: float, reference: float) -> str:
    """`measured` over `reference`."""
    return f"{measured / reference:.2f}" if reference else ""
