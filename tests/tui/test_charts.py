from __future__ import annotations

import pytest

from tui.charts import area, bar, blocks, forest, round_top, smoothed, sparkline, thinned


def test_a_bar_is_as_wide_as_asked_whatever_the_share() -> None:
    found = [bar(share, 4).plain for share in (-1, 0, 0.5, 0.6, 1, 7)]
    assert found == ["────", "────", "━━──", "━━╸─", "━━━━", "━━━━"]


def test_an_area_stands_on_its_foot_and_fills_its_width() -> None:
    lines = [line.plain for line in area([0.0, 1.0, 2.0, 4.0], 4, 2, 4.0)]
    assert [len(line) for line in lines] == [4, 4]
    assert lines[0].startswith("  ") and lines[0].endswith("⣿")
    assert lines[1].endswith("⣿⣿")


@pytest.mark.parametrize(("peak", "top"), [(0, 1), (0.07, 0.08), (1, 1), (20.4, 24), (31, 40), (999, 1000)])
def test_the_upper_edge_of_a_graph_is_round_and_near(peak: float, top: float) -> None:
    assert round_top(peak) == pytest.approx(top)


def test_a_forest_plot_has_interval_base_and_teacher_on_one_axis() -> None:
    line = forest(41, point=0.5, low=0.4, high=0.6, base=0.1, teacher=0.9).plain
    assert line == "·   ┃     ·     ━━━━●━━━━     ·     ◆   ·"
    assert forest(11, point=1.0, low=0.9, high=1.0).plain[-1] == "●"


def test_counts_stand_on_their_columns() -> None:
    lines = [line.plain for line in blocks([3, 1500, 0], 30, 6, roles=["accent"] * 3, labels=["0", "1", "2"])]
    assert len(lines) == 6
    assert "1,500" in lines[0]
    assert lines[-1].split() == ["0", "1", "2"]
    assert blocks([1] * 20, 30, 6, roles=[""] * 20, labels=[""] * 20) == []


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
