"""What a student could read: stored rationales with their questions, and the questions themselves."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass

from state.sqlite import Connection


@dataclass(frozen=True, kw_only=True, slots=True)
class StoredSample:
    """A graded sample of a train plan."""

    sample_id: int
    question_id: int
    question: str
    gold: str
    rationale: str
    extracted: str | None
    correct: bool
    truncated: bool


@dataclass(frozen=True, kw_only=True, slots=True)
class StoredQuestion:
    """An active question."""

    question_id: int
    text: str
    gold: str


def stored_samples(
    connection: Connection, plan_ids: Sequence[int], teachers: Sequence[str]
) -> list[StoredSample]:
    """Graded samples of some plans by teachers whose output may be trained on, by question and replicate."""
    rows = connection.execute(
        "SELECT DISTINCT s.id, s.question_id, q.text, q.gold, s.rationale, s.extracted, s.verdict, s.finish_reason,"
        " s.flags, q.position, s.replicate FROM plan p JOIN sample s ON s.task_id = p.task_id AND s.split = p.split"
        " AND s.recipe = p.recipe AND s.replicate < p.rationales"
        " JOIN question q ON q.id = s.question_id AND q.active = 1"
        " JOIN teacher t ON t.id = s.teacher_id"
        " WHERE p.id IN (SELECT value FROM json_each(?)) AND s.state = 'stored' AND s.verdict IS NOT NULL"
        " AND t.name IN (SELECT value FROM json_each(?)) ORDER BY q.position, s.replicate, s.id",
        (json.dumps(list(plan_ids)), json.dumps(list(teachers))),
    )
    return [
        StoredSample(
            sample_id=sample,
            question_id=question,
            question=text,
            gold=gold,
            rationale=rationale or "",
            extracted=extracted,
            correct=verdict == 1,
            truncated=finish == "length" or "truncated" in flags,
        )
        for sample, question, text, gold, rationale, extracted, verdict, finish, flags, _, _ in rows
    ]


def stored_questions(connection: Connection, task_id: int, split: str) -> list[StoredQuestion]:
    """Active questions of a split, in order."""
    rows = connection.execute(
        "SELECT id, text, gold FROM question WHERE task_id = ? AND split = ? AND active = 1 ORDER BY position",
        (task_id, split),
    )
    return [StoredQuestion(question_id=key, text=text, gold=gold) for key, text, gold in rows]
