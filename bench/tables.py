"""Tables of measurements, and the file that they are written to."""

from __future__ import annotations

import os
import platform
import re
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

from state import sqlite

GPU_TITLE = "On a GPU"
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


def results(tables: Sequence[Table], *, quick: bool, before: str = "") -> str:
    """The content of RESULTS.md.

    Args:
        tables: just measured.
        quick: with fewer requests.
        before: the file as it was; its sections stay where `tables` has none of that title.
    """
    head = [
        "# Results of the benches",
        "",
        "<!-- Written by `python -m bench`; do not edit. -->",
        "",
        "Client, server and other programs share the machine, so read the ratios rather than the seconds. The reference is",
        "a bare aiohttp loop (`bench/bare.py`) that stores nothing; it runs right after the daemon. Each section says when and",
        "where it was measured; `python -m bench NAME` measures one again.",
    ]
    sections = {title: text for title, text in _sections(before) if title != GPU_TITLE}
    for table in tables:
        title, about = f"## {table.title}\n", _measured(quick)
        sections[table.title] = table.markdown().replace(title, f"{title}\n{about}\n", 1)
    return "\n".join(["\n".join(head) + "\n", *sections.values(), gpu()])


def _measured(quick: bool) -> str:
    """When and where: a line for each section."""
    libraries = ", ".join(f"{name} {version(name)}" for name in LIBRARIES)
    fewer = ", quick (fewer requests)" if quick else ""
    return (
        f"Measured: {datetime.now(UTC):%Y-%m-%d %H:%M} UTC{fewer}; {platform.system()} {platform.machine()}, {os.cpu_count()} cores,"
        f" load {os.getloadavg()[0]:.1f} at the end; Python {sys.version.split()[0]}, {libraries}, {sqlite.describe().split(',')[0]}"
    )


def _sections(text: str) -> list[tuple[str, str]]:
    """The sections of a file of results, by title."""
    parts = re.split(r"(?m)^## (.+)\n", text)[1:]
    return [
        (title, f"## {title}\n{body.rstrip()}\n") for title, body in zip(parts[::2], parts[1::2], strict=True)
    ]


def gpu() -> str:
    """The section on GPUs, which another command measures on another machine."""
    if GPU.exists():
        return f"## {GPU_TITLE}\n\nSee [{GPU.name}]({GPU.name}).\n"
    return (
        f"## {GPU_TITLE}\n\nNot measured: this machine has no GPU. On a machine with one, `make gpu` runs the checks, measures tokens per second, MFU "
        "and peak memory beside TRL, and writes RESULTS-gpu.md; it needs no internet (copy `bench/.trl` there).\n"
    )


def ratio(measured: float, reference: float) -> str:
    """`measured` over `reference`."""
    return f"{measured / reference:.2f}" if reference else ""
