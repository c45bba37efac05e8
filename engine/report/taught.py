"""What students were taught: by which teachers, in which formats, and which test answers they had seen.

Ma et al. (2021) found full fine-tuning ahead on the answers that were in the training data, and prefix-tuning on the others: a student may learn
the answers rather than the task. Answers are equal in the common form of their format.
"""

from __future__ import annotations

from collections.abc import Sequence

from engine.grading.majority import common_form
from engine.methods import METHODS
from engine.report.accuracy_table import text_table
from state.confidence_interval import accuracy_text, wilson
from state.results import Results
from state.safe import safe
from state.seen_answers import LearnedAnswers
from state.selected_teachers import SelectedTeacher

SEEN_TITLE = "## Answers seen in training"
SEEN = (
    "Accuracy on the test questions whose gold answer was the answer of a training row on the same task, and on the others, with its 95 %"
    " interval (Wilson): the newest run of each student. Rows of the students that it comes from count as its own. Where all answers were"
    " seen (yes or no), nothing is told apart. The two sets of questions differ in difficulty too: compare students within a column."
)

SELECTED_TITLE = "## Teachers selected"
SELECTED = (
    "`weight` is the mean probability with which a row of the teacher counts at the end of the training (`training.select`); with `uniform` it is one half."
    " `teacher correct` is the share of the teacher's graded samples of training questions that are correct, with its 95 % interval (Wilson). The teacher"
    " that is right more often need not be the one that teaches better (Yuan et al. 2020)."
)

FORMATS = (
    "Students that learned a mixture of formats (`curation.formats`), asked the same test questions in each: `cot` is the accuracy"
    " above; `answer` asks for the answer alone; `shots-` formats show worked examples of the training set before the question."
    " Weights were chosen by `cot` on dev."
)


def taught(
    results: Results, answers: Sequence[LearnedAnswers] = (), teachers: Sequence[SelectedTeacher] = ()
) -> list[str]:
    """The sections, as paragraphs; none where there is nothing to tell.

    Args:
        results: the runs.
        answers: what students learned and were asked.
        teachers: what the rows of teachers counted for students that select among them.
    """
    found = []
    if table := selected_table(teachers):
        found += [SELECTED_TITLE, table, SELECTED]
    if any(run.formats for run in results.runs):
        found += ["## Formats", _formats(results), FORMATS]
    if table := seen_table(answers):
        found += [SEEN_TITLE, table, SEEN]
    return found


def selected_table(found: Sequence[SelectedTeacher]) -> str:
    """The table as Markdown; empty without a student that selects."""
    body = [
        [
            each.student,
            each.task,
            each.teacher,
            f"{each.weight:.3f}",
            f"{each.rows:,}",
            accuracy_text(each.correct / each.graded, *wilson(each.correct, each.graded))
            if each.graded
            else "–",
        ]
        for each in found
    ]
    names = ("student", "task", "teacher", "weight", "rows", "teacher correct %")
    return safe(text_table(names, body, left=3)) if body else ""


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


def _formats(results: Results) -> str:
    """The accuracy of each student that was trained in several formats, in each of them."""
    names = list(dict.fromkeys(name for run in results.runs for name in run.formats))
    head = ("run", "student", "task", "n", "cot %", *(f"{name} %" for name in names))
    body = [
        [
            *(str(run.run_id), run.student, run.task, f"{run.n:,}"),
            _share(run.accuracy, run.low, run.high),
            *(
                _share(found["accuracy"], found["low"], found["high"]) if found else "–"
                for found in (run.formats.get(name) for name in names)
            ),
        ]
        for run in results.runs
        if run.formats
    ]
    return safe(text_table(head, body, left=3))


def _share(accuracy: float, low: float, high: float) -> str:
    return f"{100 * accuracy:.1f} ({100 * low:.1f}–{100 * high:.1f})"
