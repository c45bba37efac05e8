"""The monitor on a real terminal (a pty), with hostile samples on the screen."""

from __future__ import annotations

import os
import random
import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.tui.terminal import ROOT, Terminal, left_clean, text_of
from tests.tui.terminals import ENDS, ends


@pytest.fixture
def terminal(seeded: Path) -> Iterator[Terminal]:
    open_selected = Terminal("tui", "--db", str(seeded))
    yield open_selected
    open_selected.close()


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
    assert "␛]0;owned␇" in text_of(written)
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
    left_clean(terminal)


def test_a_terminal_made_tiny_and_large_again_shows_what_fits(terminal: Terminal) -> None:
    terminal.until("coin_flip")
    terminal.press("4")
    terminal.until("correct")
    terminal.resize(20, 5)
    terminal.until("running|down")  # its heartbeat ages: no daemon renews it
    terminal.press("5")
    terminal.resize(120, 40)
    terminal.until("fine-tune")
    terminal.press("q")
    assert terminal.end() == 0
    left_clean(terminal)


def test_a_few_starts_and_ends_of_every_kind(seeded: Path) -> None:
    assert ends(seeded, ENDS, random.Random(0)) == []


def test_a_terminated_monitor_leaves_the_terminal_clean(terminal: Terminal) -> None:
    terminal.until("coin_flip")
    terminal.process.terminate()
    terminal.end()
    left_clean(terminal)


CONFIG = """\
[tasks.coin_flip]
source = "builtin:coin_flip"
answer = "yes_no"
train = 3
dev = 0
test = 2
"""


@contextmanager
def daemon(folder: Path) -> Iterator[subprocess.Popen[bytes]]:
    """A real daemon that has nothing to do."""
    started = subprocess.Popen(
        [sys.executable, "-m", "daemon", "run", "--no-tui"],
        cwd=folder,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )
    try:
        yield started
    finally:
        started.kill()
        started.wait()


def test_a_daemon_that_is_killed_is_a_banner_and_the_next_one_is_picked_up(tmp_path: Path) -> None:
    (tmp_path / "config.toml").write_text(CONFIG)
    watching = Terminal("tui", "--interval", "0.1", folder=tmp_path)
    try:
        watching.until("no state database yet")
        with daemon(tmp_path) as first:
            watching.until("● running")
            first.kill()
            watching.until("the daemon died")
        for screen, words in (
            ("2", "coin_flip"),
            ("6", "session 1\\b"),
            ("1", "Nothing that was answered is lost"),
        ):
            watching.press(screen)
            watching.until(words)
        with daemon(tmp_path):
            watching.until("● running")
            watching.press("6")
            watching.until("session 2\\b")
        watching.press("q")
        assert watching.end() == 0
        left_clean(watching)
    finally:
        watching.close()
