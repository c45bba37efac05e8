from __future__ import annotations

from dataclasses import replace

from engine.config.experiment import ExperimentConfig
from engine.report.intervals import ONE_SEED
from engine.report.matrix import Point, headline, points, tables
from tests.engine.report.matrices import EXPERIMENT, measured

HALF, ALL, NONE = [True, False], [True, True], [False, False]


def found(point: Point) -> tuple[float | None, int, int]:
    return (point.estimate.accuracy if point.estimate else None, point.done, point.wanted)


def by_name(experiment: ExperimentConfig, **answers: list[bool]) -> dict[str, tuple[float | None, int, int]]:
    results, figure_data = measured(
        experiment, {name.replace("_", "."): each for name, each in answers.items()}
    )
    return {
        " ".join(
            str(value) for value in (*(p.cell.method, p.cell.teacher, p.cell.rationales, p.cell.questions),)
        ): found(p)
        for p in points(experiment, results, figure_data)
    }


def test_a_cell_is_all_its_seeds_together() -> None:
    answers = {"x.fine-tune-cot.s0": HALF, "x.fine-tune-cot.s1": ALL, "x.fine-tune-cot.d1.s1": NONE}
    told = by_name(EXPERIMENT, **answers)
    assert told["fine-tune-cot good 8 all"] == (0.75, 2, 2)
    assert told["fine-tune-cot good 1 all"] == (0.0, 1, 2)
    assert told["fine-tune-cot bad 8 all"] == (None, 0, 2)
    assert told["zero-shot-cot good 8 all"] == (0.5, 4, 4)  # two of four: what failed is wrong
    assert told["zero-shot-cot bad 8 all"] == (None, 0, 1)


def test_of_several_runs_of_a_student_the_newest_counts() -> None:
    results, figure_data = measured(EXPERIMENT, {"x.fine-tune.s0": HALF})
    (run,) = results.runs
    later = type(run)(**{name: getattr(run, name) for name in run.__slots__} | {"run_id": 99})
    results = type(results)(
        **{name: getattr(results, name) for name in results.__slots__} | {"runs": (run, later)}
    )
    figure_data.answers[99, run.task] = {1: True, 2: True}
    plain = next(p for p in points(EXPERIMENT, results, figure_data) if p.cell.method == "fine-tune")
    assert found(plain) == (1.0, 1, 2)


def test_tables_vary_one_axis_and_say_what_is_missing() -> None:
    answers = {"x.fine-tune-cot.s0": HALF, "x.fine-tune-cot.s1": ALL, "x.fine-tune-cot.d1.s1": NONE}
    answers |= {"x.fine-tune.s0": NONE, "x.fine-tune.s1": NONE, "x.fine-tune-cot.n5.s0": NONE}
    results, figure_data = measured(EXPERIMENT, answers)
    told = dict(tables(EXPERIMENT, points(EXPERIMENT, results, figure_data), {"coin_flip": 0.5}))
    titles = ["Methods", "Degree of reasoning diversity (D)", "Training questions", "Teacher"]
    assert list(told) == [*titles, "Behind each accuracy"]  # bases and filters have one value each
    rows = {
        title: [line.split("|")[1].strip() for line in table.splitlines()[2:] if line.startswith("|")]
        for title, table in told.items()
    }
    assert rows["Methods"] == [
        "random",
        "zero-shot-cot (good)",
        "zero-shot-cot (bad)",
        "fine-tune",
        "fine-tune-cot, D = 1",
        "fine-tune-cot, D = 8",
    ]
    assert rows["Degree of reasoning diversity (D)"] == [
        "fine-tune",
        "fine-tune-cot, D = 1",
        "fine-tune-cot, D = 8",
    ]
    assert rows["Teacher"] == ["fine-tune", "fine-tune-cot, good", "fine-tune-cot, bad"]
    assert rows["Training questions"] == [
        *("fine-tune, 5", "fine-tune, all", "fine-tune-cot, 5", "fine-tune-cot, all"),
    ]
    one = next(line for line in told["Degree of reasoning diversity (D)"].splitlines() if "D = 1" in line)
    assert "0.0 (" in one and "[1 of 2 seeds]" in one
    head = told["Methods"].splitlines()[0]
    assert [cell.strip() for cell in head.strip("|").split("|")] == ["", "coin_flip (n = 4)", "seeds"]
    by_label = {line.split("|")[1].strip(): line.split("|") for line in told["Methods"].splitlines()[2:]}
    assert by_label["fine-tune"][3].strip() == "2" and "[n = 2]" in by_label["fine-tune"][2]
    assert by_label["zero-shot-cot (good)"][3].strip() == "–"


def test_the_untrained_base_has_a_row_for_each_strategy_beside_what_became_of_it() -> None:
    experiment = EXPERIMENT.model_copy(
        update={"methods": ["base", "fine-tune"], "bases": ["a/small", "a/large"]}
    )
    answers = {"x.base.zero-shot": HALF, "x.base.zero-shot-cot.large": ALL, "x.fine-tune.s0": NONE}
    results, figure_data = measured(experiment, answers)
    made = points(experiment, results, figure_data)
    told = dict(tables(experiment, made))
    table = {
        title: {
            line.split("|")[1].strip(): line.split("|")[2].strip().split(" ")[0]
            for line in told[title].splitlines()[2:]
        }
        for title in ("Methods", "Student")
    }
    assert table["Methods"] == {"base, zero-shot": "50.0", "base, zero-shot-cot": "–", "fine-tune": "0.0"}
    assert table["Student"] == {
        "base, zero-shot, a/large": "–",
        "base, zero-shot, a/small": "50.0",
        "base, zero-shot-cot, a/large": "100.0",
        "base, zero-shot-cot, a/small": "–",
        "fine-tune, a/large": "–",
        "fine-tune, a/small": "0.0",
    }
    behind = {line.split("|")[1].strip() for line in told["Behind each accuracy"].splitlines() if "|" in line}
    assert {"base.zero-shot", "base.zero-shot-cot.large", "fine-tune"} <= behind
    assert any("base, zero-shot 50.0" in line for line in headline(experiment, made))


def test_what_each_cell_read_stands_beside_its_accuracy() -> None:
    answers = {
        "x.fine-tune-cot.s0": HALF,
        "x.fine-tune-cot.s1": ALL,
        "x.fine-tune-cot.d1.s1": NONE,
        "x.fine-tune.s0": ALL,
    }
    results, figure_data = measured(EXPERIMENT, answers)
    first, *others = results.runs
    first = replace(first, passes=4.0, step=80, warm_start=3, test_reads=2)
    results = replace(
        results,
        runs=(first, *(replace(run, passes=2.5, step=1200) for run in others)),
        plans=tuple(replace(plan, sampled_usd=0.5, tokens=12_000) for plan in results.plans),
    )
    found = points(EXPERIMENT, results, figure_data)
    told = dict(tables(EXPERIMENT, found, paper={("x.fine-tune.s0", "coin_flip"): 0.75}))
    table, _, note = told["Behind each accuracy"].partition("\n\n")
    head, _, *rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in table.splitlines()]
    runs = {run.student: run for run in results.runs}
    ends = [runs["x.fine-tune-cot.s0"], runs["x.fine-tune-cot.s1"]]
    mean = round(sum(run.rows for run in ends) / 2)
    assert first.student == "x.fine-tune.s0"
    assert head[3:] == [
        *(
            "n",
            "seeds",
            "rows (questions)",
            "teacher tokens",
            "$",
            "passes",
            "steps",
            "warm start",
            "test read",
        ),
        "as the paper counted",
    ]
    assert [row[:2] + row[3:] for row in rows] == [
        [
            "fine-tune",
            "coin_flip",
            "2",
            "1",
            f"{first.rows} (9)",
            "–",
            "–",
            "4.0",
            "80",
            "run 3",
            "2",
            "*75.0*",
        ],
        [
            "fine-tune-cot",
            "coin_flip",
            "2",
            "2",
            f"{mean} (9)",
            "12,000",
            "0.5000",
            "2.5",
            "1,200",
            "no",
            "1",
            "–",
        ],
        ["fine-tune-cot.d1", "coin_flip", "2", "1", f"{runs['x.fine-tune-cot.d1.s1'].rows} (9)"]
        + ["–", "–", "2.5", "1,200", "no", "1", "–"],  # its plan is not known
    ]
    assert note == ONE_SEED


def test_arms_that_all_have_several_seeds_have_no_note_on_one_seed() -> None:
    results, figure_data = measured(EXPERIMENT, {f"x.fine-tune.s{seed}": HALF for seed in (0, 1)})
    behind = dict(tables(EXPERIMENT, points(EXPERIMENT, results, figure_data)))["Behind each accuracy"]
    assert ONE_SEED not in behind and "as the paper" not in behind


def test_a_run_that_another_one_with_new_settings_follows_is_no_result_of_the_cell() -> None:
    results, figure_data = measured(EXPERIMENT, {"x.fine-tune.s0": HALF, "x.fine-tune.s1": HALF})
    first, second = results.runs
    results = replace(results, runs=(replace(first, superseded=True), second))
    plain = next(p for p in points(EXPERIMENT, results, figure_data) if p.cell.method == "fine-tune")
    assert found(plain) == (0.5, 1, 2)


def test_a_baseline_that_is_not_through_says_how_far_it_is() -> None:
    results, figure_data = measured(EXPERIMENT, {})
    exam, rest = results.plans
    results = replace(results, plans=(replace(exam, wanted=150), rest))
    told = dict(tables(EXPERIMENT, points(EXPERIMENT, results, figure_data)))["Methods"]
    assert "[4 of 150 questions]" in told


def test_nothing_measured_is_a_table_of_dashes() -> None:
    results, figure_data = measured(EXPERIMENT, {})
    told = points(EXPERIMENT, results, figure_data)
    assert {p.estimate for p in told if p.cell.student or p.cell.method.startswith("fine")} == {None}
    assert tables(EXPERIMENT, told)[0][0] == "Methods"


def test_the_headline_says_the_methods_at_their_base_the_best_first() -> None:
    answers = {"x.fine-tune-cot.s0": ALL, "x.fine-tune.s0": NONE, "x.fine-tune-cot.bad.s0": NONE}
    results, figure_data = measured(EXPERIMENT, answers)
    (said,) = headline(EXPERIMENT, points(EXPERIMENT, results, figure_data))
    assert said.startswith("coin_flip: fine-tune-cot 100.0 (")
    assert [word for word in said.replace(",", "").split() if "-" in word and word[0] != "("] == [
        *("fine-tune-cot", "zero-shot-cot", "fine-tune"),
    ]
    results, figure_data = measured(EXPERIMENT, {})
    assert headline(EXPERIMENT, []) == []
