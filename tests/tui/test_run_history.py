from __future__ import annotations

import os
from pathlib import Path

from tui.screens.run_history import LOG_LINES, log_tail


def test_only_the_end_of_a_long_log_is_read(tmp_path: Path) -> None:
    (tmp_path / "runs/7").mkdir(parents=True)
    (tmp_path / "runs/7/log.txt").write_text("".join(f"line {n}\n" for n in range(100_000)))
    found = log_tail(tmp_path, "runs/7").split("\n")
    assert found[-1] == "line 99999"
    assert len(found) <= LOG_LINES


def test_a_progress_bar_shows_its_last_state(tmp_path: Path) -> None:
    (tmp_path / "log.txt").write_bytes(b"load 1%\rload 50%\rload 100%\r\nnext \xff\n")
    assert log_tail(tmp_path, ".") == "load 100%\nnext \ufffd"


def test_no_log_is_said_and_a_pipe_is_not_waited_for(tmp_path: Path) -> None:
    assert "no log at" in log_tail(tmp_path, "runs/1")
    assert log_tail(tmp_path, "") == "no log yet"
    os.mkfifo(tmp_path / "log.txt")
    assert "is not a regular file" in log_tail(tmp_path, ".")
