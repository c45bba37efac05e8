"""Which samples may be learned from: what is stored and graded, of questions there are, within the plan's number."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from state.training_samples import samples_of_run, stored_samples
from tests.state.world import World, make, question_rows, stored


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    found = make(tmp_path / "state.db")
    yield found
    found.connection.close()


def ids(world: World, plan: int) -> list[int]:
    return [each.sample_id for each in stored_samples(world.connection, [plan], ["a", "b"])]


def test_samples_without_a_verdict_and_of_questions_that_are_gone_are_left_out(world: World) -> None:
    plan = world.plan(rationales=2)
    claims = [world.claim(plan, 1) for _ in range(4)]
    world.store(claims[0])
    world.store(claims[1], correct=None)
    world.store(claims[2], correct=False)
    assert ids(world, plan) == [1, 3], "one is not graded, one is open"
    world.task("t", question_rows(1))
    assert ids(world, plan) == [1], "the third belongs to a question that is gone"


def test_a_smaller_plan_has_fewer(world: World) -> None:
    plan = world.plan(rationales=2)
    world.store(world.claim(plan, 6))
    assert len(ids(world, plan)) == 6
    assert world.plan(rationales=1) == plan
    assert len(ids(world, plan)) == 3


def test_what_the_provider_cut_is_truncated_with_or_without_the_flag(world: World) -> None:
    plan = world.plan()
    claim = world.claim(plan, 2)
    whole, cut = (stored(each) for each in claim.samples)
    world.record(whole, cut)
    world.connection.execute("UPDATE sample SET finish_reason = 'length' WHERE id = 2")
    assert [each.truncated for each in stored_samples(world.connection, [plan], ["a", "b"])] == [False, True]


def test_a_sample_of_a_run_that_has_no_verdict_any_more_is_not_correct(world: World) -> None:
    plan = world.plan()
    world.store(world.claim(plan, 2))
    world.connection.execute("PRAGMA foreign_keys = OFF")
    world.connection.executemany("INSERT INTO run_sample (run_id, sample_id) VALUES (1, ?)", [(1,), (2,)])
    world.connection.execute("UPDATE sample SET verdict = NULL WHERE id = 2")
    assert [each.correct for each in samples_of_run(world.connection, 1)] == [True, False]


def test_which_plan_comes_first_is_drawn_by_question_and_not_by_who_was_quicker(tmp_path: Path) -> None:
    found = []
    for number, order in enumerate(((0, 1), (1, 0))):
        world = make(tmp_path / f"{number}.db")
        world.task("t", question_rows(12))
        plans = [world.plan("p", recipe="r1", rationales=2), world.plan("q", recipe="r2", rationales=2)]
        for place in order:
            world.store(world.claim(plans[place], 24, teacher="ab"[place]))
        samples = stored_samples(world.connection, plans, ["a", "b"])
        found.append([(each.question_id, each.teacher) for each in samples])
        world.connection.execute("PRAGMA foreign_keys = OFF")
        world.connection.execute("INSERT INTO run_sample (run_id, sample_id) SELECT 1, id FROM sample")
        assert samples_of_run(world.connection, 1) == samples
        first = samples_of_run(world.connection, 1, drawn=False)
        assert {each.teacher for each in first[::2]} == {"ab"[order[0]]}, (
            "runs of earlier versions stay as they are"
        )
        world.connection.close()
    assert found[0] == found[1]
    leads = [teacher for _, teacher in found[0][::4]]
    assert 0 < leads.count("a") < len(leads), "neither is always the first"
