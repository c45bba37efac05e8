from __future__ import annotations

from state.enums import Outcome, SampleState
from state.figure_data import read_figure_data
from state.outcomes import SampleEnd
from tests.state.world import World, ending, question_rows, stored


def done_run(world: World, key: int, state: str = "done") -> None:
    world.connection.execute(
        'INSERT INTO run (id, student, task_id, scope, "trigger", recipe, state, method, base, seed, zero_stage,'
        " spec, digest, samples, questions, drops, directory, device, tries, priority, phase, step, steps,"
        " progress_offset, created_at) VALUES (?, 's', ?, 't', 'complete', ?, ?, 'fine-tune', 'b', 0, 0, '{}', '',"
        " 1, 1, '{}', '', '', 0, 0, '', 1, 1, 0, 0)",
        (key, world.tasks["t"], str(key), state),
    )
    for step, epoch, accuracy, split in (
        (20, 2.0, 0.5, "dev"),
        (10, 1.0, 0.25, "dev"),
        (20, 2.0, 0.9, "test"),
    ):
        world.connection.execute(
            "INSERT INTO evaluation (run_id, task_id, split, step, epoch, n, correct, accuracy, low, high, seed, at)"
            " VALUES (?, ?, ?, ?, ?, 4, 1, ?, 0, 1, 0, 0)",
            (key, world.tasks["t"], split, step, epoch, accuracy),
        )
    for question, split, correct in ((1, "test", 1), (2, "test", 0), (3, "dev", 1)):
        world.connection.execute(
            "INSERT INTO prediction (run_id, question_id, split, text, correct, reason) VALUES (?, ?, ?, '', ?, '')",
            (key, question, split, correct),
        )


def test_courses_and_hits_are_those_of_finished_runs(world: World) -> None:
    done_run(world, 1)
    done_run(world, 2, "failed")
    found = read_figure_data(world.connection)
    (curve,) = found.curves
    assert (curve.run_id, curve.task) == (1, "t")
    assert (curve.epochs, curve.accuracy) == ((1.0, 2.0), (0.25, 0.5))  # by step, of dev
    assert found.answers == {(1, "t"): {1: True, 2: False}}  # of test
    assert found.flops == {}
    world.connection.execute("UPDATE prediction SET flops = 5.0 WHERE question_id <> 2")
    assert read_figure_data(world.connection).flops == {(1, "t", "test"): {1: 5.0}, (1, "t", "dev"): {3: 5.0}}


def test_pass_rates_are_shares_of_each_questions_rationales(world: World) -> None:
    plan = world.plan(rationales=2)
    first = world.claim(plan, 3)  # every question's first rationale, then their second ones
    world.store(first, correct=True)
    second = world.claim(plan, 3)
    world.store(second, correct=False)
    third = world.row("SELECT id FROM question ORDER BY position DESC LIMIT 1")[0]
    world.connection.execute("UPDATE sample SET verdict = 1 WHERE question_id = ?", (third,))
    (rates,) = read_figure_data(world.connection).pass_rates
    assert (rates.plan, rates.task, rates.counts) == ("p", "t", (0, 2, 1))  # none, a half, all


def test_pass_rates_have_as_many_shares_as_there_can_be(world: World) -> None:
    world.store(world.claim(world.plan(rationales=8), 24))
    (rates,) = read_figure_data(world.connection).pass_rates
    assert rates.counts == (0,) * 8 + (3,)  # no share of eighths is without a place of its own
    ids = [key for (key,) in world.rows("SELECT id FROM sample WHERE replicate < 3")]
    world.connection.execute(f"UPDATE sample SET verdict = 0 WHERE id IN ({','.join(map(str, ids))})")
    (rates,) = read_figure_data(world.connection).pass_rates
    assert rates.counts[5] == 3
    world.store(world.claim(world.plan("wide", rationales=30), 66))
    assert [len(each.counts) for each in read_figure_data(world.connection).pass_rates] == [9, 11]


def test_one_rationale_a_question_is_no_pass_rate(world: World) -> None:
    world.store(world.claim(world.plan(rationales=1), 3))
    assert read_figure_data(world.connection).pass_rates == ()


def test_first_answers_of_teachers_by_question_and_failed_ones_are_wrong(world: World) -> None:
    world.task("t", question_rows(3, split="test"))
    plan = world.plan("exam", split="test", rationales=2)
    first, second, third = world.claim(plan, 3).samples
    world.record(stored(first), stored(second, correct=False))
    assert set(read_figure_data(world.connection).teacher_answers["exam", "t"].values()) == {True, False}
    world.record(ending(third, Outcome.PERMANENT, end=SampleEnd(state=SampleState.FAILED, reason="refused")))
    world.store(world.claim(plan, 3))
    found = read_figure_data(world.connection).teacher_answers
    assert found == {
        ("exam", "t"): {first.question_id: True, second.question_id: False, third.question_id: False}
    }
