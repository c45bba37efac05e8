from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

from daemon.observe import log as module
from daemon.observe.log import open_log
from state.events import EventRow

HOSTILE = "bad \x1b]0;owned\x07 \u202eevil\nerror   RunFailed: forged\r\x9b2J \ud800 end"


def row(message: str = "started", **data: object) -> EventRow:
    return EventRow(level="info", kind="DaemonStarted", subject="daemon", message=message, data=dict(data))


def lines(path: Path) -> list[dict[str, object]]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").split("\n")[:-1]]


def test_an_event_is_one_json_object_a_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    tell = open_log(tmp_path / "logs" / "daemon.jsonl", loud=False)
    tell(row(boot_id=1, where=tmp_path))
    tell(row("second"))
    first, second = lines(tmp_path / "logs" / "daemon.jsonl")
    assert str(first.pop("at")).endswith("+00:00")
    assert first == {
        **{"level": "info", "kind": "DaemonStarted", "subject": "daemon", "message": "started"},
        **{"boot_id": 1, "where": str(tmp_path)},
    }
    assert second["message"] == "second"
    assert capsys.readouterr().err == ""


def test_hostile_text_stays_on_its_line_and_does_nothing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    tell = open_log(tmp_path / "daemon.jsonl", loud=True)
    tell(row(HOSTILE, reason=HOSTILE, level="another", at=0))
    (found,) = lines(tmp_path / "daemon.jsonl")
    assert "forged" in str(found["message"])
    assert found["at"] != 0
    raw = (tmp_path / "daemon.jsonl").read_bytes()
    assert all(32 <= byte < 127 or byte == 10 for byte in raw)
    said = capsys.readouterr().err
    assert said.count("\n") == 1
    assert not set(said) & set("\x1b\x07\x9b\r\u202e\ud800")
    assert "info    bad" in said


def test_a_closed_terminal_does_not_end_anything(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    class Closed:
        def write(self, text: str) -> int:
            raise BrokenPipeError

    monkeypatch.setattr(sys, "stderr", Closed())
    open_log(None, loud=True)(row())


def test_files_are_rotated_by_size(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "BYTES", 1000)
    monkeypatch.setattr(module, "FILES", 2)
    tell = open_log(tmp_path / "daemon.jsonl", loud=False)
    for number in range(40):
        tell(row(f"event {number}"))
    files = sorted(path.name for path in tmp_path.iterdir())
    assert files == ["daemon.jsonl", "daemon.jsonl.1", "daemon.jsonl.2"]
    assert lines(tmp_path / "daemon.jsonl")[-1]["message"] == "event 39"
    assert all(path.stat().st_size <= 1000 for path in tmp_path.iterdir())
    open_log(None, loud=False)  # closes the files
