"""Both graders against 6,795 recorded completions and the verdicts published with them."""

from __future__ import annotations

import gzip
import json
from pathlib import Path

import pytest

from engine.grading import grade

FORMATS = {
    "addsub": "number", "multiarith": "number", "gsm8k": "number", "svamp": "number", "single_eq": "number",
    "aqua": "choice", "commonsense_qa": "choice", "date_understanding": "choice", "tracking_shuffled_objects": "choice",
    "coin_flip": "yes_no", "strategy_qa": "yes_no", "last_letter_concatenation": "text",
}  # fmt: skip

PAPER_DIFFERS = {
    "addsub": 3,  # the log compared strings: 0.6666666666666667 is not 0.6666666666666666
    "single_eq": 4,  # the same, and "1.20" against "1.2"
    "gsm8k": 2,  # the log's golds kept their separators: "5600" is not "5,600"
}
"""Rows whose published verdict Ho et al.'s numeric comparison does not repeat; all are right answers."""

CAREFUL_DIFFERS = {  # (right where the log says wrong, wrong where the log says right)
    "addsub": (
        17,
        0,
    ),  # fractions, also beside their decimals, number words, sums, ".5", rounding of the last digit
    "multiarith": (3, 0),  # number words, a sum
    "gsm8k": (24, 0),  # sums, number words, sentences with a given number before the answer
    "svamp": (11, 1),  # the same; "7 + 4" was cut off
    "single_eq": (13, 1),  # fractions and words; "13, 13, …, 14" is a list
    "commonsense_qa": (1, 43),  # an option named by its text; letters of several options
    "last_letter_concatenation": (4, 0),  # "s-e-e-n"
}


def rows(folder: Path, task: str) -> list[dict]:
    with gzip.open(folder / "teacher" / f"{task}.jsonl.gz", "rt", encoding="utf-8") as file:
        return [json.loads(line) for line in file]


@pytest.mark.parametrize("task", FORMATS)
def test_paper_repeats_the_published_verdicts(recorded, task) -> None:
    differs = []
    for row in rows(recorded, task):
        verdict = grade(row["final"], row["gold"], FORMATS[task], question=row["question"], grader="paper")
        if verdict.correct != row["correct_logged"]:
            differs.append((verdict.correct, row["final"]))
    assert len(differs) == PAPER_DIFFERS.get(task, 0)
    assert all(correct for correct, _ in differs)


@pytest.mark.parametrize("task", FORMATS)
def test_careful_differs_only_where_it_was_read_to_be_right(recorded, task) -> None:
    right = wrong = 0
    for row in rows(recorded, task):
        verdict = grade(row["final"], row["gold"], FORMATS[task], question=row["question"])
        right += verdict.correct and not row["correct_logged"]
        wrong += row["correct_logged"] and not verdict.correct
    assert (right, wrong) == CAREFUL_DIFFERS.get(task, (0, 0))
