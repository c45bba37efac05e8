"""Dev chooses the learning rate; test results of the others are taken away before anything reads them."""

from __future__ import annotations

from dataclasses import replace

from engine.config.experiment import ExperimentConfig
from engine.report.learning_rates import Choice, choose, rates_table
from engine.report.matrix import points, tables
from state.results import Results
from tests.engine.report.matrices import measured

EXPERIMENT = ExperimentConfig.model_validate(
    {
        "name": "x",
        "teachers": ["good"],
        "methods": ["fine-tune"],
        "learning_rates": [1e-3, 1e-4],
        "seeds": [0, 1],
    }
)
TASK = "coin_flip"
TESTED = {
    "x.fine-tune.lr0.001.s0": [True, True],
    "x.fine-tune.lr0.001.s1": [True, True],
    "x.fine-tune.lr0.0001.s0": [False, False],
    "x.fine-tune.lr0.0001.s1": [False, True],
}
DEV = {
    "x.fine-tune.lr0.001.s0": 0.9,
    "x.fine-tune.lr0.001.s1": 0.1,
    "x.fine-tune.lr0.0001.s0": 0.6,
    "x.fine-tune.lr0.0001.s1": 0.6,
}


def chosen(
    *, without: tuple[str, ...] = (), failed: tuple[str, ...] = (), dev: dict[str, float] | None = None
) -> tuple[Choice, Results]:
    """The choice among finished runs, whose best on test is not the best on dev."""
    left_out = {*without, *failed}
    results, figure_data = measured(EXPERIMENT, {k: v for k, v in TESTED.items() if k not in left_out})
    accuracies = dev or DEV
    runs = tuple(replace(run, dev_accuracy=accuracies[run.student]) for run in results.runs)
    results = replace(results, runs=runs, failed=tuple((90, student, TASK, "diverged") for student in failed))
    return choose(EXPERIMENT, results, figure_data), results


def test_the_best_on_dev_over_the_seeds_is_reported_and_the_others_are_not_read() -> None:
    choice, results = chosen()
    assert [(each.rate, each.dev, each.chosen) for each in choice.candidates] == [
        (1e-3, 0.5, False),
        (1e-4, 0.6, True),
    ]
    assert [run.student for run in choice.results.runs] == list(TESTED)[2:]
    kept = {run.run_id for run in choice.results.runs}
    assert {run for run, _ in choice.figure_data.answers} == kept < {run.run_id for run in results.runs}
    [point] = points(EXPERIMENT, choice.results, choice.figure_data)
    assert point.estimate is not None and (point.estimate.accuracy, point.done, point.wanted) == (0.25, 2, 2)


def test_equal_ones_are_decided_by_the_order_of_the_list() -> None:
    choice, _ = chosen(dev=dict.fromkeys(TESTED, 0.5))
    assert [each.chosen for each in choice.candidates] == [True, False]


def test_nothing_is_chosen_or_shown_before_all_are_done() -> None:
    choice, _ = chosen(without=("x.fine-tune.lr0.001.s1",))
    assert {each.chosen for each in choice.candidates} == {None}
    assert not choice.results.runs and not choice.figure_data.answers
    [point] = points(EXPERIMENT, choice.results, choice.figure_data)
    assert (point.estimate, point.done, point.wanted) == (None, 0, 2)


def test_a_rate_that_diverged_is_not_chosen_and_holds_nobody_up() -> None:
    choice, _ = chosen(failed=("x.fine-tune.lr0.0001.s1",))
    assert [(each.dev, each.state) for each in choice.candidates] == [
        (0.5, "chosen"),
        (None, "not chosen (failed)"),
    ]
    everything = tuple(TESTED)
    none_left, _ = chosen(failed=everything)
    assert {each.chosen for each in none_left.candidates} == {None}


def test_a_superseded_run_does_not_decide() -> None:
    results, figure_data = measured(EXPERIMENT, TESTED)
    old = replace(results.runs[0], superseded=True)
    choice = choose(EXPERIMENT, replace(results, runs=(old, *results.runs[1:])), figure_data)
    assert {each.chosen for each in choice.candidates} == {None}


def test_the_report_lists_them_with_what_decided() -> None:
    choice, _ = chosen()
    [(title, table)] = rates_table(choice)
    assert title == "Learning rates, chosen by dev"
    rows = [[cell.strip() for cell in line.split("|")[1:-1]] for line in table.splitlines()[2:]]
    assert rows == [
        [TASK, "fine-tune: all, builtin:nano", "0.001", "50.0", "not chosen"],
        [TASK, "fine-tune: all, builtin:nano", "0.0001", "60.0", "chosen"],
    ]
    found = points(EXPERIMENT, choice.results, choice.figure_data)
    assert "25.0" in dict(tables(EXPERIMENT, found))["Methods"]


def test_one_rate_or_none_leaves_results_as_they_are() -> None:
    single = EXPERIMENT.model_copy(update={"learning_rates": [1e-3]})
    results, figure_data = measured(single, {"x.fine-tune.s0": [True], "x.fine-tune.s1": [False]})
    for experiment in (single, None):
        choice = choose(experiment, results, figure_data)
        assert (choice.results, choice.figure_data) == (results, figure_data) and not choice.candidates
    assert not rates_table(choice)
