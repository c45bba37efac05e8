from __future__ import annotations

from dataclasses import replace

import pytest

from state.run_reports import Predictions, store_predictions
from state.runs import create_run
from state.views.paired import paired
from tests.state.test_runs import NEW
from tests.state.world import World, question_row, question_rows


def test_two_runs_question_by_question(world: World) -> None:
    world.task("t", [*question_rows(6, split="test"), question_row("d", split="dev")])
    ids = [
        key for (key,) in world.rows("SELECT id FROM question WHERE active = 1 ORDER BY split DESC, position")
    ]
    create_run(world.connection, [replace(NEW, sample_ids=()), replace(NEW, student="o", sample_ids=())])
    for run, marks in ((1, "++--+"), (2, "+--+- ")):
        answers = [
            (ids[at], "test", "…", f"{run}.{at}", int(mark == "+"), "r")
            for at, mark in enumerate(marks)
            if mark != " "
        ]
        rows = (*answers, (ids[6], "dev", "…", None, run - 1, "r"))
        store_predictions(world.connection, [Predictions(run_id=run, rows=rows)])
    found = paired(world.connection, 1, 2)
    assert (found.both, found.won, found.lost, found.neither, found.n) == (1, 2, 1, 1, 5)
    assert found.points == pytest.approx(1 / 5) and found.p == 1.0
    assert [(row.key, row.word, row.own, row.other) for row in found.page] == [
        ("q1", "won", "1.1", "2.1"),
        ("q3", "lost", "1.3", "2.3"),
        ("q4", "won", "1.4", "2.4"),
        ("q2", "both wrong", "1.2", "2.2"),
        ("q0", "both correct", "1.0", "2.0"),
    ]
    turned = paired(world.connection, 2, 1, differing=True, limit=2)
    assert (turned.won, turned.lost) == (1, 2)
    assert [(row.key, row.word) for row in turned.page] == [("q3", "won"), ("q1", "lost")]


def test_runs_without_common_questions(world: World) -> None:
    found = paired(world.connection, 1, 9)
    assert (found.n, found.points, found.p, found.page) == (0, 0.0, 1.0, ())
