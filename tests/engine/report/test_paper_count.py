from __future__ import annotations

from dataclasses import replace

import pytest

from engine.grading import grade_unmarked
from engine.report import summary
from engine.report.paper_count import paper_accuracy
from state.results import StoredAnswer
from tests.engine.report.test_markdown import FULL, RUN


def answer(text: str, gold: str = "yes", form: str = "yes_no", run: int = 7) -> StoredAnswer:
    question = "Which? (A) x (B) y"
    return StoredAnswer(
        run_id=run, task="coin_flip", answer_format=form, question=question, gold=gold, text=text
    )


@pytest.mark.parametrize(
    ("form", "text", "last"),
    [
        ("number", "180 * 7 = 1260", "1260"),
        ("number", "it is 1,260 in all.", "1260"),
        ("number", "none", None),
        ("yes_no", "No, wait. The answer is YES", "yes"),
        ("choice", "(A) or (B)", "B"),
        ("text", "the whole. text", "thewholetext"),
    ],
)
def test_without_an_arrow_the_last_candidate_counts(form: str, text: str, last: str | None) -> None:
    given = answer(text, form=form)
    verdict = grade_unmarked(given.text, given.gold, form, question=given.question, grader="published")
    assert verdict is not None and verdict.extracted == last
    counted = paper_accuracy(FULL, [replace(given, gold=last or "none")])
    assert counted == {("cot", "coin_flip"): float(last is not None)}


def test_after_an_arrow_the_first_one_counts_and_of_several_runs_the_best() -> None:
    runs = (RUN, replace(RUN, run_id=8), replace(RUN, run_id=9, student="plain"))
    given = [
        *(answer("no --> yes no"), answer("no --> no yes")),
        *(answer("no, so yes", run=8), answer("--> yes", run=8), answer("yes no", run=8)),
        *(answer("no", run=9), answer("yes", run=99)),
    ]
    found = paper_accuracy(replace(FULL, runs=runs), given)
    assert found == {("cot", "coin_flip"): pytest.approx(2 / 3), ("plain", "coin_flip"): 0.0}


def test_it_is_shown_only_where_it_was_asked_for_and_changes_nothing_else() -> None:
    plain, more = summary(FULL), summary(FULL, {("cot", "coin_flip"): 0.9})
    assert "as the paper counted" in more and "*90.0*" in more
    assert "as the paper" not in plain
    rows = [[cell.strip() for cell in line.split("|")] for line in more.splitlines()]
    without = [row[:11] + row[12:] for row in rows]
    expected = [[cell.strip() for cell in line.split("|")] for line in plain.splitlines()]
    assert without[2:] == expected[2:]
