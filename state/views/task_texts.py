"""What the newest samples of a task are like: tokens, who was right how often, how different rationales are. Bounded, whatever is stored."""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field

from state.diversity import diversity
from state.sqlite import Connection
from state.views.rows import rows

NEWEST = 400
"""Graded samples that are looked at."""
QUESTIONS = 12
"""Questions whose rationales are compared."""


@dataclass(frozen=True, kw_only=True, slots=True)
class TaskTexts:
    """The newest graded samples of a task's train questions."""

    task: int
    newest: int
    """The highest id among them; 0 without any."""
    samples: int = 0
    prompt_tokens: float = 0.0
    """On average."""
    completion_tokens: float = 0.0
    teachers: Mapping[str, tuple[int, int]] = field(default_factory=dict)
    """By teacher: correct ones, and all."""
    distance: float | None = None
    """The mean distance of two rationales of a question (`state/diversity.py`); None where no question has two."""
    questions: int = 0
    """Questions that it is the mean of."""


def newest_texts(connection: Connection, task: int) -> TaskTexts:
    """Reads them: by index for each verdict, then the newest of all."""
    found = rows(
        connection,
        "SELECT s.id, s.question_id, s.recipe, coalesce(t.name, ''), s.verdict, s.prompt_tokens, s.completion_tokens"
        " FROM (SELECT * FROM (SELECT id FROM sample INDEXED BY sample_by_task WHERE task_id = ?1 AND split = 'train'"
        " AND verdict = 0 ORDER BY id DESC LIMIT ?2) UNION ALL SELECT * FROM (SELECT id FROM sample"
        " INDEXED BY sample_by_task WHERE task_id = ?1 AND split = 'train' AND verdict = 1 ORDER BY id DESC LIMIT ?2)"
        " ORDER BY id DESC LIMIT ?2) n CROSS JOIN sample s ON s.id = n.id LEFT JOIN teacher t ON t.id = s.teacher_id"
        " ORDER BY s.id DESC",
        (task, NEWEST),
    )
    if not found:
        return TaskTexts(task=task, newest=0)
    right, asked = Counter(row[3] for row in found if row[4]), Counter(row[3] for row in found)
    distances = _distances(connection, list(dict.fromkeys(row[1:3] for row in found))[:QUESTIONS])
    return TaskTexts(
        task=task,
        newest=found[0][0],
        samples=len(found),
        prompt_tokens=sum(row[5] for row in found) / len(found),
        completion_tokens=sum(row[6] for row in found) / len(found),
        teachers={name: (right[name], number) for name, number in asked.most_common()},
        distance=sum(distances) / len(distances) if distances else None,
        questions=len(distances),
    )


def _distances(connection: Connection, groups: list[tuple[int, str]]) -> list[float]:
    """Of the questions that have two rationales of one recipe: the mean distance of two."""
    texts: dict[tuple[int, str], list[str]] = defaultdict(list)
    for question, recipe, rationale in rows(
        connection,
        "SELECT s.question_id, s.recipe, s.rationale FROM json_each(?) j JOIN sample s ON s.question_id = j.value ->> 0"
        " AND s.recipe = j.value ->> 1 WHERE s.state = 'stored' AND s.rationale <> '' ORDER BY s.replicate",
        (json.dumps(groups),),
    ):
        texts[question, recipe].append(rationale)
    found = (diversity(each) for each in texts.values())
    return [each.distance for each in found if each is not None]
