from __future__ import annotations

import pytest

from daemon.limits.pauses import PAUSE_S, Pauses


def refused_so_often(times: int) -> tuple[Pauses, float]:
    """Pauses whose first request was refused each time, and when the last of them ends."""
    pauses, now = Pauses(0.0), 0.0
    for _ in range(times):
        pauses.sent(now)
        pauses.begin(now, None, pauses.refused(now))
        now = pauses.until
    return pauses, now


def test_pauses_double_while_the_first_request_after_each_is_refused() -> None:
    _, ended = refused_so_often(5)
    assert ended == pytest.approx(PAUSE_S * (1 + 2 + 4 + 8 + 16))


def test_a_first_request_that_is_answered_late_ends_the_doubling() -> None:
    pauses, now = refused_so_often(5)
    pauses.sent(now)  # it is taken, and worked on for long
    pauses.sent(now + 0.1)
    refusal = pauses.refused(now + 0.1)  # the server had room for one
    assert refusal == "unsure"
    pauses.begin(now + 0.2, None, refusal)
    assert pauses.left(now + 0.2) == pytest.approx(32 * PAUSE_S)
    pauses.answered(now)
    now = pauses.until
    pauses.sent(now)
    pauses.begin(now, None, pauses.refused(now))
    assert pauses.left(now) == pytest.approx(2 * PAUSE_S)


def test_a_first_request_that_is_refused_late_goes_on_with_it() -> None:
    pauses, now = refused_so_often(2)
    pauses.sent(now)
    pauses.sent(now + 0.1)
    pauses.begin(now + 0.11, None, pauses.refused(now + 0.1))  # of the later one
    assert pauses.left(now + 0.11) == pytest.approx(4 * PAUSE_S)
    assert pauses.covers(now, now + 0.12, None)  # of the first: no pause of its own, and a strike
    now = pauses.until
    pauses.sent(now)
    pauses.begin(now, None, pauses.refused(now))
    assert pauses.left(now) == pytest.approx(8 * PAUSE_S)
