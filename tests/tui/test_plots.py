"""Plots: framed, with round ticks, whatever the data."""

from __future__ import annotations

import math

import pytest
from rich.cells import cell_len

from tui.plots import Line, hundredths, legend, number, plot, ticks


@pytest.mark.parametrize(
    "values",
    [[], [1.0], [2.0, 2.0], [0.0, 1e9, -5.0], [math.nan, 1.0, math.inf], [1e-12, 2e-12]],
    ids=["none", "one", "flat", "far", "not finite", "tiny"],
)
@pytest.mark.parametrize("size", [(20, 5), (47, 9), (120, 30)])
def test_a_plot_fills_its_rectangle_whatever_the_values(values: list[float], size: tuple[int, int]) -> None:
    drawn = plot([Line(x=list(range(len(values))), y=values, dots=len(values) == 1)], *size)
    assert len(drawn) == size[1]
    assert all(cell_len(line.plain) <= size[0] for line in drawn)
    assert "└" in drawn[-2].plain


def test_what_cannot_be_read_is_not_drawn() -> None:
    assert plot([Line(x=[1, 2], y=[1, 2])], 12, 9) == plot([Line(x=[1, 2], y=[1, 2])], 40, 3) == []


def test_points_intervals_levels_and_axes_are_named() -> None:
    dev = Line(
        x=[1, 2, 3], y=[0.2, 0.3, 0.5], low=[0.1, 0.2, 0.4], high=[0.3, 0.4, 0.6], dots=True, label="dev"
    )
    teacher = Line(x=[], y=[0.74], role="teacher", label="teacher 74.0", dashed=True)
    drawn = plot([teacher, dev], 60, 16, x=(0, 4), y=(0, 1), y_text=hundredths, x_unit="epoch")
    text = "\n".join(line.plain for line in drawn)
    assert text.count("●") == 3
    assert text.count("│") > 14 + 3  # the frame, and the intervals
    assert "╌ teacher 74.0" in text
    assert "100 ┤" in text and "0 ┤" in text
    assert drawn[-1].plain.split()[-2:] == ["epoch", "4"]
    assert legend([teacher, dev]).plain == "● dev"


def test_ticks_are_round_and_few() -> None:
    assert ticks(0, 100, 5) == [0, 20, 40, 60, 80, 100]
    assert ticks(0.13, 0.87, 4) == pytest.approx([0.2, 0.4, 0.6, 0.8])
    assert [number(value) for value in (0, 0.5, 1.25, 340, 1500, 22_000)] == [
        "0",
        "0.5",
        "1.25",
        "340",
        "1,500",
        "22k",
    ]


def test_the_name_of_a_level_is_whole_where_a_curve_passes_its_end() -> None:
    level = Line(x=[], y=[0.5], role="teacher", label="teacher 50.0", dashed=True)
    curve = Line(x=[0, 5, 10], y=[0.1, 0.45, 0.5], label="run 4")
    for given in ([level, curve], [level]):
        drawn = plot(given, 60, 9, x=(0.0, 10.0), y=(0.0, 1.0))
        assert sum("teacher 50.0" in line.plain for line in drawn) == 1
    narrow = plot([level, curve], 20, 9, x=(0.0, 10.0), y=(0.0, 1.0))
    assert sum("teacher" in line.plain for line in narrow) == 1
