"""`coterie run` on a terminal: the UI here, the daemon in a process of its own, and a question when one leaves."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from daemon.host.processes import start_time
from tests.daemon.site import configure, coterie, count, query, teacher, wait_until
from tests.tui.terminal import Terminal, left_clean, text_of


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Path]:
    with teacher(tmp_path) as school:
        configure(tmp_path, school.url, rationales=400, train=200, teacher="concurrency = 1")
        yield tmp_path


def daemon_pid(folder: Path) -> int:
    return int(query(folder, "SELECT pid FROM boot ORDER BY id DESC LIMIT 1")[0][0])


def begun(folder: Path, boot: int = 1) -> Terminal:
    """A run on a terminal, at work."""
    terminal = Terminal("daemon", "run", folder=folder)
    terminal.until("Overview")
    wait_until("it is at work", lambda: count(folder, "pulse", f"state = 'running' AND boot_id = {boot}"))
    terminal.until("coin_flip")
    return terminal


def test_leaving_asks_and_the_daemon_goes_on_in_the_background_or_is_stopped(folder: Path) -> None:
    terminal = begun(folder)
    try:
        terminal.press("q")
        terminal.until("What should happen to it")
        terminal.press("n")  # stay
        terminal.until("q quit")  # the question is gone: until then it takes the keys
        terminal.press("q")
        terminal.until("What should happen to it")
        terminal.press("b")
        assert terminal.end() == 0
        left_clean(terminal)
        assert "keeps running in the background" in text_of(terminal.written)
        pid = daemon_pid(folder)
        assert start_time(pid) is not None
        stored = count(folder, "sample", "state = 'stored'")
        wait_until("it samples on", lambda: count(folder, "sample", "state = 'stored'") > stored)
        assert coterie(folder, "stop", "--wait", "30").returncode == 0
        wait_until("it ended", lambda: start_time(pid) is None)
        assert count(folder, "boot", "ended_at IS NOT NULL") == 1
    finally:
        terminal.close()
    terminal = begun(folder, boot=2)
    try:
        terminal.press("q")
        terminal.until("What should happen to it")
        terminal.press("s")
        assert terminal.end() == 130
        left_clean(terminal)
        assert "stops in order" in text_of(terminal.written)
        assert count(folder, "boot", "ended_at IS NOT NULL") == 2
    finally:
        terminal.close()


def test_a_closed_terminal_stops_the_daemon_in_order(folder: Path) -> None:
    """Nobody said that it should go on."""
    terminal = begun(folder)
    try:
        os.kill(terminal.process.pid, signal.SIGHUP)
        terminal.end()
        assert count(folder, "boot", "ended_at IS NOT NULL AND exit_reason LIKE 'signal%'") == 1
    finally:
        terminal.close()
