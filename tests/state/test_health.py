from __future__ import annotations

import shutil
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from state import health
from state.database import open_writer
from state.errors import StateDamaged
from state.health import copy_to, examine
from state.sqlite import Connection


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


def lived(path: Path, sessions: int, *, started_at: int = 0, checkpoint: bool = True) -> None:
    """A database whose daemon was killed in its newest session: its log is still there."""
    alive = path.with_name("alive.db")
    with closing(open_writer(alive)) as writer:
        for number in range(sessions):
            begin(writer, number + 1, started_at + number)
        if checkpoint:  # what the log begins with from now on is the next heartbeat
            writer.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        writer.execute("UPDATE pulse SET at = at + 1")
        for suffix in ("", "-wal"):
            shutil.copy(f"{alive}{suffix}", f"{path}{suffix}")
    alive.unlink()


def begin(writer: Connection, session: int, started_at: int) -> None:
    writer.execute(
        "INSERT INTO boot (id, pid, pid_started, host, version, started_at, config) VALUES (?, 1, 0, '', '', ?, '{}')",
        (session, started_at),
    )
    writer.execute(
        "INSERT INTO pulse (id, boot_id, at, state, data) VALUES (1, ?, 0, '', '{}')"
        " ON CONFLICT (id) DO UPDATE SET boot_id = excluded.boot_id",
        (session,),
    )


@pytest.mark.parametrize("checkpoint", [True, False])
def test_the_log_of_a_killed_daemon_is_taken_for_its_own(tmp_path: Path, checkpoint: bool) -> None:
    lived(path := tmp_path / "state.db", 2, checkpoint=checkpoint)
    assert examine(path) == ""
    with closing(open_writer(path)) as writer:
        assert writer.execute("SELECT at FROM pulse").fetchone() == (1,)


@pytest.mark.parametrize(
    "of",
    [
        {"sessions": 3},  # a later life of the same database, whose session it does not know
        {"sessions": 2, "started_at": 7, "checkpoint": False},  # another database's, with its sessions
    ],
    ids=str,
)
def test_a_log_that_belongs_to_another_database_is_refused_and_both_are_left_untouched(
    tmp_path: Path, of: dict[str, Any]
) -> None:
    (tmp_path / "other").mkdir()
    lived(path := tmp_path / "state.db", 2)
    lived(tmp_path / "other" / "state.db", **of)
    log = path.with_name("state.db-wal")
    shutil.copy(tmp_path / "other" / "state.db-wal", log)
    before = path.read_bytes(), log.read_bytes()
    with pytest.raises(StateDamaged, match=r"state.db-wal.* does not belong to .*state.db"):
        examine(path)
    assert (path.read_bytes(), log.read_bytes()) == before
    log.unlink()
    assert examine(path) == "", "without it the database is whole"
