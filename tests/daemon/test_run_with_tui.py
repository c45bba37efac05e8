"""`coterie run` on a terminal: the UI here, the daemon in a process of its own, and a question when one leaves."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from daemon.__main__ import main
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
        terminal.until("q leave")  # the question is gone: until then it takes the keys
        terminal.press("q")
        terminal.until("What should happen to it")
        terminal.press("b")
        assert terminal.end("b", "q") == 0
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
        assert terminal.end("s", "q") == 130
        left_clean(terminal)
        assert "stops in order" in text_of(terminal.written)
        assert count(folder, "boot", "ended_at IS NOT NULL") == 2
    finally:
        terminal.close()


def test_a_closed_terminal_stops_the_daemon_in_order(folder: Path) -> None:
    """Nobody said that it should go on. It does so too if the monitor dies of something that it cannot catch."""
    terminal = begun(folder)
    try:
        os.kill(terminal.process.pid, signal.SIGHUP)
        terminal.end()
        assert count(folder, "boot", "ended_at IS NOT NULL AND exit_reason LIKE 'signal%'") == 1
    finally:
        terminal.close()
    terminal = begun(folder, boot=2)
    try:
        os.kill(terminal.process.pid, signal.SIGKILL)
        wait_until("the daemon ends", lambda: count(folder, "boot", "id = 2 AND ended_at IS NOT NULL"))
        assert query(folder, "SELECT exit_reason FROM boot WHERE id = 2") == [
            ("the monitor that started it died",)
        ]
        assert count(folder, "attempt", "outcome IS NULL OR outcome = 'unknown'") == 0
    finally:
        terminal.close()


MISTAKES = (
    ('[tui.keys]\nquite = "x"\n', "tui.keys.quite: unknown binding; did you mean 'quit'?"),
    ('[tui.keys]\nquit = ""\n', "tui.keys.quit: expected a key such as 'x' or 'ctrl+x'"),
    (
        '[tui]\ntheme = "textual-dank"\n',
        "tui.theme: unknown theme 'textual-dank'; did you mean 'textual-dark'?",
    ),
)


def test_a_mistake_about_the_monitor_is_told_before_a_daemon_starts(
    folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def started(*argv: object, **more: object) -> None:
        raise AssertionError("a daemon was started")

    monkeypatch.setattr(subprocess, "Popen", started)
    monkeypatch.chdir(folder)
    for stream in (sys.stdin, sys.stdout):
        monkeypatch.setattr(stream, "isatty", lambda: True)
    monkeypatch.setenv("TERM", "xterm")
    good = (folder / "config.toml").read_text()
    for text, words in MISTAKES:
        (folder / "config.toml").write_text(text + good)
        for command in ("check", "run"):
            assert main([command]) == 2
            assert words in capsys.readouterr().err
    (folder / "config.toml").write_text(good)
    (folder / "logs").write_text("no folder")
    assert main(["run"]) == 2
    assert "logs cannot be made: a file of that name is in the way" in capsys.readouterr().err
    monkeypatch.setenv("TERM", "dumb")
    assert main(["run", "--tui"]) == 2
    assert "--tui: standard input and output are no terminal" in capsys.readouterr().err
    assert not (folder / "state.db").exists()
