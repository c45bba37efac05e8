from __future__ import annotations

import pytest

from daemon.limits.lateness import RUN, Lateness


@pytest.mark.parametrize(
    ("status", "latency_s", "late"),
    [
        (504, 0.3, True),
        (504, 60.0, True),
        (408, 60.0, True),
        (524, 100.0, True),
        (502, 60.0, True),
        (520, 30.0, True),
        (499, 5.0, True),
        (504, 0.01, False),
        (502, 0.2, False),
        (530, 0.1, False),
        (503, 60.0, False),
        (500, 60.0, False),
        (None, 60.0, False),
    ],
)
def test_before_anything_is_known(status: int | None, latency_s: float, late: bool) -> None:
    assert Lateness().is_late(status, latency_s) == late


def test_a_far_teachers_refusals_take_their_time() -> None:
    far = Lateness()
    far.refused(0.4)
    assert not far.is_late(502, 1.0) and not far.is_late(504, 0.7)
    assert far.is_late(502, 30.0) and far.is_late(504, 1.0)


def test_an_answer_bounds_what_a_refusal_takes() -> None:
    slow = Lateness()
    slow.answered(30.0)
    assert not slow.is_late(502, 0.8)
    assert slow.is_late(504, 60.0) and slow.is_late(504, 20.0)
    quick = Lateness()
    quick.answered(0.3)
    assert quick.is_late(504, 0.3), "as long as an answer"


def test_a_run_of_them_shows_the_gateways_timeout_once() -> None:
    lateness = Lateness()
    told = []
    for _ in range(RUN + 2):
        assert lateness.is_late(504, 60.0)
        told.append(lateness.gives_up(60.0))
    assert told == [False] * (RUN - 1) + [True, False, False]
    assert lateness.timeout_s == 60.0
    lateness.answered(3.0)
    assert lateness.timeout_s is None
    assert lateness.is_late(504, 60.0) and not lateness.gives_up(60.0)
