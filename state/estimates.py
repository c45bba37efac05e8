"""What stored samples, requests and runs say about those to come. Only reads."""

from __future__ import annotations

from dataclasses import dataclass

from state.sqlite import Connection

LATEST = 1_000
"""Requests of a teacher from which its response time is taken."""


@dataclass(frozen=True, kw_only=True, slots=True)
class StoredFigures:
    """The samples of one fingerprint of a task and split, with a replicate that is asked for."""

    existing: int = 0
    """Stored, given up or claimed."""
    open: int = 0
    stored: int = 0
    correct: int = 0
    wrong: int = 0
    prompt_tokens: float = 0.0
    """Of a stored sample, on average, over all its turns."""
    completion_tokens: float = 0.0


def stored_figures(
    connection: Connection, task: str, split: str, fingerprint: str, rationales: int
) -> dict[str, StoredFigures]:
    """The figures of what a plan asks for, by teacher."""
    rows = connection.execute(
        "SELECT te.name, count(*), sum(s.state = 'open'), sum(s.state = 'stored'), coalesce(sum(s.verdict = 1), 0),"
        " coalesce(sum(s.verdict = 0), 0), coalesce(avg(iif(s.state = 'stored', s.prompt_tokens, NULL)), 0),"
        " coalesce(avg(iif(s.state = 'stored', s.completion_tokens, NULL)), 0)"
        " FROM sample s JOIN task t ON t.id = s.task_id JOIN question q ON q.id = s.question_id JOIN teacher te ON te.id = s.teacher_id"
        " WHERE t.name = ? AND s.split = ? AND s.recipe = ? AND s.replicate < ? AND q.active = 1 GROUP BY te.name",
        (task, split, fingerprint, rationales),
    ).fetchall()
    return {
        name: StoredFigures(
            existing=count,
            open=still,
            stored=stored,
            correct=correct,
            wrong=wrong,
            prompt_tokens=prompt,
            completion_tokens=completion,
        )
        for name, count, still, stored, correct, wrong, prompt, completion in rows
    }


def response_seconds(connection: Connection, teacher: str) -> float | None:
    """The mean response time of a teacher's latest requests; None before its first answer."""
    (found,) = connection.execute(
        "SELECT avg(latency_ms) FROM (SELECT a.latency_ms FROM attempt a JOIN teacher te ON te.id = a.teacher_id"
        " WHERE te.name = ? AND a.outcome = 'ok' AND a.latency_ms IS NOT NULL ORDER BY a.id DESC LIMIT ?)",
        (teacher, LATEST),
    ).fetchone()
    return None if found is None else found / 1000


@dataclass(frozen=True, slots=True)
class RunTime:
    """How long a finished run took, from its start to its end."""

    run_id: int
    student: str
    scope: str
    seconds: float


def run_times(connection: Connection) -> list[RunTime]:
    """The finished runs, the newest first."""
    rows = connection.execute(
        "SELECT id, student, scope, (ended_at - started_at) / 1000.0 FROM run"
        " WHERE state = 'done' AND started_at IS NOT NULL AND ended_at > started_at ORDER BY id DESC"
    ).fetchall()
    return [RunTime(*row) for row in rows]


def stored_plan_id(connection: Connection, name: str, task: str, split: str, fingerprint: str) -> int | None:
    """The plan's row, if it is in use as it is configured now."""
    row = connection.execute(
        "SELECT p.id FROM plan p JOIN task t ON t.id = p.task_id"
        " WHERE p.name = ? AND t.name = ? AND p.split = ? AND p.recipe = ? AND p.active = 1",
        (name, task, split, fingerprint),
    ).fetchone()
    return None if row is None else int(row[0])
