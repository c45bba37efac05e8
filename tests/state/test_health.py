from __future__ import annotations

from contextlib import closing
from pathlib import Path

import pytest

from state import health
from state.database import open_writer
from state.errors import StateDamaged
from state.health import copy_to, examine


def made(path: Path, ended_at: int | None) -> Path:
    with closing(open_writer(path)) as writer:
        writer.execute(
            "INSERT INTO boot (id, pid, pid_started, host, version, started_at, ended_at, config)"
            " VALUES (1, 1, 0, '', '', 0, ?, '{}')",
            (ended_at,),
        )
        writer.execute("CREATE INDEX of_events ON event (message)")
        for number in range(200):
            writer.execute(
                "INSERT INTO event (at, level, kind, subject, message, data) VALUES (?, '', '', '', ?, '')",
                (number, f"{number} " + "x" * 500),
            )
    data = bytearray(path.read_bytes())
    start = len(data) - 4096 * 3
    data[start : start + 60] = b"\xa5" * 60
    path.write_bytes(bytes(data))
    return path


@pytest.mark.parametrize("ended_at", [5, None])
def test_the_structure_is_looked_through_at_every_start(tmp_path: Path, ended_at: int | None) -> None:
    assert examine(tmp_path / "none.db") == ""
    path = made(tmp_path / "state.db", ended_at)
    before = path.read_bytes()
    with pytest.raises(StateDamaged, match="was left untouched"):
        examine(path)
    assert path.read_bytes() == before


def test_the_time_for_that_is_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(health, "STEPS", 1)
    assert "too large" in examine(made(tmp_path / "state.db", 5), seconds=1e-9)


def test_a_copy_of_a_damaged_database_is_not_kept(tmp_path: Path) -> None:
    with pytest.raises(StateDamaged):
        copy_to(made(tmp_path / "state.db", None), tmp_path / "copy.db")
    assert [path.name for path in tmp_path.iterdir() if "copy" in path.name] == []
