from __future__ import annotations

from pathlib import Path

import pytest

from state.database import open_reader
from state.views.task_texts import NEWEST, newest_texts
from tests.state.world import make


def test_the_newest_answers_of_a_task_are_told_whatever_their_verdict(tmp_path: Path) -> None:
    world = make(tmp_path / "state.db", questions=NEWEST)
    plan = world.plan(rationales=2)
    reader = open_reader(world.path)
    assert newest_texts(reader, world.tasks["t"]).samples == 0
    world.store(world.claim(plan, NEWEST // 2), correct=False)
    world.store(world.claim(plan, 3 * NEWEST // 4), correct=True)
    world.store(world.claim(plan, NEWEST // 4, teacher="b"), correct=False)
    found = newest_texts(reader, world.tasks["t"])
    assert found.samples == NEWEST and found.newest == world.row("SELECT max(id) FROM sample")[0]
    right = NEWEST - NEWEST // 4
    assert dict(found.teachers) == {"a": (right, right), "b": (0, NEWEST // 4)}
    world.connection.execute("UPDATE sample SET rationale = 'one two three four' WHERE replicate = 0")
    world.connection.execute("UPDATE sample SET rationale = 'one two five six' WHERE replicate = 1")
    found = newest_texts(reader, world.tasks["t"])
    assert found.questions == 12 and found.distance == pytest.approx(0.8)
    reader.close()
    world.connection.close()
