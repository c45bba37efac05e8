"""The command that writes the result table into README.md and docs/method.md."""

from __future__ import annotations

import runpy
from dataclasses import replace
from pathlib import Path

import pytest

from engine.config import load_config
from engine.config.experiment import ExperimentConfig
from engine.report.accuracy_table import Cell
from tests.engine.report.matrices import measured
from tests.engine.report.test_markdown import RUN

ROOT = Path(__file__).resolve().parents[1]
RESULTS = runpy.run_path(str(ROOT / "docs" / "results.py"))


def test_a_row_is_a_method_and_a_task_has_its_accuracy_and_its_training() -> None:
    run = replace(RUN, student="s", passes=40.0, step=1760, steps=1760)
    stopped = replace(run, passes=12.0, step=528)
    tested = Cell(method="s", accuracy=0.66, low=0.581, high=0.731, n=150, seed=0, run=run)
    rows = {
        "sum": [Cell(method="random", accuracy=0.0), tested, replace(tested, method="t", run=stopped)],
        "coin": [Cell(method="random", accuracy=0.5)],
    }
    assert RESULTS["table"](rows).splitlines() == [
        "| n = 150, seed 0 | sum | passes (steps) | coin | passes (steps) |",
        "|---|---:|---:|---:|---:|",
        "| random | 0.0 | – | 50.0 | – |",
        "| s | 66.0 (58.1–73.1) | 40.0 (1,760) | – | – |",
        "| t | 66.0 (58.1–73.1) | 12.0 (528 of 1,760) | – | – |",
    ]


@pytest.mark.parametrize(
    ("page", "name"),
    [
        ("README.md", "results"),
        ("docs/method.md", "results"),
        ("docs/method.md", "independent"),
        ("docs/method.md", "systematic"),
    ],
)
def test_only_what_is_between_the_markers_is_replaced(page: str, name: str) -> None:
    text = (ROOT / page).read_text(encoding="utf-8")
    begin, end = RESULTS["markers"](name)
    made = RESULTS["replaced"](text, "NEW", name)
    before, after = text.split(begin)[0], text.split(end)[1]
    assert made == f"{before}{begin}\nNEW\n{end}{after}"


def test_an_experiment_tells_its_arms_with_their_tokens_and_what_each_comparison_says() -> None:
    table = {
        "name": "x",
        "teachers": ["good"],
        "rationales": [8, 1],
        "learning_rates": [1e-3, 1e-4],
        "seeds": [0, 1],
        "compare": [["fine-tune-cot", "fine-tune"], ["fine-tune-cot", "fine-tune-cot.d1"]],
    }
    experiment = ExperimentConfig.model_validate(table)
    good, bad = [True] * 39 + [False], [False] * 39 + [True]
    answers = {f"x.fine-tune-cot.lr{rate}.s{seed}": good for rate in ("0.001", "0.0001") for seed in (0, 1)}
    answers |= {f"x.fine-tune.lr{rate}.s{seed}": bad for rate in ("0.001", "0.0001") for seed in (0, 1)}
    results, figure_data = measured(experiment, answers)
    better = {run.student: 0.9 if "lr0.0001" in run.student else 0.5 for run in results.runs}
    results = replace(
        results,
        runs=tuple(replace(run, dev_accuracy=better[run.student]) for run in results.runs),
        plans=tuple(replace(plan, tokens=1_200) for plan in results.plans),
    )
    block = RESULTS["experiment_block"](experiment, results, figure_data)
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in block.splitlines() if line]
    arms = {row[0]: row for row in rows if len(row) == 6}
    assert arms["fine-tune-cot"][3:] == ["0.0001", "1,200", "100 %"] and arms["fine-tune"][3:] == [
        "0.0001",
        "–",
        "–",
    ]
    said = {row[1]: (row[0], row[4]) for row in rows if len(row) == 5}
    assert said["fine-tune-cot – fine-tune"] == ("reasoning and answers alone", "better")
    assert said["fine-tune-cot – fine-tune-cot.d1"][1] == "not measured"


def test_every_planned_comparison_of_the_reproduction_says_what_it_asks() -> None:
    for kind in ("independent", "systematic"):
        experiment = load_config(ROOT / "docs" / "reproduce" / f"{kind}.toml").experiment
        assert experiment is not None
        assert [tuple(pair) for pair in experiment.compare] == list(RESULTS["FINDINGS"])
