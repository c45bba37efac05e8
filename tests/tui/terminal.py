"""A program on a real terminal (a pty), and every byte that it wrote."""

from __future__ import annotations

import fcntl
import os
import pty
import re
import select
import signal
import struct
import subprocess
import sys
import termios
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PATIENCE = 60.0  # a limit for a broken monitor, not a wait
AGAIN = 3.0


def _controlling() -> None:
    """Makes standard input the controlling terminal, so that its signals arrive."""
    fcntl.ioctl(0, termios.TIOCSCTTY, 0)


class Terminal:
    """A monitor on a pty, and every byte that it wrote."""

    def __init__(self, *arguments: str, folder: Path | None = None) -> None:
        self.master, self.slave = pty.openpty()
        fcntl.ioctl(self.slave, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 100, 0, 0))
        self.before = termios.tcgetattr(self.slave)
        self.written = b""
        self.process = subprocess.Popen(
            [sys.executable, "-m", *arguments],
            cwd=folder or ROOT,
            stdin=self.slave,
            stdout=self.slave,
            stderr=self.slave,
            start_new_session=True,
            preexec_fn=_controlling,
            env={**os.environ, "TERM": "xterm-256color", "PYTHONPATH": str(ROOT)},
        )

    def until(self, pattern: str) -> None:
        """Reads until what was written since the last time matches."""
        start, deadline = len(self.written), time.monotonic() + PATIENCE
        while not re.search(pattern, text_of(self.written[start:])):
            assert time.monotonic() < deadline, f"no {pattern!r} in {text_of(self.written[start:])[-500:]!r}"
            assert self.process.poll() is None, text_of(self.written)[-3000:]
            self._read(0.5)

    def resize(self, width: int, height: int) -> None:
        """As a person drags the window's corner."""
        fcntl.ioctl(self.slave, termios.TIOCSWINSZ, struct.pack("HHHH", height, width, 0, 0))
        os.killpg(self.process.pid, signal.SIGWINCH)

    def press(self, keys: str) -> None:
        os.write(self.master, keys.encode())

    def end(self, answer: str = "", ask: str = "") -> int:
        """Its exit code. While it does not end, `answer` and `ask` are pressed in turn: on a busy machine a key can come before its question."""
        begun, pressed = time.monotonic(), 0
        while self.process.poll() is None:
            waited = time.monotonic() - begun
            assert waited < PATIENCE, f"it does not end: {text_of(self.written)[-500:]!r}"
            self._read(0.1)
            if answer and waited > AGAIN * (pressed + 1):
                self.press((answer, ask)[pressed % 2])
                pressed += 1
        while self._read(0.0):
            pass
        return self.process.returncode

    def read_for(self, seconds: float) -> None:
        """Takes what it writes for a while."""
        deadline = time.monotonic() + seconds
        while (left := deadline - time.monotonic()) > 0:
            self._read(left)

    def _read(self, timeout: float) -> bool:
        ready = select.select([self.master], [], [], timeout)[0]
        if ready:
            try:
                self.written += os.read(self.master, 65536)
            except OSError:  # nothing holds the other side any more
                return False
        return bool(ready)

    def close(self) -> None:
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        os.close(self.master)
        os.close(self.slave)


def text_of(written: bytes) -> str:
    """Without colours and cursor moves."""
    return re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", written.decode("utf-8", "replace"))


def left_clean(terminal: Terminal) -> None:
    """What must hold however a monitor ended in order: no traceback, the screen and the cursor are back."""
    assert b"Traceback" not in terminal.written, text_of(terminal.written)[-3000:]
    assert termios.tcgetattr(terminal.slave) == terminal.before
    if b"\x1b[?1049h" in terminal.written:
        after = terminal.written[terminal.written.rindex(b"\x1b[?1049h") :]
        assert b"\x1b[?1049l" in after
        assert b"\x1b[?25h" in after[after.rindex(b"\x1b[?1049l") :]
