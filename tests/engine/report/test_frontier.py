from __future__ import annotations

from dataclasses import replace

from engine.report.frontier import _beside, _ticks, dollars, frontier, ledger
from state.views.frontier import CostPoint

SMALL = CostPoint(
    name="small",
    task="t",
    run_id=1,
    method="fine-tune",
    accuracy=0.5,
    low=0.45,
    high=0.55,
    n=400,
    parameters=50_000,
    bytes=200_000,
    prompt_tokens=30.0,
    completion_tokens=5.0,
    flops=3e6,
    train_flops=2e12,
    make_usd=0.0,
)
LARGE = replace(
    SMALL, name="large", run_id=2, accuracy=0.9, low=0.86, high=0.93, flops=8e6, make_usd=0.25, sources=(1,)
)
TEACHER = replace(
    SMALL,
    name="exam",
    run_id=None,
    flops=None,
    parameters=None,
    bytes=None,
    train_flops=None,
    answer_usd=1e-4,
)


def test_the_ledger_says_what_each_costs_and_who_is_on_the_front() -> None:
    text = ledger([SMALL, LARGE, TEACHER])
    small, large, exam = text.splitlines()[2:]
    assert "50.0 (45.0–55.0)" in small and "50,000" in small and "3.0" in small and "2.00e+12" in small
    assert "0.2500" in large
    assert [line.rstrip(" |").rpartition("|")[2].strip() for line in (small, large, exam)] == [
        *("FLOPs, $", "FLOPs, $", "–"),
    ]
    assert ledger([TEACHER]) == "" == ledger([])


def test_dollars_are_for_making_it_and_a_thousand_answers() -> None:
    assert (dollars(SMALL), dollars(TEACHER)) == (0.0, 0.1)


def test_the_figure_has_two_panels_a_task_and_its_points_as_rows() -> None:
    drawn = frontier([SMALL, LARGE, TEACHER])
    assert drawn is not None and drawn.name == "frontier"
    assert "3 points were compared" in drawn.caption
    rows = {row["name"]: row for row in drawn.rows}
    assert rows["large"]["sources"] == "1" and rows["large"]["front_by_flops"]
    assert not rows["exam"]["front_by_flops"] and not rows["exam"]["front_by_dollars"]
    assert drawn.svg == getattr(frontier([SMALL, LARGE, TEACHER]), "svg", "")
    for text in (
        "FLOPs a question",
        "$ to make, and to answer 1,000 questions",
        "large",
        "exam",
        "5M",
        "0.1",
    ):
        assert text in drawn.svg
    assert "mathdefault" not in drawn.svg, "formulas are not drawn, so marks are plain numbers"


def test_there_is_no_figure_of_a_single_student() -> None:
    assert frontier([SMALL, TEACHER]) is None
    assert frontier([SMALL, replace(LARGE, flops=None)]) is None


def test_points_of_one_price_stand_beside_each_other_and_axes_have_some_round_numbers() -> None:
    found = _beside([0.1, 0.2, 0.1, 0.1])
    assert found[1] == 0.2 and len(set(found)) == 4
    assert sorted(found)[1] == 0.1 and all(abs(each / 0.1 - 1) < 0.1 for each in sorted(found)[:3])
    assert _beside([]) == [] and _beside([3.0, 3.0])[0] < 3.0 < _beside([3.0, 3.0])[1]
    for least, most in ((9e6, 22e6), (0.045, 0.16), (1e6, 4e9), (0.061, 0.16), (1e-6, 10.0)):
        ticks = _ticks(least, most)
        assert 3 <= len(ticks) <= 6 and all(least <= each <= most for each in ticks)
