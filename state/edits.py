"""What a configuration is compared with before it is taken over: stored plans, questions and samples. Only reads."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from typing import Any

from state.sqlite import Connection


@dataclass(frozen=True, kw_only=True, slots=True)
class StoredPlan:
    """A plan's row."""

    id: int
    name: str
    task: str
    split: str
    fingerprint: str
    active: bool
    teachers: list[str]
    settings: dict[str, Any]
    rationales: int
    stored: int


def stored_plans(connection: Connection) -> list[StoredPlan]:
    """All plans, the newest first."""
    rows = connection.execute(
        "SELECT p.id, p.name, t.name, p.split, p.recipe, p.active, p.teachers, p.settings, p.rationales, p.stored"
        " FROM plan p JOIN task t ON t.id = p.task_id ORDER BY p.id DESC"
    ).fetchall()
    return [
        StoredPlan(
            id=key,
            name=name,
            task=task,
            split=split,
            fingerprint=fingerprint,
            active=bool(active),
            teachers=json.loads(teachers),
            settings=json.loads(settings),
            rationales=rationales,
            stored=stored,
        )
        for key, name, task, split, fingerprint, active, teachers, settings, rationales, stored in rows
    ]


def samples_beyond(connection: Connection, plan_id: int, rationales: int) -> int:
    """How many stored samples of a plan have a replicate that a plan of so many rationales does not ask for."""
    (count,) = connection.execute(
        "SELECT count(*) FROM sample s JOIN plan p ON p.id = ? AND s.task_id = p.task_id AND s.split = p.split"
        " AND s.recipe = p.recipe WHERE s.replicate >= ? AND s.state = 'stored'",
        (plan_id, rationales),
    ).fetchone()
    return int(count)


def tokens_of_a_sample(connection: Connection, plan_id: int) -> tuple[float, float]:
    """Prompt and completion tokens of a stored sample of a plan, on average; (0, 0) where there is none."""
    prompt, completion = connection.execute(
        "SELECT coalesce(avg(s.prompt_tokens), 0), coalesce(avg(s.completion_tokens), 0) FROM sample s"
        " WHERE s.plan_id = ? AND s.state = 'stored'",
        (plan_id,),
    ).fetchone()
    return float(prompt), float(completion)


@dataclass(frozen=True, kw_only=True, slots=True)
class EditedQuestions:
    """How a task's questions differ from the stored ones, and how many stored samples those have."""

    new: int
    gone: int
    gone_samples: int
    regold: int
    """With another gold answer."""
    regold_samples: int
    moved: int
    """To another split."""
    moved_samples: int


def edited_questions(
    connection: Connection, task: str, questions: Iterable[tuple[str, str, str, str]]
) -> EditedQuestions:
    """Compares a task's questions, as (key, hash of the text, split, gold answer), with the stored ones."""
    wanted = {(key, text): (split, gold) for key, text, split, gold in questions}
    before = {
        (key, text): (question, split, gold)
        for question, key, text, split, gold in connection.execute(
            "SELECT q.id, q.key, q.text_hash, q.split, q.gold FROM question q JOIN task t ON t.id = q.task_id"
            " WHERE t.name = ? AND q.active = 1",
            (task,),
        ).fetchall()
    }
    gone = [before[place][0] for place in before if place not in wanted]
    stay = [(before[place], wanted[place]) for place in before if place in wanted]
    regold = [was[0] for was, now in stay if was[2] != now[1]]
    moved = [was[0] for was, now in stay if was[1] != now[0]]
    return EditedQuestions(
        new=sum(place not in before for place in wanted),
        gone=len(gone),
        gone_samples=_samples(connection, gone),
        regold=len(regold),
        regold_samples=_samples(connection, regold),
        moved=len(moved),
        moved_samples=_samples(connection, moved),
    )


def samples_of_task(connection: Connection, task: str) -> int:
    """How many samples of a task are stored."""
    (count,) = connection.execute(
        "SELECT count(*) FROM sample s JOIN task t ON t.id = s.task_id WHERE t.name = ? AND s.state = 'stored'",
        (task,),
    ).fetchone()
    return int(count)


def active_tasks(connection: Connection) -> list[str]:
    """The tasks of the configuration that was in force last."""
    return [row[0] for row in connection.execute("SELECT name FROM task WHERE active = 1 ORDER BY id")]


def _samples(connection: Connection, questions: Collection[int]) -> int:
    (count,) = connection.execute(
        "SELECT count(*) FROM sample WHERE state = 'stored' AND question_id IN (SELECT value FROM json_each(?))",
        (json.dumps(list(questions)),),
    ).fetchone()
    return int(count)
