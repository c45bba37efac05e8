"""Students that select among teachers: how much each teacher's rows counted, beside how often the teacher was right."""

from __future__ import annotations

from collections.abc import Sequence

from engine.report.accuracy_table import text_table
from state.confidence_interval import accuracy_text, wilson
from state.safe import safe
from state.selected_teachers import SelectedTeacher

TITLE = "## Teachers selected"
READING = (
    "`weight` is the mean probability with which a row of the teacher counts at the end of the training (`training.select`); with `uniform` it is one half."
    " `teacher correct` is the share of the teacher's graded samples of training questions that are correct, with its 95 % interval (Wilson). The teacher"
    " that is right more often need not be the one that teaches better (Yuan et al. 2020)."
)


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
