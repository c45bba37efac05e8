from __future__ import annotations

import json
from dataclasses import replace

import pytest

from state import sqlite
from state.enums import RunState
from state.run_reports import Predictions, RunReport, report_run, results_on_test, store_predictions
from state.runs import (
    NewRun,
    RunEnd,
    RunRequeue,
    RunSettings,
    RunStart,
    TaskInfo,
    create_run,
    end_run,
    finished_before,
    latest_run,
    rename_run,
    requeue_run,
    start_run,
    stored_runs,
    unfinished,
)
from tests.state.world import World, question_rows

NEW = NewRun(
    student="s",
    task_id=1,
    scope="t",
    trigger="400",
    fingerprint="r",
    method="fine-tune-cot",
    base="builtin:nano",
    seed=3,
    zero_stage=2,
    priority=0,
    digest="d",
    questions=2,
    rows=2,
    sample_ids=(1, 2),
    drops={"wrong answer": 1},
    settings=RunSettings(student={"name": "s"}, tasks=(TaskInfo(id=1, name="t", answer_format="yes_no"),)),
)


START = RunStart(
    run_id=1,
    directory="runs/1",
    device="cpu:0",
    pid=5,
    pid_started=1.5,
    boot_id=1,
    tries=1,
    started_at=7,
)


@pytest.fixture
def stocked(world: World) -> World:
    world.store(world.claim(world.plan(), 3))
    return world


def metric(step: int, loss: float = 1.0) -> tuple[object, ...]:
    return (step, 10, 0.5, loss, 1e-3, None, 100.0, None, None)


def evaluation(task: int, split: str, step: int, n: int, correct: int) -> tuple[object, ...]:
    return (task, split, step, 1.0, n, correct, correct / n, 0.0, 1.0, 3, 10, None, None, None, None, None)


def test_a_trigger_makes_one_run_with_its_manifest(stocked: World) -> None:
    connection = stocked.connection
    assert create_run(connection, [NEW, NEW, replace(NEW, trigger="complete")]) == [1, None, 2]
    assert create_run(connection, [NEW]) == [None]
    assert stocked.rows("SELECT sample_id FROM run_sample WHERE run_id = 1") == [(1,), (2,)]
    found = [(run.name, run.scope, run.trigger, run.fingerprint) for run in stored_runs(connection)]
    assert found == [("s", "t", "400", "r"), ("s", "t", "complete", "r")]
    rename_run(connection, [(1, "other")])
    renamed, _ = stored_runs(connection)
    assert (renamed.name, renamed.student["name"]) == ("other", "other")
    rename_run(connection, [(1, "s")])
    connection.execute("UPDATE run SET spec = ? WHERE id = 1", (NEW.settings.encode(),))
    (row,) = stocked.rows("SELECT state, samples, questions, drops, spec, digest, seed FROM run WHERE id = 1")
    assert row == ("queued", 2, 2, json.dumps(NEW.drops), NEW.settings.encode(), "d", 3)


def test_a_manifest_with_an_unknown_sample_makes_no_run(stocked: World) -> None:
    with pytest.raises(sqlite.IntegrityError, match="FOREIGN KEY"):
        create_run(stocked.connection, [replace(NEW, sample_ids=(1, 999))])


def test_runs_start_by_priority_and_age_and_ended_ones_not_at_all(stocked: World) -> None:
    connection = stocked.connection
    create_run(connection, [replace(NEW, trigger=str(number), priority=number == 3) for number in range(6)])
    start_run(connection, [replace(START, run_id=1)])
    end_run(
        connection,
        [
            RunEnd(run_id=2, state=RunState.DONE),
            RunEnd(run_id=3, state=RunState.FAILED, error="why \ud800"),
        ],
    )
    found = unfinished(connection)
    assert [row.id for row in found] == [4, 1, 5, 6]
    assert (found[1].state, found[1].pid, found[1].settings) == (RunState.STARTING, 5, NEW.settings)
    assert stocked.row("SELECT error FROM run WHERE id = 3") == ("why \ufffd",)


def test_a_step_that_comes_again_replaces_itself(stocked: World) -> None:
    connection = stocked.connection
    create_run(connection, [NEW])
    report_run(
        connection, [RunReport(run_id=1, values={"step": 3}, metrics=(metric(1), metric(2), metric(3)))]
    )
    report_run(connection, [RunReport(run_id=1, values={"step": 4}, metrics=(metric(3, 0.5), metric(4)))])
    assert stocked.rows("SELECT step, loss FROM metric") == [(1, 1.0), (2, 1.0), (3, 0.5), (4, 1.0)]
    assert stocked.row("SELECT step FROM run") == (4,)


def test_a_runs_accuracy_is_that_on_test_over_all_its_tasks(stocked: World) -> None:
    connection = stocked.connection
    stocked.task("u", question_rows(1))
    create_run(connection, [NEW])
    report_run(connection, [RunReport(run_id=1, values={}, evaluations=(evaluation(1, "dev", 5, 10, 9),))])
    assert stocked.row("SELECT accuracy FROM run") == (None,)
    tests = (evaluation(1, "test", 5, 10, 9), evaluation(2, "test", 5, 30, 1))
    report_run(connection, [RunReport(run_id=1, values={}, evaluations=tests[:1])])
    report_run(connection, [RunReport(run_id=1, values={}, evaluations=tests[1:])])
    report_run(connection, [RunReport(run_id=1, values={}, evaluations=tests)])
    assert stocked.row("SELECT accuracy FROM run") == (0.25,)
    assert stocked.row("SELECT count(*) FROM evaluation") == (3,)


def test_predictions_are_replaced_as_a_whole(stocked: World) -> None:
    connection = stocked.connection
    create_run(connection, [NEW])
    rows = ((1, "test", "text \ud800", "yes", 1, "r"), (2, "test", "b", None, 0, "r"))
    store_predictions(connection, [Predictions(run_id=1, rows=rows)])
    store_predictions(connection, [Predictions(run_id=1, rows=rows[:1])])
    assert stocked.rows("SELECT question_id, text FROM prediction") == [(1, "text \ufffd")]


def test_a_run_is_started_queued_again_and_ended(stocked: World) -> None:
    connection = stocked.connection
    create_run(connection, [NEW])
    columns = "SELECT state, phase, pid, tries, error, eta_s, started_at, ended_at IS NULL FROM run"
    start_run(connection, [START])
    assert stocked.row(columns) == ("starting", "starting", 5, 1, None, None, 7, 1)
    end_run(connection, [RunEnd(run_id=1, state=RunState.FAILED, error="why")])
    assert stocked.row(columns) == ("failed", "starting", None, 1, "why", None, 7, 0)
    split = replace(NEW.settings, splits=4, counted=9)
    requeue_run(connection, [RunRequeue(run_id=1, tries=0, settings=split)])
    assert stocked.row(columns) == ("queued", "starting", None, 0, None, None, 7, 1)
    assert unfinished(connection)[0].settings == split
    assert json.loads(stocked.row("SELECT spec FROM run")[0]) == {
        "student": {"name": "s"},
        "tasks": [[1, "t", "yes_no"]],
        "plans": [],
        "counted": 9,
        "pieces": 4,
    }
    requeue_run(connection, [RunRequeue(run_id=1, tries=2)])
    assert unfinished(connection)[0].settings == split
    end_run(connection, [RunEnd(run_id=1, state=RunState.DONE)])
    assert stocked.row(columns) == ("done", "", None, 2, None, 0.0, 7, 0)


def test_settings_of_an_older_version_are_read(stocked: World) -> None:
    assert RunSettings.decode('{"student": {"name": "s"}, "tasks": [], "plans": [3]}') == RunSettings(
        student={"name": "s"}, plans=(3,)
    )


def test_earlier_runs_of_a_student(stocked: World) -> None:
    connection = stocked.connection
    new = [replace(NEW, trigger=str(number), rows=0 if number == 3 else 2) for number in range(4)]
    create_run(connection, [*new, replace(NEW, scope="u"), replace(NEW, base="b", trigger="5")])
    latest = latest_run(connection, "s", "t", "r")
    assert latest is not None and latest.id == 6
    assert latest_run(connection, "s", "t", "another") is None
    end_run(connection, [RunEnd(run_id=number, state=RunState.DONE) for number in (1, 2, 5, 6)])
    third = next(run for run in unfinished(connection) if run.id == 3)
    assert [run.id for run in finished_before(connection, third)] == [2, 1]


def test_results_on_test_are_those_of_each_task(stocked: World) -> None:
    connection = stocked.connection
    stocked.task("u", question_rows(1))
    create_run(connection, [NEW])
    found = (evaluation(1, "dev", 5, 10, 9), evaluation(1, "test", 5, 10, 4), evaluation(2, "test", 5, 30, 3))
    report_run(connection, [RunReport(run_id=1, values={}, evaluations=found)])
    assert [(each.task, each.accuracy, each.n) for each in results_on_test(connection, 1)] == [
        ("t", 0.4, 10),
        ("u", 0.1, 30),
    ]
