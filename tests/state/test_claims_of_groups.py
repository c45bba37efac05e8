"""Several rationales of a question in one request: how their slots are claimed, kept and ended."""

from __future__ import annotations

from state.claims import AttemptRequest, open_groups, received_turns
from state.enums import Outcome
from state.outcomes import record_groups
from tests.state.world import World, check_counts, ending, make, stored


def test_a_group_is_one_request_with_an_attempt_for_each_sample(world: World) -> None:
    plan = world.plan(rationales=4, together=4)
    found = world.claim(plan, 4, cost=10, further=3).samples
    assert [(each.question, each.replicate) for each in found] == [("question q0?", i) for i in range(4)]
    assert len({each.attempt.request_id for each in found if each.attempt}) == 1
    assert world.rows("SELECT choice, leader_id, reserved_micros FROM attempt ORDER BY id") == [
        (0, None, 10),
        (1, 1, 3),
        (2, 1, 3),
        (3, 1, 3),
    ]
    assert world.row("SELECT requests, reserved_micros FROM teacher WHERE name = 'a'") == (1, 19)
    assert world.row("SELECT claimed, reserved_micros, cursor FROM plan") == (4, 19, 4)
    check_counts(world)


def test_groups_come_in_the_order_of_questions_and_the_last_one_is_smaller(world: World) -> None:
    plan = world.plan(rationales=5, together=3)
    sizes = []
    while samples := world.claim(plan, 6).samples:
        ids = [each.attempt.request_id for each in samples if each.attempt]
        sizes.append([ids.count(each) for each in dict.fromkeys(ids)])
    assert sizes == [[3, 3], [3, 2], [2, 2]]
    assert world.rows(
        "SELECT q.key, s.replicate FROM sample s JOIN question q ON q.id = s.question_id ORDER BY s.id"
    )[6:11] == [("q2", 0), ("q2", 1), ("q2", 2), ("q0", 3), ("q0", 4)]
    check_counts(world)


def test_a_group_larger_than_the_count_is_claimed_when_it_comes_first_and_is_not_split(world: World) -> None:
    plan = world.plan(rationales=4, together=4)
    assert [len(world.claim(plan, count).samples) for count in (1, 5, 3)] == [4, 4, 4]


def test_of_a_group_only_what_is_missing_is_asked_for(world: World) -> None:
    world.store(world.claim(world.plan("small", rationales=1), 2))  # q0 and q1, first replicate
    plan = world.plan("large", rationales=3, together=3)
    found = world.claim(plan, 100)
    assert [(each.question[9:11], each.replicate) for each in found.samples] == [
        *(("q0", 1), ("q0", 2), ("q1", 1), ("q1", 2)),
        *(("q2", 0), ("q2", 1), ("q2", 2)),
    ]
    assert world.rows("SELECT choice FROM attempt WHERE id > 2 ORDER BY id") == [
        *((0,), (1,), (0,), (1,), (0,), (1,), (2,))
    ]
    assert found.exhausted
    check_counts(world)


def test_with_money_for_a_part_of_a_group_that_part_is_asked_for_and_the_rest_later(world: World) -> None:
    plan = world.plan(rationales=4, together=4)
    short = world.claim(plan, 4, allowance=16, cost=10, further=3)
    assert (len(short.samples), short.short_of_money) == (3, True)
    assert world.row("SELECT reserved_micros, cursor FROM plan") == (16, 0)
    rest = world.claim(plan, 4, allowance=100, cost=10, further=3)
    assert [(each.question[9:11], each.replicate) for each in rest.samples][:1] == [("q0", 3)]
    check_counts(world)


def test_asked_apart_the_order_is_the_same_and_each_has_a_request(world: World) -> None:
    plan = world.plan(rationales=2, together=2)
    found = world.claim(plan, 4, allowance=100, further=1, apart=True)
    assert [(each.question[9:11], each.replicate) for each in found.samples] == [
        *(("q0", 0), ("q0", 1), ("q1", 0), ("q1", 1))
    ]
    assert len({each.attempt.request_id for each in found.samples if each.attempt}) == 4
    assert world.row("SELECT sum(reserved_micros), sum(choice) FROM attempt") == (40, 0)
    check_counts(world)


def test_a_question_that_another_plan_solved_is_passed_over_as_groups(world: World) -> None:
    world.store(world.claim(world.plan("first", recipe="one", rationales=1), 1), correct=True)  # q0
    plan = world.plan("second", recipe="two", rationales=5, together=2, unless="one")
    found = world.claim(plan, 100)
    assert {each.question[9:11] for each in found.samples} == {"q1", "q2"}
    assert world.row("SELECT claimed, skipped, wanted FROM plan WHERE id = ?", plan) == (10, 5, 15)
    check_counts(world)


def test_after_a_crash_all_of_a_group_are_unknown_at_their_part_of_the_reservation(world: World) -> None:
    plan = world.plan(rationales=3, together=3)
    world.claim(plan, 3, cost=10, further=4)
    assert world.reboot() == 3
    assert world.rows("SELECT outcome, cost_micros, unknown_micros FROM attempt ORDER BY id") == [
        ("unknown", 0, 10),
        ("unknown", 0, 4),
        ("unknown", 0, 4),
    ]
    assert world.row(
        "SELECT unknown_attempts, retries, spent_micros, unknown_micros FROM teacher WHERE name = 'a'"
    ) == (3, 1, 0, 18)
    check_counts(world)


def test_the_body_is_stored_once_and_each_sample_finds_its_choice(world: World) -> None:
    plan = world.plan(rationales=3, together=3)
    found = world.claim(plan, 3).samples
    ends = [
        stored(found[0], raw=b"body", cost=3),
        stored(found[1], raw=None, cost=2, leader=False),
        ending(found[2], Outcome.RELEASED, leader=False),
    ]
    world.connection.execute("BEGIN IMMEDIATE")
    record_groups(world.connection, [ends])
    world.connection.execute("COMMIT")
    assert world.row("SELECT count(*) FROM completion") == (1,)
    turns = [received_turns(world.connection, each.sample_id) for each in found]
    assert [len(each) for each in turns] == [1, 1, 0]
    assert turns[0][0][0] == turns[1][0][0]
    assert [turns[0][0][1], turns[1][0][1]] == [0, 1]
    assert world.row("SELECT answered, spent_micros, reserved_micros FROM teacher WHERE name = 'a'") == (
        *(1, 5, 0),
    )
    check_counts(world)


def test_a_group_is_opened_again_under_one_new_id(world: World) -> None:
    plan = world.plan(rationales=2, together=2)
    found = world.claim(plan, 4).samples
    world.record(*(ending(each, Outcome.TRANSIENT, leader=i % 2 == 0) for i, each in enumerate(found)))
    groups = [
        [
            AttemptRequest(
                sample_id=each.sample_id,
                plan_id=plan,
                turn=0,
                teacher_id=1,
                boot_id=world.boot,
                reserved_micros=5,
                choice=choice,
            )
            for choice, each in enumerate(pair)
        ]
        for pair in (found[:2], found[2:])
    ]
    world.connection.execute("BEGIN IMMEDIATE")
    opened = open_groups(world.connection, groups)
    world.connection.execute("COMMIT")
    assert [len({each.request_id for each in group}) for group in opened] == [1, 1]
    assert opened[0][0].request_id != opened[1][0].request_id
    assert world.rows("SELECT id, leader_id FROM attempt WHERE choice = 1 ORDER BY id DESC LIMIT 2") == [
        (opened[1][1].id, opened[1][0].id),
        (opened[0][1].id, opened[0][0].id),
    ]
    check_counts(world)


def test_another_size_of_groups_starts_the_order_over_and_claims_nothing_twice(tmp_path) -> None:
    from daemon.sampling.plans import ActivePlan
    from tests.daemon.parts import active_plan

    world = make(tmp_path / "state.db", questions=3)
    before: ActivePlan = active_plan(world, rationales=4)
    world.store(world.claim(before.id, 5))
    after = active_plan(world, rationales=4, per_request=4)
    assert (after.id, after.recipe) == (before.id, before.recipe)
    assert world.row("SELECT cursor FROM plan") == (0,)
    rest = world.claim(after.id, 100)
    assert len(rest.samples) == 12 - 5
    check_counts(world)
    world.connection.close()
