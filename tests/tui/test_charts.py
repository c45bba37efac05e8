from __future__ import annotations

import pytest

from tui.charts import bar, smoothed, sparkline, thinned


def test_a_bar_is_as_wide_as_asked_whatever_the_share() -> None:
    assert [bar(share, 4) for share in (-1, 0, 0.5, 1, 7)] == ["░░░░", "░░░░", "██░░", "████", "████"]


def test_a_sparkline_keeps_peaks_when_it_has_fewer_cells_than_values() -> None:
    assert sparkline([0, 1, 2, 4, 8], 10) == "▁▁▂▄█"
    assert sparkline([0.0] * 30 + [9.0] + [0.0] * 29, 6) == "▁▁▁█▁▁"
    assert sparkline([0, 0], 5) == "▁▁"
    assert sparkline([], 5) == sparkline([1], 0) == ""


def test_smoothing_starts_at_the_first_value_and_follows() -> None:
    assert smoothed([2.0, 2.0, 2.0]) == pytest.approx([2.0, 2.0, 2.0])
    values = smoothed([4.0] + [1.0] * 60)
    assert values[0] == pytest.approx(4.0)
    assert values[-1] == pytest.approx(1.0, abs=0.01)


def test_thinning_keeps_first_and_last() -> None:
    assert thinned([1.0] * 3, 5) == [0, 1, 2]
    found = thinned([0.0] * 1000, 7)
    assert (len(found), found[0], found[-1]) == (7, 0, 999)
