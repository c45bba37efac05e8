"""The command that writes the result table into README.md and docs/method.md."""

from __future__ import annotations

import runpy
from dataclasses import replace
from pathlib import Path

import pytest

from engine.report.accuracy_table import Cell
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


@pytest.mark.parametrize("page", ["README.md", "docs/method.md"])
def test_only_what_is_between_the_markers_is_replaced(page: str) -> None:
    text = (ROOT / page).read_text(encoding="utf-8")
    made = RESULTS["replaced"](text, "NEW")
    before, after = text.split(RESULTS["BEGIN"])[0], text.split(RESULTS["END"])[1]
    assert made == f"{before}{RESULTS['BEGIN']}\nNEW\n{RESULTS['END']}{after}"
