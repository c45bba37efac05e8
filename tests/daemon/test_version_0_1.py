"""A database of version 0.1 goes on where it was: nothing is bought again, nothing is trained again.

`tests/fixtures/version-0.1.tar.xz` was written by version 0.1 (its configuration is in it): plans of every strategy on
every answer format; run 1 is done; run 2 ended after its daemon was killed, which had seen it start; runs 3 and 4 are queued.
"""

from __future__ import annotations

import sqlite3
import tarfile
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from tests.daemon.site import coterie, query, run_to_end

FIXTURE = Path(__file__).resolve().parents[1] / "fixtures" / "version-0.1.tar.xz"
BOUGHT = 230
DIGESTS = {
    1: "ba4d2bb4c6c4b403980b9841e1bc39d5a41cacd960aafa4a8da703d4ade301e9",
    2: "77486e4a9e206af83f411c78caed8ec4a0a24626017923b84b6dd6189bd3fd20",
    3: "9b6253ba2ef3a82e64db311cfbe67dcfdea76cf0f3f4f6fb7877571a8c744af8",
    4: "ddc6f7514c1d338309e5ccb814e8b1263570c7db80439878c1a26da1efc72c10",
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("old")
    with tarfile.open(FIXTURE) as archive:
        archive.extractall(path, filter="data")
    # Two runs side by side with a thread each: with two threads, one on a busy machine takes ten times as long.
    config = path / "config.toml"
    config.write_text(config.read_text().replace('devices = ["cpu:0"]', 'devices = ["cpu:0", "cpu:1"]'))
    return path


def plans(path: Path) -> list[tuple[Any, ...]]:
    return query(
        path, "SELECT id, name, recipe, wanted, stored, accepted, failed, active FROM plan ORDER BY id"
    )


def runs(path: Path) -> list[tuple[Any, ...]]:
    return query(path, "SELECT id, student, scope, trigger, recipe, digest, state FROM run ORDER BY id")


def test_it_goes_on_and_buys_and_trains_nothing_again(folder: Path) -> None:
    before, trained = plans(folder), runs(folder)
    ended = query(folder, "SELECT ended_at FROM run WHERE id = 1")
    manifests = {run: (folder / "runs" / str(run) / "manifest.jsonl").read_bytes() for run in (1, 2)}
    # Two runs would take the suite half a minute; the manifest of the second is looked at below.
    with closing(sqlite3.connect(folder / "state.db")) as connection, connection:
        connection.execute("UPDATE run SET state = 'stopped' WHERE id = 4")
    code, output = run_to_end(folder, seconds=300)
    assert code == 0, output
    assert plans(folder) == before
    assert query(folder, "SELECT count(*) FROM attempt") == [(BOUGHT,)]
    after = runs(folder)
    assert [run[:6] for run in after] == [run[:6] for run in trained]
    assert {run[0]: run[5] for run in after} == DIGESTS
    assert [run[6] for run in after] == ["done", "done", "done", "stopped"]
    assert query(folder, "SELECT ended_at FROM run WHERE id = 1") == ended
    assert {run: (folder / "runs" / str(run) / "manifest.jsonl").read_bytes() for run in (1, 2)} == manifests
    assert not (folder / "runs" / "2" / "checkpoints").exists(), "run 2 was trained again"


@pytest.mark.parametrize(("run", "student"), [(1, "fine-tune"), (2, "fine-tune-cot"), (4, "joint")])
def test_its_students_read_the_same_rows_to_the_byte(
    folder: Path, tmp_path: Path, run: int, student: str
) -> None:
    """What every strategy brought, on two tasks, hinted rationales left out."""
    written = coterie(
        folder, "export", "dataset", "--student", student, "--card", "-o", str(tmp_path / "rows.jsonl")
    )
    assert written.returncode == 0, written.stderr
    assert DIGESTS[run] in (tmp_path / "README.md").read_text(encoding="utf-8")


def test_its_exports_and_status_are_read(folder: Path) -> None:
    assert coterie(folder, "status").returncode == 0
    lines = coterie(folder, "export", "samples").stdout.splitlines()
    assert len(lines) == query(folder, "SELECT count(*) FROM sample")[0][0]
