"""The end of a run's log, read from its directory."""

from __future__ import annotations

import stat
from pathlib import Path

TAIL = 64 * 1024  # bytes
LINES = 300


def tail(base: Path, directory: str) -> str:
    """The last lines of `log.txt` of a run's directory (relative to `base`); says so where there is none."""
    path = base / directory / "log.txt"
    if not directory:
        return "no log yet"
    try:
        if not stat.S_ISREG(path.stat().st_mode):  # a pipe would wait for ever
            return f"{path} is no file"
        with path.open("rb") as file:
            size = file.seek(0, 2)
            file.seek(max(0, size - TAIL))
            data = file.read(TAIL)
    except FileNotFoundError:
        return f"no log at {path}"
    except OSError as error:
        return f"{path}: {error.strerror}"
    lines = data.decode("utf-8", "replace").split("\n")
    # A progress bar rewrites its line with carriage returns: its last state is what counts.
    return "\n".join(line.rstrip("\r").rsplit("\r", 1)[-1] for line in lines[-LINES:]).rstrip("\n")
