from __future__ import annotations

from dataclasses import replace

import pytest
from pydantic import ValidationError

from engine.config.experiment import ExperimentConfig, arm, cells
from engine.report import differences, render
from engine.report.comparisons import MOST
from engine.report.intervals import ONE_SEED
from engine.report.matrix import points
from state.figure_data import FigureData
from state.results import Results
from tests.engine.report.matrices import EXPERIMENT, measured
from tests.engine.report.test_markdown import RUN, TASK
from tests.engine.report.test_paired import run


def results(*students: str) -> Results:
    runs = tuple(replace(RUN, run_id=key, student=name) for key, name in enumerate(students, 1))
    return Results(
        tasks=(TASK,),
        plans=(),
        runs=runs,
        failed=(),
        config={"students": [{"name": name} for name in students]},
        boots=1,
        spent_usd=0.0,
        unknown_attempts=0,
        prompt_tokens=0,
        completion_tokens=0,
    )


def answers(*given: str) -> FigureData:
    """Of each run, by question: `+` is a correct answer, and a space none at all."""
    found = {(key, "coin_flip"): run(marks) for key, marks in enumerate(given, 1)}
    return FigureData(curves=(), pass_rates=(), answers=found)


def lines(table: str) -> list[list[str]]:
    rows = [line for line in table.splitlines() if line.startswith("| ")]
    return [[cell.strip() for cell in line.split("|")[1:-1]] for line in rows[2:]]


def of_experiment(experiment: ExperimentConfig, given: dict[str, str], teacher: str = "") -> str:
    made, figure_data = measured(
        experiment, {name: list(run(marks).values()) for name, marks in given.items()}
    )
    if teacher:
        taught = {key + 1: correct for key, correct in run(teacher).items()}
        figure_data = replace(figure_data, teacher_answers={("x.good.zero-shot-cot", "coin_flip"): taught})
    found = points(experiment, made, figure_data)
    return differences(made, figure_data, experiment, found)


def test_each_pair_of_a_task_is_a_line_on_the_questions_of_both() -> None:
    found = differences(results("base", "plain", "cot"), answers("+--+-- ", "++-----", "++++++ "))
    assert lines(found) == [
        ["coin_flip", "plain – base", "0.0 (−43.6 to +43.6)", "1.000", "1.000", "1", "1", "1", "6"],
        ["coin_flip", "cot – base", "+66.7 (+13.1 to +90.3)", "0.125", "0.375", "1", "4", "0", "6"],
        ["coin_flip", "cot – plain", "+66.7 (+13.1 to +90.3)", "0.125", "0.375", "1", "4", "0", "6"],
    ]
    assert "all 3 lines of this table: all pairs of students" in found and found.endswith(ONE_SEED)


def test_one_student_is_compared_with_nobody_and_many_are_not_listed() -> None:
    assert differences(results("one"), answers("++")) == ""
    many = [f"s{number}" for number in range(MOST + 1)]
    told = differences(results(*many), answers(*["+-"] * len(many)))
    assert told.startswith("coin_flip has 9 students")


def test_they_stand_in_the_report_below_the_accuracies() -> None:
    of = results("base", "cot")
    text = render(of, differences=differences(of, answers("+-", "++")))
    assert text.index("## Accuracy on test") < text.index("cot – base") < text.index("## Data")
    assert "Holm" in text and "Holm" not in render(of)


GIVEN = {
    "x.fine-tune-cot.s0": "+++++++---" * 5,
    "x.fine-tune-cot.s1": "++++++----" * 5,
    **{f"x.fine-tune.s{seed}": "+-+-+-+---" * 5 for seed in (0, 1)},
    "x.fine-tune-cot.d1.s0": "+++++-----" * 5,
}


def test_an_experiment_without_a_list_compares_the_students_at_the_base() -> None:
    (line,) = lines(of_experiment(EXPERIMENT, GIVEN))
    assert line[:2] == ["coin_flip", "fine-tune-cot – fine-tune"]
    assert line[2].startswith("+25.0 (−") and line[5:] == ["2", "–", "–", "50"]


def test_planned_comparisons_are_all_there_is_and_holm_counts_those_that_are_missing() -> None:
    pairs = [
        ["fine-tune-cot", "fine-tune"],
        ["fine-tune-cot", "fine-tune-cot.d1"],
        ["fine-tune-cot", "zero-shot-cot"],
        ["fine-tune-cot.bad", "fine-tune-cot"],
    ]
    experiment = ExperimentConfig.model_validate(EXPERIMENT.model_dump() | {"compare": pairs})
    told = of_experiment(experiment, GIVEN, teacher="++++------" * 5)
    found = lines(told)
    assert [line[1] for line in found] == [f"{first} – {second}" for first, second in pairs]
    assert [line[5] for line in found] == ["2", "2 and 1", "2 and 1", "–"]
    assert found[3][2] == "not measured"
    smallest, *others = sorted(found[:3], key=lambda line: float(line[3]))
    assert 0.01 < float(smallest[3]) < 0.2
    assert float(smallest[4]) == pytest.approx(4 * float(smallest[3]), abs=0.003)
    assert all(float(line[4]) >= float(smallest[4]) for line in others)
    alone = experiment.model_copy(update={"compare": pairs[:1]})
    assert (line := lines(of_experiment(alone, GIVEN))[0])[3] == line[4]
    assert "all 4 lines of this table: the planned comparisons" in told
    assert "1 of them are not measured yet" in told and ONE_SEED in told


def test_an_arm_is_named_like_its_students_without_name_and_seed() -> None:
    names = {arm(EXPERIMENT, cell) for cell in cells(EXPERIMENT)}
    assert names == {
        *("zero-shot-cot", "zero-shot-cot.bad", "fine-tune", "fine-tune.n5"),
        *("fine-tune-cot", "fine-tune-cot.d1", "fine-tune-cot.n5", "fine-tune-cot.bad"),
    }
    one = EXPERIMENT.model_copy(update={"seeds": [0]})
    assert {arm(one, cell) for cell in cells(one)} == names


@pytest.mark.parametrize(
    ("pair", "says"),
    [
        (["fine-tune-cot", "fine-tuna"], "'fine-tuna' is not an arm of this experiment; its arms: zero-shot"),
        (["x.fine-tune-cot.s0", "fine-tune"], "'x.fine-tune-cot.s0' is not an arm"),
        (["fine-tune", "fine-tune"], "compared with itself"),
        (["fine-tune"], "compare"),
    ],
)
def test_a_wrong_name_is_refused_with_the_names_there_are(pair: list[str], says: str) -> None:
    with pytest.raises(ValidationError, match=says):
        ExperimentConfig.model_validate(EXPERIMENT.model_dump() | {"compare": [pair]})
