from __future__ import annotations

import json
import random
import zlib

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from state.budget import Spending, total_spending
from state.claims import OpenAttempt
from state.enums import Outcome, SampleState
from state.exports import samples
from state.outcomes import SampleEnd, Verdict, grade_stored
from tests.state.world import World, check_counts, ending, make, stored

HOSTILE = {
    "nul": "before\x00after",
    "escape": "\x1b]0;owned\x07 \x9b2J",
    "markup": "[@click=app.quit]x[/] {\"a\": 1} 'quoted' \\u0000 \\ud800",
    "pair": "smile \U0001f600 and e\u0301",
    "lines": "a\u2028b\x85c\r\nd",
    "long": "word " * 5000,
}


def test_a_stored_sample_has_its_texts_usage_and_verdict(world: World) -> None:
    (sample,) = world.claim(world.plan(), 1).samples
    world.record(
        stored(
            sample,
            finish_reason="stop",
            prompt_tokens=30,
            completion_tokens=12,
            cached_tokens=3,
            reasoning_tokens=2,
            latency_ms=80,
            provider_id="cmpl-1",
        )
    )
    assert world.row(
        "SELECT state, rationale, answer, verdict, extracted, flags, finish_reason, prompt_tokens,"
        " completion_tokens, cost_micros, reason FROM sample"
    ) == ("stored", "because", "yes", 1, "yes", "[]", "stop", 30, 12, 7, None)
    assert world.row(
        "SELECT outcome, status, provider_id, cost_micros, prompt_tokens, completion_tokens, cached_tokens,"
        " reasoning_tokens, estimated, latency_ms FROM attempt"
    ) == ("ok", 200, "cmpl-1", 7, 30, 12, 3, 2, 0, 80)
    assert world.row("SELECT grader, correct, extracted FROM grade") == ("g:1", 1, "yes")
    assert world.row("SELECT spent_micros, reserved_micros, accepted, stored FROM plan") == (7, 0, 1, 1)
    check_counts(world)


@pytest.mark.parametrize("raw", [b"", b" {} \n", bytes(range(256)) * 50, b"\xff\xfe not utf-8 \x00"], ids=len)
def test_bodies_are_kept_byte_for_byte(world: World, raw: bytes) -> None:
    (sample,) = world.claim(world.plan(), 1).samples
    world.record(stored(sample, raw=raw))
    kept, size = world.row("SELECT raw, size FROM completion")
    assert zlib.decompress(kept) == raw
    assert size == len(raw)


@pytest.mark.parametrize("text", HOSTILE.values(), ids=HOSTILE)
def test_whatever_a_teacher_writes_is_kept_as_it_is(world: World, text: str) -> None:
    first, second = world.claim(world.plan(), 2).samples
    verdict = Verdict(grader="g:1", correct=False, extracted=text, reason=text, flags=(text,))
    end = SampleEnd(state=SampleState.STORED, rationale=text, answer=text, flags=(text,), verdict=verdict)
    world.record(stored(first, provider_id=text, finish_reason=text, reason=text, end=end), stored(second))
    (row, other) = samples(world.connection)
    for name in ("rationale", "answer", "extracted", "finish_reason"):
        assert row[name] == text
    assert row["flags"] == [text]
    assert world.row("SELECT reason, provider_id FROM attempt WHERE id = ?", first.attempt.id) == (text, text)
    assert world.row("SELECT reason, flags FROM grade WHERE sample_id = ?", first.sample_id) == (
        *(text, json.dumps([text])),
    )
    assert other["rationale"] == "because"


def test_half_a_surrogate_pair_becomes_readable_and_spoils_nothing_else(world: World) -> None:
    first, second = world.claim(world.plan(), 2).samples
    bad, good = "x\ud800y \udc00\ud800 \ud83d\ude00", "x\ufffdy \ufffd\ufffd \U0001f600"
    verdict = Verdict(grader="g:1", correct=True, extracted=bad, reason=bad, flags=(bad,))
    end = SampleEnd(state=SampleState.STORED, rationale=bad, answer=bad, reason=bad, verdict=verdict)
    world.record(stored(first, provider_id=bad, reason=bad, finish_reason=bad, end=end), stored(second))
    kept = world.row(
        "SELECT s.rationale, s.answer, s.extracted, s.reason, s.finish_reason, g.reason, a.provider_id, a.reason"
        " FROM sample s JOIN grade g ON g.sample_id = s.id JOIN attempt a ON a.sample_id = s.id WHERE s.id = ?",
        first.sample_id,
    )
    assert kept == (good,) * 8
    assert world.row("SELECT rationale FROM sample WHERE id = ?", second.sample_id) == ("because",)
    check_counts(world)


def test_a_failed_sample_says_why_and_counts_as_failed(world: World) -> None:
    (sample,) = world.claim(world.plan(), 1).samples
    end = SampleEnd(state=SampleState.FAILED, reason="the question is too long")
    world.record(ending(sample, Outcome.PERMANENT, status=400, reason="too long", end=end))
    assert world.row("SELECT state, verdict, rationale, reason FROM sample") == (
        *("failed", None, None, "the question is too long"),
    )
    assert world.row("SELECT stored, failed, spent_micros, reserved_micros FROM plan") == (0, 1, 0, 0)
    assert world.row("SELECT count(*) FROM completion") == (0,)
    check_counts(world)


@pytest.mark.parametrize(
    ("outcome", "status", "expected"),
    [
        (Outcome.OK, 200, {"answered": 1}),
        (Outcome.LIMITED, 429, {"status_429": 1}),
        (Outcome.PARKED, 401, {"errors": 1}),
        (Outcome.TRANSIENT, 500, {"errors": 1, "retries": 1}),
        (Outcome.MALFORMED, 200, {"errors": 1, "retries": 1}),
        (Outcome.UNKNOWN, None, {"unknown_attempts": 1, "retries": 1}),
        (Outcome.PERMANENT, 400, {"errors": 1}),
        (Outcome.RELEASED, None, {}),
    ],
)
def test_each_outcome_counts_as_what_it_is(world: World, outcome, status, expected) -> None:
    (sample,) = world.claim(world.plan(), 1, cost=10).samples
    world.record(ending(sample, outcome, status=status, cost=3))
    names = ("answered", "status_429", "retries", "errors", "unknown_attempts")
    kept = dict(
        zip(names, world.row(f"SELECT {', '.join(names)} FROM teacher WHERE name = 'a'"), strict=True)
    )
    assert {name: value for name, value in kept.items() if value} == expected
    assert world.row("SELECT spent_micros, reserved_micros FROM teacher WHERE name = 'a'") == (3, 0)
    assert world.row("SELECT state FROM sample") == ("open",)
    check_counts(world)


def test_what_may_have_been_billed_is_counted_apart_from_what_was(world: World) -> None:
    found = world.claim(world.plan(), 2, cost=10).samples
    world.record(ending(found[0], Outcome.UNKNOWN, unknown_micros=10))
    world.record(ending(found[1], Outcome.MALFORMED, cost=4))
    money = "spent_micros, unknown_micros, reserved_micros"
    assert world.row(f"SELECT {money} FROM teacher WHERE name = 'a'") == (4, 10, 0)
    assert world.row(f"SELECT {money} FROM plan") == (4, 10, 0)
    assert world.rows("SELECT cost_micros, unknown_micros FROM attempt ORDER BY id") == [(0, 10), (4, 0)]
    assert world.rows("SELECT cost_micros FROM sample ORDER BY id") == [(0,), (4,)]
    assert total_spending(world.connection) == Spending(spent=4, reserved=0, unknown=10)
    assert total_spending(world.connection).used == 14
    check_counts(world)


def test_of_one_request_each_sample_is_booked_for_itself(world: World) -> None:
    found = world.claim(world.plan(), 4, cost=10).samples
    for outcome, pair, unknown, cost in ((Outcome.UNKNOWN, found[:2], 10, 0), (Outcome.OK, found[2:], 0, 4)):
        first, second = (ending(each, outcome, unknown_micros=unknown, cost=cost) for each in pair)
        second.leader = False
        world.record(first, second)
    assert world.rows("SELECT unknowns, attempts, cost_micros FROM sample ORDER BY id") == [
        *((1, 0, 0), (1, 0, 0), (0, 0, 4), (0, 0, 4))
    ]
    money = "spent_micros, unknown_micros, reserved_micros"
    assert world.row(f"SELECT {money} FROM teacher WHERE name = 'a'") == (8, 20, 0)
    assert world.row(f"SELECT {money} FROM plan") == (8, 20, 0)
    assert world.row("SELECT answered, retries, unknown_attempts FROM teacher WHERE name = 'a'") == (1, 1, 2)


def test_only_what_is_the_samples_own_fault_uses_up_its_attempts(world: World) -> None:
    found = world.claim(world.plan(), 2).samples
    world.record(
        ending(found[0], Outcome.TRANSIENT, counts=True), ending(found[1], Outcome.LIMITED, status=429)
    )
    assert world.rows("SELECT attempts FROM sample ORDER BY id") == [(1,), (0,)]
    check_counts(world)


def test_a_sample_belongs_to_the_teacher_that_answered_last(world: World) -> None:
    (sample,) = world.claim(world.plan(), 1).samples
    world.record(ending(sample, Outcome.RELEASED))
    attempt = world.open_again(sample, teacher="b")
    world.record(stored(sample, attempt=attempt, teacher_id=world.teachers["b"]))
    assert world.row("SELECT t.name FROM sample s JOIN teacher t ON t.id = s.teacher_id") == ("b",)
    check_counts(world)


def test_a_missing_verdict_can_be_given_later_and_only_once(world: World) -> None:
    plan = world.plan()
    world.plan("other", rationales=1)
    found = world.claim(plan, 2)
    world.store(found, correct=None)
    assert world.row("SELECT stored, accepted, rejected FROM plan WHERE id = ?", plan) == (2, 0, 0)
    verdict = Verdict(grader="g:1", correct=True, extracted="\ud800yes", reason="r")
    for _ in range(2):
        world.connection.execute("BEGIN IMMEDIATE")
        grade_stored(world.connection, [(found.samples[0].sample_id, verdict)])
        world.connection.execute("COMMIT")
    assert world.row("SELECT stored, accepted, rejected FROM plan WHERE id = ?", plan) == (2, 1, 0)
    assert world.row("SELECT extracted FROM sample WHERE verdict = 1") == ("\ufffdyes",)
    check_counts(world)


def test_one_group_may_hold_several_endings_of_one_sample(world: World) -> None:
    (sample,) = world.claim(world.plan(), 1).samples
    last = world.open_again(sample, turn=1)
    world.record(
        ending(sample, Outcome.OK, cost=2, prompt_tokens=5, raw=b"1"),
        stored(sample, attempt=last, cost=3, prompt_tokens=6),
    )
    assert world.row("SELECT state, cost_micros, prompt_tokens FROM sample") == ("stored", 5, 11)
    check_counts(world)


TROUBLES = [
    *(Outcome.LIMITED, Outcome.PARKED, Outcome.TRANSIENT, Outcome.MALFORMED, Outcome.UNKNOWN),
    *(Outcome.PERMANENT, Outcome.RELEASED),
]


@settings(max_examples=16, deadline=None)
@given(seed=st.integers(0, 10**6), steps=st.integers(1, 25))
def test_counters_are_right_after_any_sequence_of_events(tmp_path_factory, seed: int, steps: int) -> None:
    rng = random.Random(seed)
    world = make(tmp_path_factory.mktemp("outcomes") / "state.db", questions=4)
    plans = [
        world.plan("p", rationales=2),
        world.plan("q", rationales=4, base=1, want=1),
        world.plan("r", recipe="r2"),
        world.plan("s", rationales=5, base=2, want=2),
        world.plan("u", rationales=3, target=5),
        world.plan("v", rationales=3, recipe="r2", base=2, want=1, target=2),
    ]
    in_flight: list[tuple[object, OpenAttempt, int]] = []
    idle: list[object] = []
    for _ in range(steps):
        step = rng.randrange(10)
        if step < 3:
            found = world.claim(
                rng.choice(plans),
                rng.randint(1, 4),
                allowance=rng.randint(0, 60),
                cost=rng.randint(0, 15),
                teacher=rng.choice("ab"),
            )
            in_flight += [(sample, sample.attempt, sample.teacher_id) for sample in found.samples]
        elif step < 5 and idle:
            sample = idle.pop(rng.randrange(len(idle)))
            name = rng.choice("ab")
            attempt = world.open_again(sample, reserved=rng.randint(0, 20), teacher=name)
            in_flight.append((sample, attempt, world.teachers[name]))
        elif step == 5:
            assert world.reboot() == len(in_flight)
            idle += [sample for sample, _, _ in in_flight]
            in_flight = []
        else:
            rng.shuffle(in_flight)
            endings = []
            for _ in range(min(len(in_flight), rng.randint(1, 3))):
                sample, attempt, teacher = in_flight.pop()
                more = {"attempt": attempt, "teacher_id": teacher, "prompt_tokens": rng.randint(0, 9)}
                if rng.random() < 0.6:
                    correct = rng.choice([True, False, None])
                    endings.append(stored(sample, correct=correct, cost=rng.randint(0, 9), **more))
                else:
                    end = None
                    if rng.random() < 0.3:
                        end = SampleEnd(state=SampleState.FAILED, reason="why")
                    else:
                        idle.append(sample)
                    outcome = rng.choice(TROUBLES)
                    endings.append(ending(sample, outcome, cost=rng.randint(0, 9), end=end, **more))
            world.record(*endings)
        check_counts(world)
    states = dict(world.rows("SELECT state, count(*) FROM sample GROUP BY 1"))
    assert states.get("open", 0) == len(in_flight) + len(idle)
    world.connection.close()


def test_a_sample_ends_once(world: World) -> None:
    """Whatever comes after its end is kept as an attempt and changes neither its texts nor what was counted."""
    (sample,) = world.claim(world.plan(), 1).samples
    world.record(stored(sample))
    late = SampleEnd(state=SampleState.FAILED, reason="too late")
    world.record(ending(sample, Outcome.PERMANENT, attempt=world.open_again(sample), end=late))
    assert world.row("SELECT state, rationale, reason FROM sample") == ("stored", "because", None)
    assert world.row("SELECT stored, failed FROM plan") == (1, 0)
    check_counts(world)
