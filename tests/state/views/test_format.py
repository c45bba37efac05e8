from __future__ import annotations

from state.views.format import interval, per_thousand


def test_an_interval_is_in_percent_with_one_decimal() -> None:
    assert interval(0.66, 0.581, 0.731) == "66.0 (58.1–73.1)"
    assert interval(1.0, 0.9625, 1.0) == "100.0 (96.2–100.0)"


def test_small_prices_are_per_thousand() -> None:
    assert per_thousand(0.0000953) == "$0.095"
    assert per_thousand(0.0069) == "$6.90"
    assert per_thousand(None) == "–"
