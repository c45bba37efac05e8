"""`coterie regrade` on a database that an earlier grader's verdicts stand in."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from daemon.host.lock import hold
from engine.grading import GRADER_VERSIONS
from tests.daemon.site import configure, coterie, query
from tests.state.world import make

ANSWERS = [("yes", 1), ("yes.", 0), ("no", 1)]  # what an earlier grader made of them; gold is yes


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Path]:
    configure(tmp_path, "http://127.0.0.1:9/v1")
    world = make(tmp_path / "state.db")
    found = world.claim(world.plan(rationales=1), 3)
    world.store(found)
    for sample, (answer, correct) in zip(found.samples, ANSWERS, strict=True):
        key = sample.sample_id
        change = "UPDATE sample SET checksum = NULL, answer = ?, verdict = ?, extracted = ? WHERE id = ?"
        world.connection.execute(change, (answer, correct, "maybe", key))
        world.connection.execute("UPDATE grade SET grader = 'careful:0' WHERE sample_id = ?", (key,))
    world.connection.execute("UPDATE plan SET accepted = 2, rejected = 1")
    world.connection.close()
    yield tmp_path


def test_it_shows_what_changes_and_changes_it_when_told_to(folder: Path) -> None:
    shown = coterie(folder, "regrade", "--examples", "1")
    assert shown.returncode == 0, shown.stderr
    assert f"3 by careful:0; graded again by {GRADER_VERSIONS['careful']}" in shown.stdout
    row = next(line for line in shown.stdout.splitlines() if line.startswith("| t "))
    assert [cell.strip() for cell in row.split("|")[1:-1]] == ["t", "3", "0", "1", "1", "1"]
    assert shown.stdout.count("sample ") == 1 and "before maybe" in shown.stdout
    assert "dry run: 2 verdicts would change; --apply stores them" in shown.stdout
    assert query(folder, "SELECT verdict FROM sample ORDER BY id") == [(1,), (0,), (1,)]

    assert "stored: 2 verdicts changed" in coterie(folder, "regrade", "--apply").stdout
    assert query(folder, "SELECT verdict FROM sample ORDER BY id") == [(1,), (1,), (0,)]
    assert query(folder, "SELECT accepted, rejected FROM plan") == [(2, 1)]
    graders = query(folder, "SELECT grader, count(*) FROM grade GROUP BY grader ORDER BY grader")
    assert graders == [("careful:0", 3), (GRADER_VERSIONS["careful"], 3)]

    again = coterie(folder, "regrade", "--apply").stdout
    assert f"3 by {GRADER_VERSIONS['careful']}" in again and "stored: 0 verdicts" in again


def test_it_writes_nothing_while_a_daemon_holds_the_database(folder: Path) -> None:
    with hold(folder / "state.db"):
        done = coterie(folder, "regrade", "--apply")
        assert (done.returncode, "held by a running daemon" in done.stderr) == (3, True)
        assert coterie(folder, "regrade").returncode == 0  # looking is allowed
    assert query(folder, "SELECT DISTINCT grader FROM grade") == [("careful:0",)]


def test_a_task_that_is_not_there_is_refused(folder: Path) -> None:
    done = coterie(folder, "regrade", "--task", "u")
    assert done.returncode == 2 and "--task: unknown task 'u' (tasks: t)" in done.stderr
