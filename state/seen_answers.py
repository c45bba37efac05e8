"""Which answers the students of finished runs learned, and which test answers they gave correctly."""

from __future__ import annotations

import json
from dataclasses import dataclass

from state.lineage import ancestors
from state.sqlite import Connection


@dataclass(frozen=True, kw_only=True, slots=True)
class LearnedAnswers:
    """A finished run on a task: what it was taught and what it was asked."""

    run_id: int
    student: str
    task: str
    answer_format: str
    method: str
    learned: frozenset[str] | None
    """The answers in its training rows of the task, and in those of the runs that it comes from; None: not known."""
    asked: tuple[tuple[str, bool], ...]
    """The gold answer of each test question, and whether the student's is correct."""


def read_learned_answers(connection: Connection) -> list[LearnedAnswers]:
    """The newest run of each student and task, by run. Reads the samples of each run once."""
    runs = connection.execute(
        "SELECT r.id, r.student, t.id, t.name, t.answer_format, r.method FROM run r"
        " JOIN evaluation e ON e.run_id = r.id AND e.split = 'test' JOIN task t ON t.id = e.task_id"
        " WHERE r.state = 'done' AND t.active = 1 AND NOT EXISTS (SELECT 1 FROM run n WHERE n.student = r.student"
        " AND n.scope = r.scope AND n.id > r.id AND n.state = 'done') ORDER BY r.id, t.id"
    ).fetchall()
    above = {key: ancestors(connection, key) for key in dict.fromkeys(row[0] for row in runs)}
    known: dict[tuple[int, int], frozenset[str] | None] = {}
    found = []
    for run, student, task_id, task, answer_format, method in runs:
        parts = []
        for each in (run, *above[run]):
            if (each, task_id) not in known:
                known[each, task_id] = _learned(connection, each, task_id)
            parts.append(known[each, task_id])
        whole = [part for part in parts if part is not None]
        asked = connection.execute(
            "SELECT q.gold, p.correct FROM prediction p JOIN question q ON q.id = p.question_id"
            " WHERE p.run_id = ? AND p.split = 'test' AND q.task_id = ? ORDER BY q.position",
            (run, task_id),
        ).fetchall()
        found.append(
            LearnedAnswers(
                run_id=run,
                student=student,
                task=task,
                answer_format=answer_format,
                method=method,
                learned=frozenset().union(*whole) if len(whole) == len(parts) else None,
                asked=tuple((gold, bool(correct)) for gold, correct in asked),
            )
        )
    return found


def _learned(connection: Connection, run: int, task: int) -> frozenset[str] | None:
    """The answers in the training rows of one run; None: it drew some of the questions, and no samples say which."""
    kind, spec = connection.execute("SELECT kind, spec FROM run WHERE id = ?", (run,)).fetchone()
    if kind != "train":  # an operation has no rows: those of its sources count
        return frozenset()
    student = json.loads(spec).get("student", {})
    own = student.get("curation", {}).get("labels") == "teacher"
    rows = connection.execute(
        "SELECT DISTINCT CASE WHEN ? AND s.verdict = 0 THEN coalesce(s.extracted, q.gold) ELSE coalesce(l.answer, q.gold) END"
        " FROM run_sample r JOIN sample s ON s.id = r.sample_id JOIN question q ON q.id = s.question_id"
        " LEFT JOIN run_label l ON l.run_id = r.run_id AND l.question_id = q.id WHERE r.run_id = ? AND q.task_id = ?",
        (own, run, task),
    ).fetchall()
    if rows or connection.execute("SELECT 1 FROM run_sample WHERE run_id = ? LIMIT 1", (run,)).fetchone():
        return frozenset(answer for (answer,) in rows)
    if student.get("questions") is not None:
        return None
    gold = connection.execute(
        "SELECT DISTINCT gold FROM question WHERE task_id = ? AND split = 'train' AND active = 1", (task,)
    )
    return frozenset(answer for (answer,) in gold)
