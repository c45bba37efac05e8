from __future__ import annotations

import zlib

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from state import sqlite
from state.claims import AttemptRequest, ClaimRequest, claim, open_attempts, open_samples, received_turns
from state.enums import Outcome
from tests.state.world import RECIPE, World, check_counts, ending, make, question_row, question_rows, stored


def slots(world: World, recipe: str = RECIPE) -> list[tuple[str, int]]:
    return world.rows(
        "SELECT q.key, s.replicate FROM sample s JOIN question q ON q.id = s.question_id WHERE s.recipe = ?"
        " ORDER BY s.id",
        recipe,
    )


def test_every_question_gets_its_first_rationale_before_any_gets_its_second(world: World) -> None:
    plan = world.plan(rationales=2)
    got = [world.claim(plan, 2) for _ in range(4)]
    assert slots(world) == [("q0", 0), ("q1", 0), ("q2", 0), ("q0", 1), ("q1", 1), ("q2", 1)]
    assert [len(each.samples) for each in got] == [2, 2, 2, 0]
    assert [each.exhausted for each in got] == [False, False, True, True]
    assert [each.short_of_money for each in got] == [False] * 4
    check_counts(world)


def test_a_claim_is_on_disk_with_its_attempt_and_reservation(world: World) -> None:
    plan = world.plan()
    (sample,) = world.claim(plan, 1, cost=11).samples
    assert sample.attempt is not None
    assert (sample.question, sample.gold, sample.replicate) == ("question q0?", "yes", 0)
    assert world.row(
        "SELECT id, sample_id, turn, boot_id, reserved_micros, outcome, request_id FROM attempt"
    ) == (*(sample.attempt.id, sample.sample_id, 0, world.boot, 11, None, sample.attempt.request_id),)
    assert world.row("SELECT reserved_micros, requests FROM teacher WHERE name = 'a'") == (11, 1)
    assert world.row("SELECT reserved_micros, claimed, cursor FROM plan") == (11, 1, 1)


def test_request_ids_are_unguessable_and_unique(world: World) -> None:
    found = world.claim(world.plan(rationales=50), 150).samples
    ids = {sample.attempt.request_id for sample in found if sample.attempt}
    assert len(ids) == 150
    assert all(len(each) == 24 for each in ids)


def test_a_claim_that_is_rolled_back_leaves_nothing(world: World) -> None:
    plan = world.plan()
    request = ClaimRequest(
        plan_id=plan, teacher_id=1, boot_id=world.boot, count=2, allowance=100, reserve=lambda text: 1
    )
    world.connection.execute("BEGIN IMMEDIATE")
    assert len(claim(world.connection, [request])[0].samples) == 2
    world.connection.execute("ROLLBACK")
    assert world.row("SELECT count(*) FROM sample") == (0,)
    assert world.row("SELECT cursor, claimed, reserved_micros FROM plan") == (0, 0, 0)
    check_counts(world)


def test_what_is_set_aside_takes_room_and_is_not_reserved(world: World) -> None:
    plan = world.plan()
    request = ClaimRequest(
        plan_id=plan, teacher_id=1, boot_id=1, count=3, allowance=29, reserve=lambda text: 6, aside=4
    )
    world.connection.execute("BEGIN IMMEDIATE")
    (found,) = claim(world.connection, [request])
    world.connection.execute("COMMIT")
    assert (len(found.samples), found.short_of_money) == (2, True)
    assert world.row("SELECT reserved_micros FROM plan") == (12,)
    assert world.row("SELECT sum(reserved_micros) FROM attempt") == (12,)
    check_counts(world)


def test_claims_of_several_plans_share_one_transaction(world: World) -> None:
    plans = [world.plan("p", recipe="r1"), world.plan("q", recipe="r2")]
    requests = [
        ClaimRequest(plan_id=plan, teacher_id=1, boot_id=1, count=2, allowance=100, reserve=lambda text: 1)
        for plan in [*plans, plans[0]]
    ]
    world.connection.execute("BEGIN IMMEDIATE")
    found = claim(world.connection, requests)
    world.connection.execute("COMMIT")
    assert [len(each.samples) for each in found] == [2, 2, 2]
    assert [key for key, _ in slots(world, "r1")] == ["q0", "q1", "q2", "q0"]
    check_counts(world)


def test_two_plans_of_one_recipe_share_their_samples(world: World) -> None:
    small = world.plan("small", rationales=1)
    large = world.plan("large", rationales=2)
    world.store(world.claim(small, 2))
    found = world.claim(large, 10)
    assert slots(world) == [("q0", 0), ("q1", 0), ("q2", 0), ("q0", 1), ("q1", 1), ("q2", 1)]
    assert found.exhausted
    assert world.rows("SELECT name, claimed, stored, accepted FROM plan ORDER BY id") == [
        ("small", 3, 2, 2),
        ("large", 6, 2, 2),
    ]
    world.store(found, correct=False)
    assert world.rows("SELECT name, claimed, stored, accepted, rejected FROM plan ORDER BY id") == [
        ("small", 3, 3, 2, 1),
        ("large", 6, 6, 2, 4),
    ]
    last = world.claim(small, 10)
    assert last.samples == ()
    assert last.exhausted
    check_counts(world)


def test_only_questions_that_another_plan_failed_are_asked(world: World) -> None:
    first = world.claim(world.plan("first", recipe="one", rationales=1), 3)
    world.record(*(stored(sample, correct=index == 1) for index, sample in enumerate(first.samples)))
    plan = world.plan("second", recipe="two", rationales=2, unless="one")
    found = world.claim(plan, 10)
    assert [(sample.question, sample.replicate) for sample in found.samples] == [
        ("question q0?", 0),
        ("question q2?", 0),
        ("question q0?", 1),
        ("question q2?", 1),
    ]
    assert found.exhausted
    assert world.row("SELECT claimed, skipped, wanted FROM plan WHERE name = 'second'") == (4, 2, 6)
    check_counts(world)


def test_claims_take_no_more_than_the_allowance(world: World) -> None:
    plan = world.plan()
    short = world.claim(plan, 6, allowance=29, cost=10)
    assert len(short.samples) == 2
    assert short.short_of_money
    assert not short.exhausted
    assert world.row("SELECT reserved_micros, cursor FROM plan") == (20, 2)
    exact = world.claim(plan, 6, allowance=40, cost=10)
    assert len(exact.samples) == 4
    assert not exact.short_of_money
    assert exact.exhausted
    assert world.row("SELECT reserved_micros FROM plan") == (60,)
    assert world.claim(world.plan("free", recipe="free"), 1, allowance=0, cost=0).samples
    check_counts(world)


def test_more_rationales_later_claim_only_what_is_missing(world: World) -> None:
    plan = world.plan(rationales=1)
    world.store(world.claim(plan, 3))
    assert world.plan(rationales=3) == plan
    assert world.row("SELECT wanted, claimed, stored, accepted, cursor FROM plan") == (9, 3, 3, 3, 3)
    found = world.claim(plan, 100)
    assert [sample.replicate for sample in found.samples] == [1, 1, 1, 2, 2, 2]
    check_counts(world)


def test_fewer_rationales_later_count_only_what_is_asked_for(world: World) -> None:
    plan = world.plan(rationales=3)
    world.store(world.claim(plan, 9))
    world.plan(rationales=1)
    assert world.row("SELECT wanted, claimed, stored, accepted FROM plan") == (3, 3, 3, 3)
    assert world.claim(plan, 5).samples == ()
    check_counts(world)


def test_more_questions_later_claim_only_what_is_missing(world: World) -> None:
    plan = world.plan(rationales=2)
    world.store(world.claim(plan, 4))
    world.task("t", question_rows(5))
    world.plan(rationales=2)
    found = world.claim(plan, 100)
    assert [(sample.question[9:11], sample.replicate) for sample in found.samples] == [
        *(("q3", 0), ("q4", 0), ("q1", 1), ("q2", 1), ("q3", 1), ("q4", 1)),
    ]
    assert found.exhausted
    check_counts(world)


def test_a_plan_without_questions_is_exhausted_at_once(world: World) -> None:
    plan = world.plan(split="test")
    found = world.claim(plan, 5)
    assert found.samples == ()
    assert found.exhausted
    check_counts(world)


def test_further_attempts_are_written_with_their_reservation(world: World) -> None:
    plan = world.plan()
    (sample,) = world.claim(plan, 1, cost=10).samples
    request = AttemptRequest(
        sample_id=sample.sample_id,
        plan_id=plan,
        turn=1,
        teacher_id=world.teachers["b"],
        boot_id=world.boot,
        reserved_micros=5,
    )
    world.connection.execute("BEGIN IMMEDIATE")
    found = open_attempts(world.connection, [request, request])
    world.connection.execute("COMMIT")
    assert len({attempt.id for attempt in found} | {sample.attempt.id}) == 3
    assert world.row("SELECT reserved_micros FROM plan") == (20,)
    assert world.rows("SELECT name, reserved_micros FROM teacher ORDER BY name") == [("a", 10), ("b", 10)]
    check_counts(world)


def test_open_samples_come_back_in_order_and_in_pages(world: World) -> None:
    plan = world.plan(rationales=2)
    found = world.claim(plan, 5).samples
    world.record(stored(found[1]), ending(found[2], Outcome.TRANSIENT, counts=True))
    page = open_samples(world.connection, plan, 0, 2)
    rest = open_samples(world.connection, plan, page[-1].sample_id, 10)
    assert [each.sample_id for each in [*page, *rest]] == [found[index].sample_id for index in (0, 2, 3, 4)]
    assert [each.attempts for each in [*page, *rest]] == [0, 1, 0, 0]
    assert all(each.attempt is None for each in page)


def test_open_samples_of_a_changed_question_are_not_gone_on_with(world: World) -> None:
    plan = world.plan()
    world.claim(plan, 3)
    world.task("t", [question_row("q0", "something else?"), *question_rows(2, start=1)])
    assert [each.question for each in open_samples(world.connection, plan, 0, 10)] == [
        "question q1?",
        "question q2?",
    ]


def test_answered_turns_come_back_in_order(world: World) -> None:
    plan = world.plan()
    (sample,) = world.claim(plan, 1).samples
    request = AttemptRequest(
        sample_id=sample.sample_id, plan_id=plan, turn=1, teacher_id=1, boot_id=1, reserved_micros=5
    )
    world.connection.execute("BEGIN IMMEDIATE")
    (again, second) = open_attempts(world.connection, [request, request])
    world.connection.execute("COMMIT")
    world.record(
        ending(sample, Outcome.OK, attempt=second, raw=b"second"),
        ending(sample, Outcome.MALFORMED, attempt=again, raw=b"nonsense"),
    )
    world.record(ending(sample, Outcome.OK, raw=b"first"))
    turns = [zlib.decompress(raw) for raw, _ in received_turns(world.connection, sample.sample_id)]
    assert turns == [b"first", b"second"]


def test_a_slot_cannot_be_claimed_twice_whatever_happens(world: World) -> None:
    plan = world.plan()
    (sample,) = world.claim(plan, 1).samples
    with pytest.raises(sqlite.IntegrityError, match="UNIQUE"):
        world.connection.execute(
            "INSERT INTO sample (plan_id, task_id, question_id, split, teacher_id, recipe, replicate, state,"
            " attempts, unknowns, flags, prompt_tokens, completion_tokens, cost_micros, created_at)"
            " SELECT plan_id, task_id, question_id, split, teacher_id, recipe, replicate, state, 0, 0, '', 0, 0, 0,"
            " 0 FROM sample WHERE id = ?",
            (sample.sample_id,),
        )


@settings(max_examples=25, deadline=None)
@given(
    steps=st.lists(st.tuples(st.integers(0, 1), st.integers(1, 5), st.integers(0, 60)), max_size=12),
    questions=st.integers(0, 4),
    rationales=st.tuples(st.integers(1, 3), st.integers(1, 3)),
)
def test_any_order_of_claims_fills_each_slot_once_within_the_money(
    tmp_path_factory, steps, questions, rationales
) -> None:
    world = make(tmp_path_factory.mktemp("claims") / "state.db", questions=questions)
    plans = [world.plan(name, rationales=each) for name, each in zip("pq", rationales, strict=True)]
    spent = 0
    for which, count, money in steps:
        found = world.claim(plans[which], count, allowance=money, cost=10)
        assert len(found.samples) <= count
        assert 10 * len(found.samples) <= money
        spent += 10 * len(found.samples)
        assert not (found.short_of_money and found.exhausted)
        check_counts(world)
    assert world.row("SELECT sum(reserved_micros) FROM teacher") == (spent,)
    for plan in plans:
        assert world.claim(plan, 100).exhausted
    assert sorted(slots(world)) == sorted(
        (f"q{index}", replicate) for index in range(questions) for replicate in range(max(rationales))
    )
    check_counts(world)
    world.connection.close()
