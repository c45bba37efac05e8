"""The phases of a run with their times, from its directory: what a start is doing, and since when."""

from __future__ import annotations

import json
import stat
from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from state.views.runs import RunDetail

FILE = "progress.jsonl"
PART = 64 * 1024
"""Bytes at both ends of the file that are read: a start stands at its beginning, the end of a training at its end."""


@dataclass(frozen=True, slots=True)
class Phase:
    """A phase, when it began, UTC milliseconds, and its seconds; None while it goes on."""

    name: str
    at: int
    seconds: float | None


def phases_of(base: Path, run: RunDetail, now: int) -> tuple[Phase, ...]:
    """The phases of the run's last start; those that the database knows of where the directory is not here."""
    waited = run.started_at is None or run.started_at - run.created_at >= 1_000
    marks: list[tuple[str, int]] = [("queued", run.created_at)] if waited else []
    if run.started_at is not None:
        own = _marks(base / run.directory / FILE) if run.directory else ()
        found = [mark for mark in own if mark[1] >= run.started_at]
        marks.append(("process" if found else "running", run.started_at))
        marks += found
    end = run.ended_at
    result = []
    for place, (name, at) in enumerate(marks):
        until = marks[place + 1][1] if place + 1 < len(marks) else end
        result.append(Phase(name, at, None if until is None else max(0, until - at) / 1000))
    return tuple(result[:-1] if end is not None and result[-1].seconds == 0 else result)


def _marks(path: Path) -> tuple[tuple[str, int], ...]:
    """Phases and when they began, of the last start in a file of progress; empty if it cannot be read."""
    try:
        found = path.stat()
        if not stat.S_ISREG(found.st_mode):  # reading a pipe could block for ever
            return ()
        return _read(path, found.st_mtime_ns, found.st_size)
    except OSError:
        return ()


@lru_cache(maxsize=8)
def _read(path: Path, changed: int, size: int) -> tuple[tuple[str, int], ...]:
    with path.open("rb") as file:
        lines = file.read(PART).split(b"\n")
        if size > 2 * PART:
            file.seek(size - PART)
            lines = [*lines[:-1], *file.read(PART).split(b"\n")[1:]]
        elif size > PART:
            lines = [*lines[:-1], *(lines[-1] + file.read(PART)).split(b"\n")]
    return tuple(marks_in(lines))


def marks_in(lines: Iterable[bytes]) -> list[tuple[str, int]]:
    """The phases of the last start among some lines of progress."""
    marks: list[tuple[str, int]] = []
    for line in lines:
        if b'"phase"' not in line and b'"loaded"' not in line:
            continue
        try:
            event = json.loads(line)
            kind, at = event["event"], int(event["at"])
        except (ValueError, KeyError, TypeError):  # torn, or of another version
            continue
        name = "training" if kind == "loaded" else str(event.get("phase", ""))
        if kind == "starting" and name == "importing":
            marks = []
        if name and (not marks or marks[-1][0] != name):
            marks.append((name, at))
    return marks
