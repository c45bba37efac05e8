from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from daemon.sampling.meters import SECONDS, Latencies, Meter


def test_a_new_meter_has_nothing() -> None:
    meter = Meter(100.5)
    assert meter.series(100.5) == []
    assert meter.total(100.5) == meter.per_second(100.5) == meter.per_minute(100.5) == 0.0


def test_amounts_stand_in_their_second() -> None:
    meter = Meter(100.0)
    meter.add(100.2)
    meter.add(100.9, 2)
    meter.add(102.0, 5)
    assert meter.series(102.5) == [3.0, 0.0]
    assert meter.series(103.0) == [3.0, 0.0, 5.0]
    assert meter.total(102.5) == 8.0
    assert meter.per_second(104.0) == pytest.approx(2.0)
    assert meter.per_second(104.0, window=2) == pytest.approx(2.5)


def test_a_young_meter_extrapolates_to_a_minute() -> None:
    meter = Meter(0.0)
    for second in range(10):
        meter.add(second + 0.5, 5)
    assert meter.per_minute(10.0) == pytest.approx(300)
    assert Meter(0.0).per_minute(0.0) == 0.0


@pytest.mark.parametrize("fraction", [0.0, 0.25, 0.99])
def test_a_steady_rate_is_shown_as_it_is(fraction: float) -> None:
    meter = Meter(0.0)
    for tick in range(int(200 * 20 + fraction * 20)):
        meter.add(tick / 20)
    assert meter.per_minute(200 + fraction) == pytest.approx(1200, abs=2)


def test_what_is_older_than_a_minute_is_forgotten() -> None:
    meter = Meter(0.0)
    meter.add(0.5, 100)
    assert meter.total(59.9) == 100
    assert meter.total(61.5) == 0
    meter.add(10_000.0, 1)
    assert meter.series(10_000.5) == [0.0] * SECONDS


@given(
    start=st.floats(0, 1e6),
    steps=st.lists(st.tuples(st.floats(0, 90), st.integers(0, 9)), max_size=40),
)
def test_a_meter_agrees_with_a_plain_count(start: float, steps: list[tuple[float, int]]) -> None:
    meter, now, log = Meter(start), start, []
    for wait, amount in steps:
        now += wait
        meter.add(now, amount)
        log.append((int(now), amount))
    past = [
        sum(amount for second, amount in log if second == int(now) - back)
        for back in range(SECONDS, 0, -1)
        if int(now) - back >= int(start)
    ]
    assert meter.series(now) == past
    current = sum(amount for second, amount in log if second == int(now))
    leaving = past[0] * (now % 1) if len(past) == SECONDS else 0
    assert meter.total(now) == pytest.approx(sum(past) + current - leaving)


def test_quantiles_are_values_that_were_seen() -> None:
    latencies = Latencies(size=100)
    assert latencies.quantile(0.5) is None
    for value in range(200, 0, -1):  # the last hundred: 100 … 1
        latencies.add(value)
    assert latencies.quantile(0.5) == 50
    assert latencies.quantile(0.95) == 95
    assert (latencies.quantile(0.0), latencies.quantile(1.0)) == (1, 100)
