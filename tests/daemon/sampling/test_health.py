from __future__ import annotations

import math

from daemon.sampling.health import GROUPS_IN_VAIN, PERMANENT_PARKS, GroupSupport, Health


def test_a_teacher_takes_work_unless_it_is_paused_parked_or_disabled() -> None:
    health = Health()
    assert health.available
    health.pause()
    health.park("key refused")
    health.disable()
    assert not health.available and health.parked == "key refused"
    health.pause(False)
    assert not health.available
    health.unpark()
    assert not health.available
    health.disable(False)
    assert health.available and health.parked == ""


def test_refusals_in_a_row_are_the_teachers_fault_and_an_answer_ends_the_row() -> None:
    health = Health()
    questions = [f"What is {number}?" for number in range(PERMANENT_PARKS)]
    assert not any(health.refused(each) for each in questions[:-1])
    health.answered()
    assert not any(health.refused(each) for each in [*questions[:-1], *questions[:-1]]), "each counts once"
    assert health.refused(questions[-1]) and len(health.refused_in_a_row) == PERMANENT_PARKS
    health.unpark()
    assert not health.refused_in_a_row


def test_an_outage_begins_once_and_its_end_is_told_with_its_length() -> None:
    health = Health()
    assert [health.failed("server error (503)", 100.0) for _ in range(12)].count(True) == 1
    assert health.cooling and health.failing == "server error (503)"
    assert health.ready_at(100.0) > 100.0
    assert health.failing_since(130.0, 60.0) and not health.failing_since(161.0, 60.0)
    health.sent()
    assert health.ready_at(130.0) == math.inf, "one probe at a time"
    health.withdrawn()
    assert health.ready_at(130.0) == 130.0
    assert health.works(140.0) == 40.0
    assert health.works(141.0) is None and not health.cooling


def test_groups_in_vain_are_counted_in_a_row_and_forgotten_with_another_model() -> None:
    groups = GroupSupport()
    for _ in range(GROUPS_IN_VAIN - 1):
        assert not groups.ended(in_vain=True)
    assert not groups.ended(in_vain=False)
    told = [groups.ended(in_vain=True) for _ in range(GROUPS_IN_VAIN + 1)]
    assert told.count(True) == 1 and groups.one_by_one
    groups.forget()
    assert not groups.one_by_one
