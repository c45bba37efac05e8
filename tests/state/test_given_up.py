"""Given-up samples: which count, and what asking them again changes."""

from __future__ import annotations

from typing import Any

import pytest

from state.claims import Claim, open_samples, settle
from state.commands import Reply, Retry, answer, decode, send
from state.enums import Outcome, SampleState
from state.given_up import GivenUp, count_given_up, given_up, in_all, retry, tried
from state.outcomes import SampleEnd
from state.views.given_up import given_up_lines, given_up_words
from tests.state.world import World, check_counts, ending, question_rows, stored


def fail(world: World, found: Claim, reason: str = "HTTP 500: no", *, cost: int = 3) -> None:
    for sample in found.samples:
        end = SampleEnd(state=SampleState.FAILED, reason=reason)
        outcome = Outcome.TRANSIENT if "HTTP" in reason else Outcome.UNKNOWN
        world.record(ending(sample, outcome, cost=cost, reason=reason, counts=True, end=end))


def counted(world: World) -> dict[str, int]:
    """What is said to be given up, by both ways of counting."""
    names = dict(world.rows("SELECT id, name FROM plan"))
    found = {each.plan: each.count for each in given_up(world.connection)}
    assert {names[plan]: n for plan, n in count_given_up(world.connection).items()} == found
    return found


def ask_again(world: World, **request: Any) -> tuple[int, int]:
    world.connection.execute("BEGIN IMMEDIATE")
    (found,) = retry(world.connection, [Retry(**request)])
    world.connection.execute("COMMIT")
    answer(world.connection, [Reply(id=send(world.path, Retry(**request)), done=True, answer="")])
    check_counts(world)
    for plan, samples in found.samples.items():
        only = open_samples(world.connection, plan, 0, 100, only=samples)
        assert [each.sample_id for each in only] == sorted(samples)
        assert {(each.attempts, each.unknowns) for each in only} == {(0, 0)}
    return found.count, found.left


def test_a_given_up_sample_is_open_again_and_keeps_its_history(world: World) -> None:
    plan = world.plan(rationales=2)
    world.store(world.claim(plan, 4))
    fail(world, world.claim(plan, 2), "timed out")
    assert counted(world) == {"p": 2}
    assert in_all(given_up(world.connection)) == (2, 6)
    before = world.row("SELECT spent_micros, claimed, stored FROM plan")
    assert ask_again(world) == (2, 0)
    assert counted(world) == {}
    assert world.row("SELECT failed FROM plan") == (0,)
    assert world.row("SELECT spent_micros, claimed, stored FROM plan") == before
    assert (
        world.rows("SELECT cost_micros, reason, stored_at FROM sample WHERE state = 'open'")
        == [(3, None, None)] * 2
    )
    assert world.rows("SELECT outcome, count(*) FROM attempt GROUP BY outcome ORDER BY outcome") == [
        ("ok", 4),
        ("unknown", 2),
    ]
    for sample in open_samples(world.connection, plan, 0, 10):
        world.record(stored(sample, attempt=world.open_again(sample)))
    assert world.row("SELECT stored, failed FROM plan") == (6, 0)
    check_counts(world)
    assert ask_again(world) == (0, 0)


def test_plan_task_and_a_part_of_the_reason_choose(world: World) -> None:
    world.task("u", question_rows(2))
    fail(world, world.claim(world.plan("p", rationales=1), 2), "HTTP 500: Überlastet")
    fail(world, world.claim(world.plan("q", recipe="other", rationales=1), 2), "HTTP 400: no")
    fail(world, world.claim(world.plan("p", task="u", rationales=1), 1), "HTTP 400: no")
    assert [(each.plan, each.task, each.count) for each in given_up(world.connection, Retry(plan="p"))] == [
        ("p", "t", 2),
        ("p", "u", 1),
    ]
    assert ask_again(world, reason="überlastet") == (2, 0)
    assert ask_again(world, plan="p", task="t") == (0, 0)
    assert ask_again(world, task="u", reason="400") == (1, 0)
    assert counted(world) == {"q": 2}


def test_plans_that_share_samples_count_them_once(world: World) -> None:
    few, many = world.plan("few", rationales=1), world.plan("many", rationales=2)
    fail(world, world.claim(few, 2))
    assert counted(world) == {"few": 2, "many": 2}
    assert in_all(given_up(world.connection)) == (2, 6)
    assert ask_again(world, plan="many") == (2, 0)
    assert world.rows("SELECT DISTINCT plan_id FROM sample") == [(few,)]  # who claimed it ends it
    world.connection.execute("UPDATE sample SET state = 'failed', reason = 'x'")
    world.connection.execute("UPDATE plan SET failed = 2, active = (name = 'many')")
    world.connection.execute("BEGIN")
    (found,) = retry(world.connection, [Retry()])
    assert list(found.samples) == [many]  # the one that is gone cannot
    world.connection.execute("COMMIT")
    check_counts(world)


def test_of_a_question_no_more_are_asked_again_than_are_missing(world: World) -> None:
    """`stop_after_correct = 1` of at most three: one question is solved, one failed three times, one twice."""
    plan = world.plan(rationales=3, base=1, want=1)
    world.store(world.claim(plan, 1))  # q0
    for _ in range(3):
        fail(world, world.claim(plan, 2))  # q1, q2
    assert settle(world.connection, [plan]) == [True]
    check_counts(world)
    assert counted(world) == {"p": 2}
    assert ask_again(world) == (2, 0)
    assert settle(world.connection, [plan]) == [False]
    first, second = open_samples(world.connection, plan, 0, 10)
    world.record(stored(first, attempt=world.open_again(first)))
    check_counts(world)
    assert counted(world) == {}  # the other two of the first are not needed, those of the second may still be
    end = SampleEnd(state=SampleState.FAILED, reason="again")
    world.record(ending(second, Outcome.TRANSIENT, attempt=world.open_again(second), end=end))
    check_counts(world)
    assert counted(world) == {"p": 1}


def test_a_solved_question_needs_none_again_but_the_base_is_for_everyone(world: World) -> None:
    world.task("t", question_rows(1))
    plan = world.plan(rationales=4, base=2, want=1)
    fail(world, world.claim(plan, 1))
    world.store(world.claim(plan, 1))
    assert counted(world) == {"p": 1}  # two for every question, however many are correct
    assert ask_again(world) == (1, 0)
    other = world.plan("stop", recipe="s", rationales=2, base=1, want=1)
    fail(world, world.claim(other, 1))
    world.store(world.claim(other, 1))
    assert counted(world) == {}


def test_the_base_is_not_asked_again_where_others_took_its_place(world: World) -> None:
    """Two for every question and one correct: both failed, one more is open, so one of the two has room."""
    world.task("t", question_rows(1))
    plan = world.plan(rationales=4, base=2, want=1)
    fail(world, world.claim(plan, 2))
    world.claim(plan, 1)
    assert counted(world) == {"p": 1}
    assert ask_again(world) == (1, 0)
    assert counted(world) == {}
    assert world.rows("SELECT replicate, state FROM sample ORDER BY replicate") == [
        (0, "open"),
        (1, "failed"),
        (2, "open"),
    ]


def test_a_plan_without_a_need_asks_again_whatever_its_neighbour_found(world: World) -> None:
    world.task("t", question_rows(1))
    needs = world.plan("needs", rationales=4, base=2, want=2)
    world.plan("plain", rationales=2)
    fail(world, world.claim(needs, 2))
    for _ in range(2):
        world.store(world.claim(needs, 1))
    assert counted(world) == {"plain": 2}
    assert ask_again(world, plan="needs") == (0, 0)
    assert ask_again(world) == (2, 0)
    assert counted(world) == {}


def test_a_target_that_is_reached_needs_none_again_and_one_that_is_not_only_some(world: World) -> None:
    plan = world.plan(rationales=3, target=2)
    fail(world, world.claim(plan, 2))
    world.store(world.claim(plan, 1))
    assert counted(world) == {"p": 2}
    asked, left = ask_again(world)
    assert (asked, left) == (1, 1)
    (sample,) = open_samples(world.connection, plan, 0, 10)
    world.record(stored(sample, attempt=world.open_again(sample)))
    assert counted(world) == {}
    check_counts(world)


def test_questions_that_are_gone_or_solved_elsewhere_are_not_asked_again(world: World) -> None:
    first = world.plan("first", recipe="f", rationales=1)
    world.store(world.claim(first, 1))
    fail(world, world.claim(first, 2))
    fail(world, world.claim(world.plan("hinted", recipe="h", rationales=1, unless="f"), 2))
    assert counted(world) == {"first": 2, "hinted": 2}
    assert ask_again(world, plan="first") == (2, 0)
    sample = open_samples(world.connection, first, 0, 10)[0]
    world.record(stored(sample, attempt=world.open_again(sample)))
    assert counted(world) == {"hinted": 1}
    world.task("t", question_rows(2))
    assert [each.count for each in given_up(world.connection)] == []


def test_a_reason_is_of_one_kind_however_often_it_was_asked() -> None:
    found = GivenUp(plan="p", task="t", wanted=54, samples="x")
    said = "the request was rejected (400): no seat 12"
    for number, how in enumerate(
        ("refused 9 times with nothing else left to ask", "5 attempts failed", "again")
    ):
        found.reasons[tried(how, f"{said}{number}")] += 1
    found.reasons[f"{said}9"] = 2
    found.reasons["the request was rejected (400): no table"] = 1
    assert found.kinds() == [(f"{said}9", 5), ("the request was rejected (400): no table", 1)]


def test_reasons_of_a_kind_are_told_together() -> None:
    found = GivenUp(plan="p", task="t", wanted=54, samples="x")
    for number in range(9):
        found.reasons[f"5 attempts failed; the last: HTTP 500: request req_{number}84af{number} died"] += 1
        found.reasons[f"3 attempts failed; the last: HTTP 400: {1000 + number} tokens requested"] += 1
    found.reasons["3 requests got no answer; the last: timed out"] = 2
    found.reasons["HTTP 404: \x1b[2J not found"] = 1
    assert [number for _, number in found.kinds()] == [9, 9, 2, 1]
    lines = given_up_lines([found])
    assert lines[0] == "plan p, task t: 21 of 54 given up"
    assert lines[3] == "  2: 3 requests got no answer; the last: timed out"


@pytest.mark.parametrize(
    ("number", "wanted", "words"),
    [
        (0, 54, ""),
        (1, 1, "1 of 1 sample was given up: `coterie retry` asks it again"),
        (13, 54, "13 of 54 samples were given up: `coterie retry` asks them again"),
        (1300, 5400, "1,300 of 5,400 samples were given up: `coterie retry` asks them again"),
    ],
)
def test_how_many_in_words(number: int, wanted: int, words: str) -> None:
    assert given_up_words(number, wanted) == words


def test_a_command_that_makes_no_sense_is_refused() -> None:
    with pytest.raises(ValueError, match="retry: plan is a name"):
        decode("retry", {"plan": 3})
