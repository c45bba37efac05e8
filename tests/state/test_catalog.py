from __future__ import annotations

from state.catalog import SwitchRequest, adopt_open, deactivate_all, park_teacher, switch
from state.claims import open_samples
from state.orm import orm_session
from state.outcomes import Verdict, grade_stored
from tests.state.world import World, check_counts, question_row, question_rows, stored


def questions(world: World) -> list[tuple[object, ...]]:
    return world.rows(
        "SELECT key, split, position, text FROM question WHERE active = 1 ORDER BY split, position"
    )


def regrade(world: World, sample: int, correct: bool) -> None:
    world.connection.execute("BEGIN IMMEDIATE")
    grade_stored(
        world.connection, [(sample, Verdict(grader="g:1", correct=correct, extracted="yes", reason=""))]
    )
    world.connection.execute("COMMIT")


def test_questions_have_dense_positions_in_each_split(world: World) -> None:
    assert world.task("t", [*question_rows(2), *question_rows(2, split="test", start=2)])
    assert [row[:3] for row in questions(world)] == [
        *(("q2", "test", 0), ("q3", "test", 1), ("q0", "train", 0), ("q1", "train", 1)),
    ]
    assert world.row("SELECT train, dev, test FROM task") == (2, 0, 2)


def test_the_same_questions_are_not_written_again(world: World) -> None:
    before = world.rows("SELECT * FROM question")
    assert not world.task("t", question_rows(3))
    assert world.rows("SELECT * FROM question") == before


def test_a_changed_question_is_a_new_row_and_the_old_one_keeps_its_samples(world: World) -> None:
    plan = world.plan(rationales=1)
    world.store(world.claim(plan, 3))
    assert world.task("t", [question_row("q0"), question_row("q1", "another?"), question_row("q2")])
    assert world.row("SELECT count(*), sum(active) FROM question") == (4, 3)
    world.plan(rationales=1, recount=True)
    assert world.row("SELECT wanted, claimed, stored FROM plan") == (3, 2, 2)
    (sample,) = world.claim(plan, 10).samples
    assert sample.question == "another?"


def test_white_space_and_case_make_no_new_question(world: World) -> None:
    world.task("t", [question_row("q0", "QUESTION  q0?"), *question_rows(2, start=1)])
    assert world.row("SELECT count(*) FROM question") == (3,)
    assert world.row("SELECT text FROM question WHERE key = 'q0'") == ("QUESTION  q0?",)


def test_a_question_that_was_taken_out_comes_back_with_its_samples(world: World) -> None:
    plan = world.plan(rationales=1)
    world.store(world.claim(plan, 3))
    world.task("t", question_rows(2))
    world.plan(rationales=1)
    assert world.row("SELECT wanted, stored, accepted FROM plan") == (2, 2, 2)
    assert world.claim(plan, 5).samples == ()
    world.task("t", question_rows(3))
    world.plan(rationales=1)
    assert world.row("SELECT wanted, stored, accepted FROM plan") == (3, 3, 3)
    assert world.claim(plan, 5).samples == ()
    check_counts(world)


def test_a_changed_gold_answer_takes_the_verdict_back(world: World) -> None:
    plan = world.plan(rationales=1)
    found = world.claim(plan, 3)
    world.store(found)
    world.task("t", [question_row("q0", gold="no"), *question_rows(2, start=1)])
    world.plan(rationales=1, recount=True)
    assert world.rows("SELECT verdict, extracted FROM sample ORDER BY id") == [
        (None, None),
        (1, "yes"),
        (1, "yes"),
    ]
    assert world.row("SELECT stored, accepted, rejected FROM plan") == (3, 2, 0)
    regrade(world, found.samples[0].sample_id, False)
    assert world.row("SELECT stored, accepted, rejected FROM plan") == (3, 2, 1)
    assert world.row("SELECT count(*), sum(correct) FROM grade") == (3, 2)
    check_counts(world)


def test_samples_follow_their_question_to_another_split(world: World) -> None:
    train, test = world.plan(rationales=1), world.plan("check", split="test", rationales=1)
    world.store(world.claim(train, 3))
    world.task("t", [*question_rows(2), question_row("q2", split="test")])
    for name, split in (("p", "train"), ("check", "test")):
        world.plan(name, split=split, rationales=1, recount=True)
    assert world.rows("SELECT split, wanted, stored FROM plan ORDER BY id") == [
        ("train", 2, 2),
        ("test", 1, 1),
    ]
    assert world.claim(train, 5).samples + world.claim(test, 5).samples == ()
    check_counts(world)


def test_what_left_the_configuration_comes_back_as_it_was(world: World) -> None:
    plan = world.plan(rationales=1)
    world.store(world.claim(plan, 2))
    switch(world.connection, [SwitchRequest(table="task", name="t", paused=True)])
    with orm_session(world.path) as opened:
        deactivate_all(opened)
    for table in ("task", "teacher", "plan"):
        assert world.row(f"SELECT sum(active) FROM {table}") == (0,)
    assert not world.task("t", question_rows(3))
    world.teacher("a")
    assert world.plan(rationales=1) == plan
    assert world.row("SELECT active, paused FROM task") == (1, 1)
    assert world.row("SELECT active, cursor, stored, claimed FROM plan") == (1, 2, 2, 2)
    assert world.rows("SELECT name, active FROM teacher ORDER BY id") == [("a", 1), ("b", 0)]


def test_a_changed_recipe_is_a_new_plan(world: World) -> None:
    old = world.plan(recipe="old")
    world.store(world.claim(old, 2))
    with orm_session(world.path) as opened:
        deactivate_all(opened)
    new = world.plan(recipe="new")
    assert new != old
    assert world.row("SELECT cursor, stored, claimed FROM plan WHERE id = ?", new) == (0, 0, 0)
    assert len(world.claim(new, 10).samples) == 6
    check_counts(world)


def test_a_renamed_plan_goes_on_with_what_the_old_one_left(world: World) -> None:
    old = world.plan("old", rationales=2)
    found = world.claim(old, 4)
    world.record(stored(found.samples[0]))
    world.reboot()
    with orm_session(world.path) as opened:
        deactivate_all(opened)
    new = world.plan("new", rationales=1)
    with orm_session(world.path) as opened:
        adopt_open(opened, new)
    assert world.row("SELECT claimed, stored FROM plan WHERE id = ?", new) == (3, 1)
    assert [each.sample_id for each in open_samples(world.connection, new, 0, 10)] == [
        found.samples[1].sample_id,
        found.samples[2].sample_id,
    ]
    assert len(open_samples(world.connection, old, 0, 10)) == 1  # its replicate is not asked for any more
    assert world.claim(new, 10).samples == ()


def test_open_samples_of_an_active_plan_are_its_own(world: World) -> None:
    first, second = world.plan("first"), world.plan("second")
    world.claim(first, 2)
    with orm_session(world.path) as opened:
        adopt_open(opened, second)
    assert len(open_samples(world.connection, first, 0, 10)) == 2


def test_parked_teachers_get_another_chance_and_paused_ones_stay_paused(world: World) -> None:
    park_teacher(world.connection, [(world.teachers["a"], "key refused \ud800 (401)")])
    assert world.row("SELECT state, reason FROM teacher WHERE name = 'a'") == (
        "parked",
        "key refused \ufffd (401)",
    )
    switch(world.connection, [SwitchRequest(table="teacher", name="b", paused=True)])
    world.teacher("a")
    world.teacher("b")
    assert world.rows("SELECT state, reason FROM teacher ORDER BY id") == [("ready", ""), ("paused", "")]


def test_a_switch_without_a_name_is_for_all_that_are_active(world: World) -> None:
    world.task("gone", question_rows(1))
    world.connection.execute("UPDATE task SET active = 0 WHERE name = 'gone'")
    switch(world.connection, [SwitchRequest(table="task", name=None, paused=True)])
    assert world.rows("SELECT name, paused FROM task ORDER BY id") == [("t", 1), ("gone", 0)]
    switch(world.connection, [SwitchRequest(table="teacher", name=None, paused=True)])
    switch(world.connection, [SwitchRequest(table="teacher", name="a", paused=False)])
    assert world.rows("SELECT state FROM teacher ORDER BY id") == [("ready",), ("paused",)]
