from __future__ import annotations

import itertools
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from daemon.limits.evidence import PROBES_S, KeyEvidence, Owner


class Key:
    """A key with requests whose questions are their samples, a second apart."""

    def __init__(self, *, before: bool = False) -> None:
        self.evidence = KeyEvidence(answered_before=before)
        self.now = 1000.0
        self.fresh = itertools.count(100)

    def send(self, sample: int) -> object:
        self.now += 1.0
        return self.evidence.sent(sample, sample, self.now)

    def answer(self, asked: object = None) -> float | None:
        asked = asked or self.send(next(self.fresh))
        self.now += 0.1
        return self.evidence.answered(asked, self.now)  # type: ignore[arg-type]

    def refuse(self, asked: object, *, enough: int = 2) -> Owner:
        self.now += 0.1
        return self.evidence.refused(asked, self.now, "no", enough=enough)  # type: ignore[arg-type]

    def limit(self, sample: int) -> Owner:
        asked = self.send(sample)
        self.now += 0.1
        return self.evidence.limited(asked, self.now, "slow")  # type: ignore[arg-type]

    def left_alone(self, sample: int, most: int, **more: float) -> int:
        asked = self.evidence.sent(sample, sample, self.now)
        self.evidence.ended(asked)
        return self.evidence.left_alone(asked, most, **more)

    @property
    def waits(self) -> float:
        return self.evidence.ready_at(self.now) - self.now


def test_a_refusal_among_answers_is_the_requests_and_nothing_waits() -> None:
    key = Key()
    one, other = key.send(1), key.send(2)
    key.answer(other)
    assert key.refuse(one) == "request"
    assert key.waits == 0


def test_what_is_in_flight_may_clear_the_key() -> None:
    key = Key()
    first = [key.send(sample) for sample in range(5)]
    assert key.refuse(first[0]) == "open"
    assert key.waits == math.inf, "nothing more leaves"
    key.answer(first[1])
    assert key.waits == 0
    assert key.refuse(key.send(0)) == "request", "the same one again, while others are answered"


def test_with_nothing_in_flight_one_other_question_probes() -> None:
    key = Key()
    assert key.refuse(key.send(1)) == "open"
    assert key.waits == 0
    probe = key.send(2)
    assert key.waits == math.inf, "one at a time"
    assert key.refuse(probe) == "key"


def test_a_key_that_never_worked_is_told_with_its_last_refusal_in_flight() -> None:
    key = Key()
    asked = [key.send(sample) for sample in range(16)]
    assert [key.refuse(each, enough=1) for each in asked] == ["open"] * 15 + ["key"]
    assert key.evidence.suspend(key.now) is None


def test_a_single_question_that_is_left_shows_it_after_a_while() -> None:
    key = Key(before=True)
    assert [key.refuse(key.send(1)) for _ in range(4)] == ["open", "open", "open", "key"]


def test_a_key_that_worked_is_probed_after_1_5_and_15_minutes() -> None:
    key = Key(before=True)
    key.refuse(key.send(1))
    assert key.refuse(key.send(2)) == "key"
    for wait in PROBES_S:
        assert key.evidence.suspend(key.now) == wait
        assert key.evidence.suspended and key.waits == pytest.approx(wait)
        assert key.evidence.told(key.now).startswith("no; tried again in ")
        key.now += wait
        assert key.waits == 0
        probe = key.send(next(key.fresh))
        assert key.waits == math.inf
        assert key.refuse(probe) == "key"
    assert key.evidence.suspend(key.now) is None


def test_an_answer_to_a_probe_ends_the_suspension_with_its_length() -> None:
    key = Key(before=True)
    key.refuse(key.send(1))
    key.refuse(key.send(2))
    key.evidence.suspend(key.now)
    began = key.now
    key.now += 60
    assert key.answer(key.send(3)) == pytest.approx(key.now - began)
    assert not key.evidence.suspended and key.waits == 0
    key.refuse(key.send(4))
    key.refuse(key.send(5))
    assert key.evidence.suspend(key.now) == PROBES_S[0], "the schedule starts over"


def test_what_the_user_did_is_tried_at_once_and_another_key_never_worked() -> None:
    key = Key(before=True)
    key.refuse(key.send(1))
    key.refuse(key.send(2))
    key.evidence.suspend(key.now)
    assert key.evidence.look_again()
    assert key.waits == 0
    key.refuse(key.send(1))
    key.evidence.forget_key()
    key.evidence.look_again()
    assert key.refuse(key.send(3), enough=1) == "key"
    assert key.evidence.suspend(key.now) is None


def test_a_request_refused_again_and_again_while_others_are_answered_is_hopeless() -> None:
    key = Key()
    count = 0
    while not key.evidence.hopeless(1, 3, limit=True):
        key.limit(1)
        for _ in range(3):
            key.answer()
        count += 1
        assert count < 10
    assert count >= 3 and key.evidence.refusals(1) == count


def test_at_the_end_of_a_run_a_limit_a_minute_must_have_passed() -> None:
    key = Key()
    key.limit(1)
    began = key.now
    for _ in range(20):
        key.answer()
    while not key.evidence.hopeless(1, 3, limit=True):
        key.now += 5
        assert key.limit(1) == "request"
    assert key.now - began >= 65
    assert key.evidence.hopeless(1, 3, limit=False), "a refusal that is not a limit needs no time"


def test_what_is_refused_by_chance_is_not_hopeless() -> None:
    """Half of all requests are refused: a sample that had bad luck eight times is one of many."""
    key = Key()
    for number in range(100):
        key.limit(1000 + number)
        key.answer()
    for _ in range(8):
        key.limit(1)
        key.answer()
    assert not key.evidence.hopeless(1, 8, limit=True)


def test_refusals_that_others_share_are_not_the_samples() -> None:
    key = Key()
    key.limit(1)
    key.answer()
    for number in range(30):  # a limit, reached by all
        assert key.limit(2000 + number) == "open"
        assert key.limit(1) == "open"
    assert not key.evidence.hopeless(1, 1, limit=False)


def test_the_last_few_that_a_limit_refuses_for_hours_are_given_up() -> None:
    key = Key(before=True)
    for _ in range(8):
        assert key.limit(1) == "open"
    assert not key.left_alone(1, 8)
    key.now += 7200
    key.limit(1)
    assert not key.left_alone(1, 8), "it was not asked meanwhile"
    for _ in range(7):
        key.now += 900
        key.limit(1)
    assert key.left_alone(1, 8) == 16
    for sample in (2, 3, 4):
        key.limit(sample)
    assert not key.left_alone(1, 8), "a limit of all"
    for _ in range(3):
        key.now += 900
        key.limit(1)
    assert key.left_alone(1, 8) == 19, "four questions alone, for forty minutes each"


def test_two_requests_that_are_refused_for_themselves_at_the_end_do_not_hide_each_other() -> None:
    key = Key()
    first = [key.send(1), key.send(2)]
    for _ in range(20):
        key.answer()
    for each in first:
        assert key.refuse(each) == "request"
    for _ in range(8):
        assert key.refuse(key.send(1)) == key.refuse(key.send(2)) == "request"
    assert key.evidence.hopeless(1, 8, limit=False) and key.evidence.hopeless(2, 8, limit=False)
    assert key.waits == 0


def test_a_limit_of_all_at_the_end_gives_nobody_up_who_met_one_of_its_own_before() -> None:
    key = Key()
    key.limit(1)
    for _ in range(50):
        key.answer()
    for _ in range(30):  # ten minutes
        key.now += 20
        assert key.limit(1) == "request"
    assert not key.evidence.hopeless(1, 4, limit=True)
    for _ in range(35):
        key.now += 20
        key.limit(1)
    assert key.evidence.hopeless(1, 4, limit=True) == 65


def test_a_limit_that_one_question_met_does_not_make_a_revoked_key_its_own_fault() -> None:
    key = Key()
    key.limit(1)
    for _ in range(50):
        key.answer()
    assert [key.refuse(key.send(1)) for _ in range(4)] == ["open", "open", "open", "key"]
    assert not key.evidence.hopeless(1, 2, limit=False)
    key.answer(key.send(1))
    assert key.refuse(key.send(2)) == "open"
    for _ in range(50):
        key.answer()
    assert [key.limit(2) for _ in range(8)] == ["open"] * 8, "nor the other way round"


def test_a_revoked_key_is_found_though_old_requests_are_still_answered() -> None:
    key = Key()
    old = [key.send(sample) for sample in range(50)]
    for each in old:
        asked = key.send(next(key.fresh))
        assert key.refuse(asked) == "open"
        key.answer(each)
    assert key.refuse(key.send(next(key.fresh))) == "open"
    assert key.refuse(key.send(next(key.fresh))) == "key"
    assert not any(key.evidence.hopeless(sample, 1, limit=False) for sample in range(200))


def test_only_refusals_for_minutes_show_their_words() -> None:
    key = Key()
    key.answer()
    key.limit(1)
    assert key.evidence.told(key.now) == ""
    key.now += 130
    assert key.evidence.told(key.now) == "only refusals for 2m10s: slow"
    key.answer()
    assert key.evidence.told(key.now + 500) == ""


@given(st.lists(st.sampled_from(("send", "answer", "refuse", "limit", "end", "resume", "wait")), max_size=80))
def test_a_request_can_leave_whenever_nothing_is_in_flight(steps: list[str]) -> None:
    """No order of events leaves a key that waits for something that cannot come."""
    key, out = Key(), []
    for number, step in enumerate(steps):
        if step == "send":
            if key.waits <= 0:
                out.append(key.send(number % 7))
        elif step == "wait":
            key.now += 50
        elif step == "resume":
            key.evidence.look_again()
        elif out:
            asked = out.pop(0)
            if step == "answer":
                key.answer(asked)
            elif step == "limit":
                key.evidence.limited(asked, key.now, "slow")
            elif step == "end":
                key.evidence.ended(asked)
            elif step == "refuse" and key.refuse(asked) == "key" and key.evidence.suspend(key.now) is None:
                key.evidence.look_again()
        assert out or key.waits <= PROBES_S[-1]


def test_what_is_refused_again_after_a_resume_is_the_requests() -> None:
    key = Key(before=True)
    refused, answered = key.send(1), key.send(2)
    key.refuse(refused)
    key.answer(answered)
    for asked in (key.send(1), key.send(3)):
        key.refuse(asked)
    key.evidence.look_again()
    again = [key.send(sample) for sample in (1, 2, 3, 4)]
    assert [key.evidence.is_vouched(asked) for asked in again] == [True, False, True, False]  # type: ignore[arg-type]
    key.refuse(again[3])
    key.evidence.forget_key()
    key.evidence.look_again()
    assert not any(key.evidence.is_vouched(asked) for asked in again), "another key vouches for nothing"  # type: ignore[arg-type]


def test_the_last_few_questions_need_no_others_to_compare_with() -> None:
    key = Key(before=True)
    for _ in range(7):
        for sample in (1, 2, 3):
            key.refuse(key.send(sample), enough=5)
    assert not key.left_alone(1, 8, seconds=0)
    key.refuse(key.send(1), enough=5)
    assert key.evidence.few_left and key.left_alone(1, 8, seconds=0) == 8
    key.refuse(key.send(4), enough=5)
    assert not key.evidence.few_left and not key.left_alone(1, 8, seconds=0)
