from __future__ import annotations

import re
from dataclasses import replace
from functools import cache
from xml.etree import ElementTree

import pytest

from engine.config.axes import AXES
from engine.config.experiment import ExperimentConfig, cells
from engine.report.canvas import Figure
from engine.report.figures import figures
from engine.report.intervals import ONE_SEED
from engine.report.matrix import points
from state.figure_data import FigureData
from tests.engine.report.matrices import EXPERIMENT, measured

HITS = {
    **{f"x.fine-tune-cot.s{seed}": [True, True, False] for seed in (0, 1)},
    **{f"x.fine-tune-cot.d1.s{seed}": [True, False, False] for seed in (0, 1)},
    **{f"x.fine-tune.s{seed}": [False, False, False] for seed in (0, 1)},
}


def drawn(experiment: ExperimentConfig | None = EXPERIMENT, task: str = "coin_flip") -> list[Figure]:
    results, figure_data = measured(EXPERIMENT, HITS)
    results = replace(
        results,
        tasks=tuple(replace(each, name=task) for each in results.tasks),
        plans=tuple(replace(each, task=task) for each in results.plans),
        runs=tuple(replace(each, task=task) for each in results.runs),
    )
    figure_data = FigureData(
        curves=tuple(replace(each, task=task) for each in figure_data.curves),
        pass_rates=tuple(replace(each, task=task) for each in figure_data.pass_rates),
        answers={(run, task): each for (run, _), each in figure_data.answers.items()},
    )
    return figures(results, figure_data, experiment, points(EXPERIMENT, results, figure_data))


@cache
def usual() -> tuple[Figure, ...]:
    """Drawn once for all tests that only look."""
    return tuple(drawn())


def test_what_was_measured_is_drawn_as_svg() -> None:
    found = usual()
    names = ["main-result", "accuracy-by-rationales", "accuracy-by-epoch", "pass-rates", "cost-per-correct"]
    assert [figure.name for figure in found] == names
    for figure in found:
        root = ElementTree.fromstring(figure.svg)
        assert root.tag.endswith("}svg") and figure.caption
        assert figure.pdf.startswith(b"%PDF") and b"/Type /Page" in figure.pdf
    words = "".join(ElementTree.fromstring(found[1].svg).itertext())
    assert all(word in words for word in ("fine-tune-cot", "fine-tune", "teacher", "coin_flip"))


def test_the_main_result_shows_every_arm_against_teacher_and_chance() -> None:
    main = usual()[0]
    words = [each.strip() for each in ElementTree.fromstring(main.svg).itertext()]
    assert {"fine-tune-cot", "fine-tune", "zero-shot-cot", "chance", "teacher", "student"} <= set(words)
    assert "fine-tune-cot.d1" not in words  # not at the base
    rows = {row["arm"]: row for row in main.rows}
    assert set(rows) == {"fine-tune-cot", "fine-tune", "zero-shot-cot", "chance"}
    cot = rows["fine-tune-cot"]
    assert cot["accuracy"] == pytest.approx(2 / 3) and (cot["n"], cot["seeds"]) == (3, 2)
    assert cot["low"] < cot["accuracy"] < cot["high"]
    assert (rows["chance"]["accuracy"], rows["zero-shot-cot"]["group"]) == (0.5, "teacher")
    width = float(re.search(r'width="([\d.]+)pt"', main.svg)[1])  # type: ignore[index]
    assert width * 96 / 72 < 360  # a phone shows it whole
    assert ONE_SEED not in main.caption
    each_run = drawn(None)[0]
    assert {row["arm"] for row in each_run.rows} > {"x.fine-tune.s0", "chance"}
    assert each_run.caption.endswith(ONE_SEED)


def test_every_figure_has_its_points_as_rows() -> None:
    for figure in usual():
        assert figure.rows and len({tuple(row) for row in figure.rows}) == 1  # one header for all
        assert all("task" in row for row in figure.rows)
    curve = next(figure for figure in usual() if figure.name == "accuracy-by-epoch")
    assert {"task": "coin_flip", "student": "x.fine-tune.s0", "epoch": 1.0, "accuracy": 0.2} in curve.rows


def test_the_same_measures_give_the_same_bytes() -> None:
    assert drawn() == list(usual())


def test_names_of_others_stay_text() -> None:
    hostile = '</text><script>x</script>$\\frac{1$ "&<\x1b[2J\u202e'
    for figure in drawn(task=hostile):
        root = ElementTree.fromstring(figure.svg)
        assert not [each for each in root.iter() if each.tag.endswith("script")]
        assert not re.search("[\x1b\u202e]", figure.svg)
    assert "\\frac{1$" in "".join(root.itertext())  # no formula is made of it


def test_without_an_experiment_there_are_the_courses() -> None:
    names = ["main-result", "accuracy-by-epoch", "pass-rates", "cost-per-correct"]
    assert [figure.name for figure in drawn(None)] == names


def test_nothing_is_drawn_for_nothing() -> None:
    results, _ = measured(EXPERIMENT, {})
    nothing = FigureData(curves=(), pass_rates=(), answers={})
    assert figures(replace(results, plans=()), nothing, EXPERIMENT, []) == []


def test_an_axis_of_which_one_value_is_measured_is_left_out() -> None:
    results, figure_data = measured(EXPERIMENT, {"x.fine-tune-cot.s0": [True]})
    found = figures(results, figure_data, EXPERIMENT, points(EXPERIMENT, results, figure_data))
    assert not [figure.name for figure in found if figure.name.startswith("accuracy-by-rat")]


@pytest.mark.parametrize(
    "name", [name for name, axis in AXES.items() if axis.setting or name == "rationales"]
)
def test_points_along_an_axis_of_numbers_are_joined(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    values = [8, 1] if name == "rationales" else [0.7, 0.9] if name == "temperature" else [8, 16]
    table = {"name": "x", "teachers": ["good"], "methods": ["fine-tune-cot"], "rationales": [8]}
    experiment = ExperimentConfig.model_validate(table | {AXES[name].key: values})
    every = cells(experiment)
    results, figure_data = measured(experiment, {cell.student: [True, False] for cell in every})
    drawn = []
    monkeypatch.setattr("matplotlib.axes.Axes.errorbar", lambda *_, linestyle, **__: drawn.append(linestyle))
    found = figures(
        replace(results, plans=()), figure_data, experiment, points(experiment, results, figure_data)
    )
    assert f"accuracy-by-{name}" in [figure.name for figure in found] and "-" in drawn


def test_plans_that_share_their_samples_have_one_cost_and_one_histogram() -> None:
    results, figure_data = measured(EXPERIMENT, {})
    (wide,) = [plan for plan in results.plans if plan.split == "train"]
    wide = replace(wide, fingerprint="r", accepted=80, spent_usd=1e-3, sampled_usd=4e-3)
    few = replace(wide, name="x.good.d1", accepted=10, spent_usd=3e-3)
    rates = replace(figure_data.pass_rates[0], fingerprint="r")
    figure_data = replace(figure_data, pass_rates=(replace(rates, plan="x.good.d1"), rates))
    told = {
        each.name: "".join(ElementTree.fromstring(each.svg).itertext())
        for each in figures(replace(results, plans=(few, wide)), figure_data, None, [])
    }
    for name in ("cost-per-correct", "pass-rates"):
        assert "x.good.d8" in told[name] and "x.good.d1" not in told[name]
    assert "0.05" in told["cost-per-correct"]  # 4 milli-dollars for 80, of which it paid one itself


def test_every_value_of_an_axis_has_its_place_also_before_it_is_measured() -> None:
    experiment = EXPERIMENT.model_copy(update={"rationales": [8, 1, 4]})
    results, figure_data = measured(experiment, HITS)
    (figure,) = [
        each
        for each in figures(results, figure_data, experiment, points(experiment, results, figure_data))
        if each.name == "accuracy-by-rationales"
    ]
    words = [each.strip() for each in ElementTree.fromstring(figure.svg).itertext() if each.strip()]
    places = [word for word in words[: words.index("Degree of reasoning diversity (D)")] if word in "148"]
    assert places == ["1", "4", "8"]


def test_the_course_says_of_which_seed_it_is_and_leaves_other_students_in() -> None:
    results, figure_data = measured(EXPERIMENT, HITS)
    other = replace(figure_data.curves[0], student="beside", epochs=(0.5, 200.0))
    figure_data = replace(figure_data, curves=(*figure_data.curves, other))
    figure = next(each for each in figures(results, figure_data, EXPERIMENT, []) if "epoch" in each.name)
    words = [each.strip() for each in ElementTree.fromstring(figure.svg).itertext()]
    assert figure.name == "accuracy-by-epoch" and figure.caption.endswith("First of 2 seeds (0).")
    assert {"beside", "fine-tune", "fine-tune-cot.d1"} <= set(words)
    assert not [word for word in words if word.endswith(".s1")]
    assert "epoch (logarithmic)" in words
