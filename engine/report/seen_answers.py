"""Test accuracy on answers that the student saw in training, and on those that it did not.

Ma et al. (2021) found full fine-tuning ahead on the answers that were in the training data, and prefix-tuning on the others: a student may learn
the answers rather than the task. Answers are equal in the common form of their format.
"""

from __future__ import annotations

from collections.abc import Sequence

from engine.grading.majority import common_form
from engine.methods import METHODS
from engine.report.accuracy_table import text_table
from state.confidence_interval import accuracy_text, wilson
from state.safe import safe
from state.seen_answers import LearnedAnswers

TITLE = "## Answers seen in training"
READING = (
    "Accuracy on the test questions whose gold answer was the answer of a training row on the same task, and on the others, with its 95 %"
    " interval (Wilson): the newest run of each student. Rows of the students that it comes from count as its own. Where all answers were"
    " seen (yes or no), there is nothing to compare. The two sets of questions differ in difficulty too: compare students within a column."
)


def seen_table(found: Sequence[LearnedAnswers]) -> str:
    """The table as Markdown; empty without a student that was trained."""
    body = []
    for each in found:
        method = METHODS.get(each.method)
        if (method is not None and not method.trains) or not each.asked:
            continue
        head = [each.student, each.task]
        if each.learned is None:
            body.append([*head, "–", "–", "–", "–", "–"])
            continue
        learned = {common_form(answer, each.answer_format) for answer in each.learned}
        seen = [ok for gold, ok in each.asked if common_form(gold, each.answer_format) in learned]
        other = [ok for gold, ok in each.asked if common_form(gold, each.answer_format) not in learned]
        body.append([*head, f"{len(learned):,}", *_cells(seen), *_cells(other)])
    if not body:
        return ""
    names = ("student", "task", "answers learned", "n seen", "seen %", "n not seen", "not seen %")
    return safe(text_table(names, body, left=2))


def _cells(correct: Sequence[bool]) -> tuple[str, str]:
    n = len(correct)
    if not n:
        return "0", "–"
    low, high = wilson(sum(correct), n)
    return f"{n:,}", accuracy_text(sum(correct) / n, low, high)
