from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from state.database import open_reader
from state.views.runs import RunDetail, run_detail
from tui.screens.run_text import paint_compare, paint_curves


@pytest.fixture
def runs(seeded: Path) -> tuple[RunDetail, RunDetail]:
    """Two finished runs; five answers a question were sampled of the first one."""
    connection = open_reader(seeded)
    one, two = run_detail(connection, 1), run_detail(connection, 2)
    connection.close()
    assert one is not None and two is not None
    *others, tested = one.evaluations
    return replace(one, evaluations=(*others, replace(tested, majority_of=5, majority=0.9))), two


def test_a_majority_stands_beside_the_accuracy_on_test(runs: tuple[RunDetail, RunDetail]) -> None:
    one, two = (paint_curves(run, [], 100).plain for run in runs)
    [line] = [line for line in one.splitlines() if "majority" in line]
    assert line.startswith("test ") and line.endswith("80.0 (65.0–95.0) n=20  majority of 5 90.0 %")
    assert "majority" not in two


@pytest.mark.parametrize("width", [40, 100])
def test_majorities_are_compared_where_there_is_one(runs: tuple[RunDetail, RunDetail], width: int) -> None:
    one, two = runs
    [line] = [line for line in paint_compare(one, two, "m", width).plain.splitlines() if "majority" in line]
    assert line.split() in (
        ["test", "majority", "90.0", "%", "of", "5", "–"],
        ["test", "majority:", "90.0", "%", "of", "5", "|", "–"],
    )
    assert "majority" not in paint_compare(two, replace(two, id=9), "m", width).plain
