from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from state.database import open_reader
from state.views.run_differences import settings_that_differ
from state.views.runs import RunDetail, run_detail
from tui.screens.run_text import paint_compare, paint_results


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
    one, two = (paint_results(run, [], 100).plain for run in runs)
    [line] = [line for line in one.splitlines() if "majority" in line]
    assert line.startswith("test ") and line.endswith(
        "80.0 (65.0–95.0) n=20 seed 0  majority of 5 90.0 (69.9–97.2)"
    )
    assert "majority" not in two


@pytest.mark.parametrize("width", [40, 100])
def test_majorities_are_compared_where_there_is_one(runs: tuple[RunDetail, RunDetail], width: int) -> None:
    one, two = runs
    [line] = [line for line in paint_compare(one, two, "m", width).plain.splitlines() if "majority" in line]
    assert line.split() in (
        ["test", "majority", "%", "90.0", "(69.9–97.2)", "of", "5", "–"],
        ["test", "majority", "%:", "90.0", "(69.9–97.2)", "of", "5", "|", "–"],
    )
    assert "majority" not in paint_compare(two, replace(two, id=9), "m", width).plain


def test_every_accuracy_that_is_compared_has_its_interval_n_and_seed(
    runs: tuple[RunDetail, RunDetail],
) -> None:
    shown = [line.split() for line in paint_compare(*runs, "m", 100).plain.splitlines()]
    assert ["test", "accuracy", "%", "80.0", "(58.4–91.9)", "55.0", "(34.2–74.2)"] in shown
    assert ["test", "n,", "seed", "20,", "0", "20,", "0"] in shown
    assert ["best", "dev", "accuracy", "%", "80.0", "(49.0–94.3)", "70.0", "(39.7–89.2)"] in shown
    assert ["best", "dev", "n,", "seed", "10,", "0", "10,", "0"] in shown
    against = paint_results(runs[0], [], 100).plain
    assert "55.0 (34.2–74.2), n = 20, seed 0" in against and "85.0 (64.0–94.8), n = 20" in against


def test_two_runs_differ_as_coterie_diff_says(runs: tuple[RunDetail, RunDetail]) -> None:
    one = replace(
        runs[0], spec={"student": {"name": "a", "training": {"epochs": 3, "seed": 1}, "tasks": ["x"]}}
    )
    two = replace(
        runs[1], spec={"student": {"name": "b", "training": {"epochs": 5, "seed": 2}, "tasks": ["x"]}}
    )
    assert settings_that_differ(one, two) == [("training.epochs", "3", "5")]
    shown = paint_compare(one, two, "m", 100, marked=False).plain
    assert "training.epochs" in shown and f"run {two.id}\n" in shown and "(marked)" not in shown
