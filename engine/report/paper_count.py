"""Accuracy as the paper counted it: for comparison with published tables, never for a choice.

Ho et al. report the best epoch on test, and their evaluator reads the first candidate after the student's `-->`, else the
last one of the text. A run of Coterie stores one evaluation on test, of the weights that dev chose; so the best is taken
over all runs that are stored for a student.
"""

from __future__ import annotations

from collections.abc import Iterable
from itertools import groupby

from engine.grading import FORMATS, grade, grade_unmarked
from engine.grading.paper import PREFIX
from state.results import Results, StoredAnswer

HEAD = "as the paper counted"

READING = (
    "`as the paper counted`: the best of all evaluations on test that are stored for the student, read by the published"
    " evaluator (the first candidate after `-->`, otherwise the last one of the text). It looks at test to choose, so it is"
    " too high, and nothing here is chosen by it."
)


def paper_accuracy(results: Results, answers: Iterable[StoredAnswer]) -> dict[tuple[str, str], float]:
    """The best accuracy on test (0 to 1) by student and task, read as published."""
    students = {run.run_id: run.student for run in results.runs}
    best: dict[tuple[str, str], float] = {}
    for (run, task), group in groupby(answers, key=lambda each: (each.run_id, each.task)):
        judged = [_correct(each) for each in group]
        if run in students and judged:
            key = students[run], task
            best[key] = max(best.get(key, 0.0), sum(judged) / len(judged))
    return best


def _correct(answer: StoredAnswer) -> bool:
    if answer.answer_format not in FORMATS:
        return False
    read = grade if PREFIX in answer.text else grade_unmarked
    verdict = read(
        answer.text, answer.gold, answer.answer_format, question=answer.question, grader="published"
    )
    return verdict is not None and verdict.correct


def cell(accuracy: float | None) -> str:
    """A cell of that column; emphasis is grey in the HTML report."""
    return "–" if accuracy is None else f"*{100 * accuracy:.1f}*"
