"""Shows a text in the user's pager, while the monitor has given the terminal back."""

from __future__ import annotations

import os
import shlex
import shutil
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

PAGERS = ("less -R", "more")
"""Tried where $PAGER is not set."""


def pager_command() -> list[str]:
    """The user's pager; empty if there is none."""
    try:
        given = shlex.split(os.environ.get("PAGER", ""))
    except ValueError:  # an unclosed quotation mark
        given = []
    candidates = [given] if given else [shlex.split(each) for each in PAGERS]
    return next((each for each in candidates if shutil.which(each[0])), [])


def show_in_pager(text: str) -> str:
    """Shows a text until the user leaves the pager; returns why that was not possible, or nothing."""
    command = pager_command()
    if not command:
        wanted = os.environ.get("PAGER")
        return f"$PAGER is {wanted!r}, which is not there." if wanted else "There is no pager: set $PAGER."
    try:
        with subprocess.Popen(command, stdin=subprocess.PIPE) as process, _signals_end(process):
            process.communicate(text.encode("utf-8", "replace"))
    except OSError as error:
        return f"{command[0]}: {error.strerror}"
    return ""


@contextmanager
def _signals_end(process: subprocess.Popen[bytes]) -> Iterator[None]:
    """Ctrl-C is the pager's; a signal that ends the monitor ends its pager first, so that the monitor gets to it."""

    def end(number: int, frame: FrameType | None) -> None:
        process.terminate()

    before = {number: signal.signal(number, end) for number in (signal.SIGTERM, signal.SIGHUP)}
    before[signal.SIGINT] = signal.signal(signal.SIGINT, lambda number, frame: None)
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
