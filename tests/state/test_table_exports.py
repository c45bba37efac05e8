from __future__ import annotations

from dataclasses import replace

import pytest

from state import table_exports
from state.enums import Outcome
from state.exports import predictions, samples
from state.outcomes import SampleEnd, SampleState
from state.run_reports import Predictions, RunReport, report_run, store_predictions
from state.runs import create_run
from state.table_exports import ATTEMPTS, EVALUATIONS, EVENTS, METRICS, PREDICTION_TYPES, RUNS, TABLES
from tests.state.test_runs import NEW, evaluation, metric
from tests.state.world import RECIPE, World, ending, question_rows, stored

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


def test_attempts_have_everything_that_was_paid_for(world: World) -> None:
    one, other = world.claim(world.plan(), 2).samples
    world.record(ending(one, Outcome.TRANSIENT, reason="busy", status=503, raw=b'{"error": 1}'))
    world.record(ending(one, Outcome.UNKNOWN, attempt=world.open_again(one), unknown_micros=9))
    world.record(stored(one, attempt=world.open_again(one), cost=1_500, raw='{"text": "é"}'.encode()))
    permanent = ending(other, Outcome.PERMANENT, cost=20, raw=b"\xff no", finish_reason="length")
    world.record(replace(permanent, end=SampleEnd(state=SampleState.FAILED, reason="refused")))
    rows = list(ATTEMPTS.rows(world.connection))
    assert [(row["sample_id"], row["sample_state"], row["outcome"], row["body"]) for row in rows] == [
        (1, "stored", "transient", '{"error": 1}'),
        (2, "failed", "permanent", "\N{REPLACEMENT CHARACTER} no"),
        (1, "stored", "unknown", None),
        (1, "stored", "ok", '{"text": "é"}'),
    ]
    assert [row["cost_usd"] for row in rows] == [0.0, 2e-05, 0.0, 0.0015]
    assert sum(row["cost_usd"] for row in rows) == pytest.approx(
        world.row("SELECT sum(spent_micros) FROM teacher")[0] / 1e6
    )
    assert [(row["plan"], row["fingerprint"], row["request"]) for row in rows] == [
        ("p", RECIPE, row["attempt"]) for row in rows
    ]


def test_samples_of_a_former_plan_are_told_apart(world: World) -> None:
    world.store(world.claim(world.plan(), 1))
    world.store(world.claim(world.plan(recipe="later"), 1))
    assert [(row["plan"], row["fingerprint"]) for row in samples(world.connection)] == [
        ("p", RECIPE),
        ("p", "later"),
    ]
