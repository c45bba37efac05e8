"""The command that writes the result table into README.md and docs/method.md."""

from __future__ import annotations

import runpy
from pathlib import Path

import pytest

from engine.report.accuracy_table import Cell

ROOT = Path(__file__).resolve().parents[1]
RESULTS = runpy.run_path(str(ROOT / "docs" / "results.py"))


def test_a_row_is_a_task_and_a_column_a_method_in_the_order_they_appear() -> None:
    rows = {
        "coin": [
            Cell(method="random", accuracy=0.5),
            Cell(method="s", accuracy=0.66, low=0.581, high=0.731, n=150, seed=0),
        ],
        "sum": [Cell(method="random", accuracy=0.0)],
    }
    assert RESULTS["table"](rows).splitlines() == [
        "| task (n = 150, seed 0) | random | s |",
        "|---|---:|---:|",
        "| coin | 50.0 | 66.0 (58.1–73.1) |",
        "| sum | 0.0 | – |",
    ]


@pytest.mark.parametrize("page", ["README.md", "docs/method.md"])
def test_only_what_is_between_the_markers_is_replaced(page: str) -> None:
    text = (ROOT / page).read_text(encoding="utf-8")
    made = RESULTS["replaced"](text, "NEW")
    before, after = text.split(RESULTS["BEGIN"])[0], text.split(RESULTS["END"])[1]
    assert made == f"{before}{RESULTS['BEGIN']}\nNEW\n{RESULTS['END']}{after}"
