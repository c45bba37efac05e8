from __future__ import annotations

from dataclasses import replace

from state.results import read_results
from state.runs import RunChange, RunReport, change_run, create_run, report_run
from state.views.runs import run_detail
from tests.state.test_runs import NEW, evaluation
from tests.state.world import World, question_rows, stored


def test_nothing_yet_is_a_result_too(world: World) -> None:
    found = read_results(world.connection)
    assert (found.plans, found.runs, found.failed, found.spent_usd, found.boots) == ((), (), (), 0.0, 1)
    assert [(task.name, task.train, task.questions) for task in found.tasks] == [("t", 3, ())]


def test_plans_tell_what_they_cover(world: World) -> None:
    world.task("t", [*question_rows(3), *question_rows(2, split="test", start=3, gold="no")])
    plan = world.plan(rationales=2)
    found = world.claim(plan, 6).samples
    verdicts = [True, False, False, True, False]  # q0, q1, q2, q0, q1
    world.record(*(stored(each, correct=value) for each, value in zip(found, verdicts, strict=False)))
    results = read_results(world.connection)
    (row,) = results.plans
    assert (row.wanted, row.stored, row.accepted, row.rejected, row.failed) == (6, 5, 2, 3, 0)
    assert (row.covered, row.questions) == (1, 3)
    assert row.spent_usd == results.spent_usd == 35e-6
    assert results.tasks[0].questions == (("question q3?", "no"), ("question q4?", "no"))


def test_finished_runs_with_their_best_dev_and_failed_ones_with_their_reason(world: World) -> None:
    world.plan()
    create_run(
        world.connection, [replace(NEW, sample_ids=(), trigger=trigger) for trigger in ("1", "2", "3")]
    )
    evaluations = (
        evaluation(1, "dev", 5, 10, 4),
        evaluation(1, "dev", 9, 10, 6),
        (*evaluation(1, "test", 9, 20, 11)[:-2], 5, 0.65),
    )
    values = {"state": "done", "directory": "runs/1", "started_at": 1000, "ended_at": 4500}
    report_run(world.connection, [RunReport(run_id=1, values=values, evaluations=evaluations)])
    report_run(world.connection, [RunReport(run_id=2, values={"state": "training"}, evaluations=evaluations)])
    change_run(world.connection, [RunChange(run_id=3, values={"state": "failed", "error": None})])
    found = read_results(world.connection)
    (run,) = found.runs
    assert (run.run_id, run.n, run.correct, run.accuracy, run.dev_accuracy) == (1, 20, 11, 0.55, 0.6)
    assert (run.majority_of, run.majority) == (5, 0.65)
    detail = run_detail(world.connection, 1)
    assert detail is not None
    assert [(each.majority_of, each.majority) for each in detail.evaluations] == [
        *[(None, None)] * 2,
        (5, 0.65),
    ]
    assert (run.seconds, run.drops, run.directory) == (3.5, {"wrong answer": 1}, "runs/1")
    assert found.failed == ((3, "s", "t", ""),)


def test_what_left_the_configuration_is_not_shown(world: World) -> None:
    world.plan()
    create_run(world.connection, [replace(NEW, sample_ids=())])
    report_run(
        world.connection,
        [RunReport(run_id=1, values={"state": "done"}, evaluations=(evaluation(1, "test", 1, 2, 1),))],
    )
    world.connection.execute("UPDATE task SET active = 0")
    world.connection.execute("UPDATE plan SET active = 0")
    found = read_results(world.connection)
    assert (found.tasks, found.plans, found.runs) == ((), (), ())
