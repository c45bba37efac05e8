"""The monitor on a real terminal (a pty), with hostile samples on the screen."""

from __future__ import annotations

import fcntl
import os
import re
import select
import struct
import subprocess
import sys
import termios
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

pty = pytest.importorskip("pty")

ROOT = Path(__file__).resolve().parents[2]
PATIENCE = 60.0  # a limit for a broken monitor, not a wait


class Terminal:
    """A monitor on a pty, and every byte that it wrote."""

    def __init__(self, path: Path, *arguments: str) -> None:
        self.master, self.slave = pty.openpty()
        fcntl.ioctl(self.slave, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 100, 0, 0))
        self.before = termios.tcgetattr(self.slave)
        self.written = b""
        self.process = subprocess.Popen(
            [sys.executable, "-m", "tui", "--db", str(path), *arguments],
            cwd=ROOT,
            stdin=self.slave,
            stdout=self.slave,
            stderr=self.slave,
            start_new_session=True,
            env={**os.environ, "TERM": "xterm-256color"},
        )

    def until(self, pattern: str) -> None:
        """Reads until what was written since the last time matches."""
        start, deadline = len(self.written), time.monotonic() + PATIENCE
        while not re.search(pattern, _text(self.written[start:])):
            assert time.monotonic() < deadline, f"no {pattern!r} in {_text(self.written[start:])[-500:]!r}"
            assert self.process.poll() is None, _text(self.written)[-3000:]
            self._read(0.5)

    def press(self, keys: str) -> None:
        os.write(self.master, keys.encode())

    def end(self) -> int:
        deadline = time.monotonic() + PATIENCE
        while self.process.poll() is None:
            assert time.monotonic() < deadline, "it does not end"
            self._read(0.1)
        while self._read(0.0):
            pass
        return self.process.returncode

    def _read(self, timeout: float) -> bool:
        ready = select.select([self.master], [], [], timeout)[0]
        if ready:
            self.written += os.read(self.master, 65536)
        return bool(ready)

    def close(self) -> None:
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        os.close(self.master)
        os.close(self.slave)


def _text(written: bytes) -> str:
    """Without colours and cursor moves."""
    return re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", written.decode("utf-8", "replace"))


@pytest.fixture
def terminal(seeded: Path) -> Iterator[Terminal]:
    opened = Terminal(seeded)
    yield opened
    opened.close()


def test_hostile_samples_leave_the_terminal_clean(terminal: Terminal) -> None:
    terminal.until("Overview")
    terminal.until("coin_flip")
    terminal.press("4")
    terminal.until("correct")
    terminal.press("/")
    terminal.until("verdict:wrong")
    terminal.press("clipboard\r")
    terminal.until("Set the title")
    terminal.press("5")
    terminal.until("fine-tune")
    terminal.press("q")
    assert terminal.end() == 0
    written = re.sub(rb"\x1b\]22;[a-z-]+\x07", b"", terminal.written)  # Textual's own: the pointer's shape
    assert "␛]0;owned␇" in _text(written)
    for sequence in (
        b"\x1b]0;owned",
        b"\x1b]52;",
        b"\x07",
        b"\x08",
        b"\xc2\x9b",
        b"\xc2\x9d",
        b"\x00",
    ):
        assert sequence not in written, sequence
    assert not re.search("[\x80-\x9f\u202a-\u202e\u2066-\u2069]", written.decode("utf-8"))
    assert not re.search(rb"\x1b\][0-9]", written), "an OSC sequence"
    after = written[written.rindex(b"\x1b[?1049l") :]  # back from the alternate screen
    assert b"\x1b[?25h" in after  # the cursor is back
    assert b"Traceback" not in written
    assert termios.tcgetattr(terminal.slave) == terminal.before


def test_a_terminated_monitor_leaves_the_terminal_clean(terminal: Terminal) -> None:
    terminal.until("coin_flip")
    terminal.process.terminate()
    terminal.end()
    assert b"\x1b[?1049l" in terminal.written
    assert termios.tcgetattr(terminal.slave) == terminal.before
