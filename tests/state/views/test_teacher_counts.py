from __future__ import annotations

from pathlib import Path

import pytest

from state.database import open_reader, open_writer
from state.views import teacher_counts as module
from state.views.teacher_counts import TeacherCounts, continue_counting
from tests.tui.seeded import seed


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "state.db"
    seed(path)
    return path


def counted(path: Path) -> dict[int, int]:
    connection = open_reader(path)
    found = dict(
        connection.execute("SELECT teacher_id, count(*) FROM sample WHERE verdict = 1 GROUP BY teacher_id")
    )
    connection.close()
    return found


def test_a_teachers_correct_samples_are_counted_in_windows(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "WINDOW", 100)
    expected = counted(path)
    connection = open_reader(path)
    found, steps = TeacherCounts(), 0
    while not found.whole or not steps:
        assert found.usd_per_correct(1) is None  # not before all are counted
        found = continue_counting(connection, found, 0.0)
        steps += 1
    assert steps > 3
    assert {key: found.correct(key) for key in expected} == expected
    spent = connection.execute("SELECT spent_micros FROM teacher WHERE id = 1").fetchone()[0]
    assert spent > 0
    assert found.usd_per_correct(1) == pytest.approx(spent / 1e6 / expected[1])
    connection.close()


def test_verdicts_that_come_late_are_counted_once(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "WINDOW", 40)
    writer = open_writer(path)
    writer.execute(
        "UPDATE sample SET state = 'open', verdict = NULL WHERE id % 7 = 0"
    )  # long ago, as in a batch
    connection = open_reader(path)
    found = continue_counting(connection, TeacherCounts(), 5.0)
    assert found.whole
    assert {key: found.correct(key) for key in counted(path)} == counted(path)
    before = sum(counted(path).values())
    writer.execute("UPDATE sample SET state = 'stored', verdict = 1 WHERE id % 14 = 0")
    writer.execute("UPDATE sample SET state = 'failed' WHERE id % 7 = 0 AND id % 14 <> 0")
    writer.close()
    for _ in range(len(found.waiting) // 40 + 1):  # so many readings look at all that wait
        found = continue_counting(connection, found, 5.0)
    connection.close()
    assert {key: found.correct(key) for key in counted(path)} == counted(path)
    assert sum(counted(path).values()) > before


def test_nothing_accepted_has_no_price(tmp_path: Path) -> None:
    open_writer(tmp_path / "state.db").close()
    connection = open_reader(tmp_path / "state.db")
    found = continue_counting(connection, TeacherCounts(), 1.0)
    connection.close()
    assert found.whole
    assert found.usd_per_correct(1) is None
