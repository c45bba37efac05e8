"""The graded samples of a plan by teacher, in the order in which they were stored."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from state.sqlite import Connection


@dataclass(frozen=True, slots=True)
class TeacherOutcome:
    """A graded sample. `place` grows in the order in which samples were stored."""

    place: int
    teacher_id: int
    correct: bool
    micros: int
    """What it cost."""


def outcomes_after(connection: Connection, asked: Sequence[tuple[int, int]]) -> list[list[TeacherOutcome]]:
    """For each plan, given by its id with a place, what was graded after that place. A later verdict on a sample does not count."""
    return [_after(connection, plan, place) for plan, place in asked]


def _after(connection: Connection, plan: int, place: int) -> list[TeacherOutcome]:
    rows = connection.execute(
        "SELECT g.id, s.teacher_id, g.correct, s.cost_micros FROM grade g JOIN sample s ON s.id = g.sample_id"
        " JOIN plan p ON p.id = ? AND s.task_id = p.task_id AND s.split = p.split AND s.recipe = p.recipe"
        " WHERE g.id > ? AND NOT EXISTS (SELECT 1 FROM grade o WHERE o.sample_id = g.sample_id AND o.id < g.id)"
        " ORDER BY g.id",
        (plan, place),
    )
    return [TeacherOutcome(key, teacher, bool(correct), micros) for key, teacher, correct, micros in rows]
