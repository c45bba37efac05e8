from __future__ import annotations

import json
from dataclasses import replace

from state.database import now_ms
from state.enums import Outcome, RunState, SampleState
from state.outcomes import SampleEnd
from state.results import StoredAnswer, read_results, read_test_answers
from state.run_reports import Predictions, RunReport, report_run, store_predictions
from state.runs import RunEnd, RunSettings, create_run, end_run
from state.views.runs import run_detail
from tests.state.test_runs import NEW, evaluation
from tests.state.world import World, ending, question_rows, stored


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
        (*evaluation(1, "test", 9, 20, 11)[:-5], 5, 0.65, 0.9, 0.75, "[0.5, 0.6]")
        + (None, None, None, None, '{"answer": {"n": 20}}'),
    )
    values = {"state": "done", "directory": "runs/1", "started_at": 1000, "ended_at": 4500}
    report_run(world.connection, [RunReport(run_id=1, values=values, evaluations=evaluations)])
    report_run(world.connection, [RunReport(run_id=2, values={"state": "training"}, evaluations=evaluations)])
    end_run(world.connection, [RunEnd(run_id=3, state=RunState.FAILED)])
    found = read_results(world.connection)
    (run,) = found.runs
    assert (run.run_id, run.n, run.correct, run.accuracy, run.dev_accuracy) == (1, 20, 11, 0.55, 0.6)
    assert (run.majority_of, run.majority) == (5, 0.65)
    assert (run.correct_format, run.complete, run.repetitions) == (0.9, 0.75, (0.5, 0.6))
    assert run.formats == {"answer": {"n": 20}}
    detail = run_detail(world.connection, 1)
    assert detail is not None
    assert [(each.majority_of, each.majority) for each in detail.evaluations] == [
        *[(None, None)] * 2,
        (5, 0.65),
    ]
    assert (run.seconds, run.drops, run.directory) == (3.5, {"wrong answer": 1}, "runs/1")
    assert found.failed == ((3, "s", "t", ""),)


def test_a_plan_that_shares_its_samples_says_what_they_cost_whoever_paid(world: World) -> None:
    many = world.plan("many", rationales=2)
    world.plan("few", rationales=1)
    world.store(world.claim(many, 6), cost=7)
    world.connection.execute("UPDATE sample SET prompt_tokens = 5, completion_tokens = 2 * id")
    wide, narrow = read_results(world.connection).plans
    assert (wide.spent_usd, wide.sampled_usd, wide.usd_per_correct) == (42e-6, 42e-6, 7e-6)
    assert (narrow.accepted, narrow.spent_usd, narrow.sampled_usd) == (3, 0.0, 21e-6)
    assert narrow.usd_per_correct == 7e-6
    own = "SELECT sum(prompt_tokens + completion_tokens) FROM sample WHERE replicate < ?"
    assert (wide.tokens, narrow.tokens) == (
        world.row(own, 2)[0],
        world.row(own, 1)[0],
    ) and wide.tokens != narrow.tokens


def test_why_samples_were_given_up_the_commonest_first(world: World) -> None:
    found = world.claim(world.plan(), 5).samples
    reasons = ("too long", "refused", "too long")
    ends = [SampleEnd(state=SampleState.FAILED, reason=reason) for reason in reasons]
    world.record(
        *(ending(each, Outcome.PERMANENT, end=end) for each, end in zip(found, ends, strict=False)),
        *(stored(each) for each in found[3:]),
    )
    (plan,) = read_results(world.connection).plans
    assert plan.failures == (("too long", 2), ("refused", 1))


def test_what_was_said_of_a_task_is_that_of_its_last_reading(world: World) -> None:
    def told(note: str) -> None:
        data = json.dumps({"task": "t", "note": note})
        world.connection.execute(
            "INSERT INTO event (at, level, kind, subject, message, data) VALUES (?, 'info', 'TaskRead', 'task:t', '', ?)",
            (now_ms(), data),
        )

    told("old")
    world.connection.execute("UPDATE event SET at = at - 10000")
    world.connection.execute("UPDATE boot SET started_at = started_at - 20000")
    world.reboot()
    told("3 rows repeat a question")
    told("1 test question stands in train")
    (task,) = read_results(world.connection).tasks
    assert task.notes == ("3 rows repeat a question", "1 test question stands in train")
    assert task.source == "x.jsonl"


def test_a_run_with_a_newer_one_of_another_recipe_is_superseded(world: World) -> None:
    world.plan()
    rows = [replace(NEW, sample_ids=(), trigger="1"), replace(NEW, sample_ids=(), trigger="2")]
    create_run(world.connection, rows)
    values = {"state": "done"}
    for key in (1, 2):
        report_run(
            world.connection,
            [RunReport(run_id=key, values=values, evaluations=(evaluation(1, "test", 1, 2, 1),))],
        )
    assert [run.superseded for run in read_results(world.connection).runs] == [False, False]
    create_run(world.connection, [replace(NEW, sample_ids=(), trigger="1", fingerprint="another")])
    assert [run.superseded for run in read_results(world.connection).runs] == [True, True]


def test_rows_that_the_process_found_too_long_were_not_learned_from(world: World) -> None:
    world.plan()
    create_run(world.connection, [replace(NEW, sample_ids=())])
    report = RunReport(
        run_id=1, values={"state": "done"}, evaluations=(evaluation(1, "test", 1, 2, 1),), too_long=1
    )
    report_run(world.connection, [report])
    (run,) = read_results(world.connection).runs
    assert (run.rows, run.drops["longer than max_length tokens"]) == (NEW.rows - 1, 1)


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


def test_a_run_says_how_long_it_trained_from_what_and_how_often_test_was_read(world: World) -> None:
    world.task("t", [*question_rows(3), *question_rows(2, split="test", start=3)])
    world.plan()
    previous = RunSettings(student={"name": "s", "start_from": "previous"})
    rows = [replace(NEW, sample_ids=(), trigger=str(place), settings=previous) for place in range(3)]
    create_run(world.connection, [*rows, replace(NEW, sample_ids=(), student="other")])
    for key in (1, 2, 3, 4):
        values = {"state": "done", "started_at": 100 * key, "ended_at": 100 * key + 50}
        if key == 3:
            values["started_at"] = 160  # when only the first was finished
        metrics = ((7, 10, 2.5 * key, 1.0, 1e-3, None, None, None, None),) if key > 1 else ()
        report = RunReport(
            run_id=key, values=values, metrics=metrics, evaluations=(evaluation(1, "test", 7, 2, 1),)
        )
        report_run(world.connection, [report])
    runs = read_results(world.connection).runs
    assert [run.warm_start for run in runs] == [None, 1, 1, None]
    assert [run.passes for run in runs] == [1.0, 5.0, 7.5, 10.0]  # without metrics, of the weights
    assert [run.test_reads for run in runs] == [3, 3, 3, 1]
    assert (runs[0].base, runs[0].ended_at) == ("builtin:nano", 150)


def test_teachers_are_named_with_their_models(world: World) -> None:
    world.connection.execute("UPDATE teacher SET active = 0 WHERE name = 'b'")
    assert read_results(world.connection).models == (("a", "m"),)


def test_answers_to_test_questions_are_kept_as_text(world: World) -> None:
    world.task("t", [*question_rows(1), *question_rows(1, split="test", start=1, gold="no")])
    create_run(world.connection, [replace(NEW, sample_ids=(), trigger=trigger) for trigger in ("1", "2")])
    report_run(world.connection, [RunReport(run_id=1, values={"state": "done"})])
    test = world.row("SELECT id FROM question WHERE split = 'test'")[0]
    rows = ((test, "test", "so --> no", "no", 1, ""),)
    store_predictions(world.connection, [Predictions(run_id=key, rows=rows) for key in (1, 2)])
    assert read_test_answers(world.connection) == [
        StoredAnswer(
            run_id=1, task="t", answer_format="yes_no", question="question q1?", gold="no", text="so --> no"
        )
    ]
