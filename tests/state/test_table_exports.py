from __future__ import annotations

from dataclasses import replace

import pytest

from state import table_exports
from state.exports import predictions
from state.run_reports import Predictions, RunReport, report_run, store_predictions
from state.runs import create_run
from state.table_exports import EVALUATIONS, EVENTS, METRICS, PREDICTION_TYPES, RUNS, TABLES
from tests.state.test_runs import NEW, evaluation, metric
from tests.state.world import World, question_rows

TYPES = {"int": int, "float": float, "text": str, "bool": bool}


@pytest.fixture
def trained(world: World) -> World:
    """Two runs of two students; the first was evaluated twice on dev and once on test."""
    world.task("u", question_rows(1, split="test"))
    runs = [NEW, replace(NEW, student="other", scope="u", task_id=2)]
    create_run(world.connection, [replace(run, sample_ids=()) for run in runs])
    report = RunReport(
        run_id=1,
        values={"state": "done", "step": 9},
        metrics=(metric(1), metric(5), metric(9, 0.5)),
        evaluations=(
            *(evaluation(1, "dev", 5, 10, 4), evaluation(1, "dev", 9, 10, 6)),
            *(evaluation(1, "test", 9, 20, 11), evaluation(2, "test", 9, 10, 1)),
        ),
    )
    report_run(world.connection, [report, RunReport(run_id=2, values={}, metrics=(metric(3),))])
    return world


def test_every_row_is_there_in_order_whatever_the_page(
    trained: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = {name: list(table.rows(trained.connection)) for name, table in TABLES.items()}
    assert [(row["run"], row["step"]) for row in whole["metrics"]] == [(1, 1), (1, 5), (1, 9), (2, 3)]
    assert [(row["task"], row["split"], row["correct"]) for row in whole["evaluations"]] == [
        *(("t", "dev", 4), ("t", "dev", 6), ("t", "test", 11), ("u", "test", 1)),
    ]
    assert whole["runs"][0]["settings"] == '{"name":"s"}' and whole["runs"][0]["state"] == "done"
    counts = {name: trained.row(f"SELECT count(*) FROM {name.removesuffix('s')}")[0] for name in TABLES}
    assert {name: len(rows) for name, rows in whole.items()} == counts
    monkeypatch.setattr(table_exports, "PAGE", 1)
    assert {name: list(table.rows(trained.connection)) for name, table in TABLES.items()} == whole


def test_rows_have_the_declared_columns_and_types(trained: World) -> None:
    store_predictions(trained.connection, [Predictions(run_id=1, rows=((1, "test", "x", None, 1, ""),))])
    tables = {name: (table.types, table.rows(trained.connection)) for name, table in TABLES.items()}
    tables["predictions"] = PREDICTION_TYPES, predictions(trained.connection)
    for types, rows in tables.values():
        for row in rows:
            assert list(row) == list(types)
            for name, value in row.items():
                assert value is None or type(value) is TYPES[types[name]], name


def test_rows_of_one_task_or_student(trained: World) -> None:
    of = trained.connection
    assert {row["task"] for row in EVALUATIONS.rows(of, task="u")} == {"u"}
    assert [row["run"] for row in RUNS.rows(of, student="other")] == [2]
    assert [row["run"] for row in METRICS.rows(of, task="u")] == [2]
    assert list(RUNS.rows(of, task="u", student="s")) == []
    assert EVENTS.task is EVENTS.student is None
