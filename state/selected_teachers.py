"""How much the rows of each teacher counted for students that select among them, beside the teachers' own accuracy."""

from __future__ import annotations

import json
from dataclasses import dataclass

from state.run_reports import WEIGHT
from state.sqlite import Connection


@dataclass(frozen=True, kw_only=True, slots=True)
class SelectedTeacher:
    """A teacher's rows on a task, in the newest run of a student."""

    run_id: int
    student: str
    task: str
    teacher: str
    weight: float
    """The mean probability that a row of it counts, at the end of the training."""
    rows: int
    graded: int
    """Its graded samples of training questions of the task."""
    correct: int


def read_selected_teachers(connection: Connection) -> list[SelectedTeacher]:
    """By run, task and teacher. Reads the samples of each such run once."""
    runs = connection.execute(
        "SELECT r.id, r.student, r.figures FROM run r WHERE r.state = 'done' AND r.figures LIKE ? AND NOT EXISTS"
        " (SELECT 1 FROM run n WHERE n.student = r.student AND n.scope = r.scope AND n.id > r.id AND n.state = 'done')"
        " ORDER BY r.id",
        (f'%"{WEIGHT}%@%',),
    ).fetchall()
    found = []
    for run, student, figures in runs:
        counted = {
            (task, teacher): count
            for task, teacher, count in connection.execute(
                "SELECT t.name, te.name, count(*) FROM run_sample r JOIN sample s ON s.id = r.sample_id JOIN task t ON t.id = s.task_id"
                " JOIN teacher te ON te.id = s.teacher_id WHERE r.run_id = ? GROUP BY 1, 2",
                (run,),
            )
        }
        for name, weight in json.loads(figures).items():
            teacher, at, task = name.removeprefix(WEIGHT).rpartition("@")
            if not name.startswith(WEIGHT) or not at:
                continue
            graded, correct = connection.execute(
                "SELECT count(*), coalesce(sum(s.verdict), 0) FROM sample s JOIN teacher te ON te.id = s.teacher_id JOIN task t ON t.id = s.task_id"
                " WHERE te.name = ? AND t.name = ? AND t.labelled = 1 AND s.split = 'train' AND s.state = 'stored' AND s.verdict IS NOT NULL",
                (teacher, task),
            ).fetchone()
            found.append(
                SelectedTeacher(
                    run_id=run,
                    student=student,
                    task=task,
                    teacher=teacher,
                    weight=weight,
                    rows=counted.get((task, teacher), 0),
                    graded=graded,
                    correct=correct,
                )
            )
    return sorted(found, key=lambda each: (each.run_id, each.task, each.teacher))
