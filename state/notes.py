"""Your notes: a flag and words about a question, or about one of its samples.

A question has at most one note of its own, a sample too. What is wrong with a question is wrong for all its samples, so such a flag
is stored with the question, whatever sample you saw it in. Only the table `note` is written, which nothing in the daemon
keeps in memory: a note needs no daemon (`state/commands.py`).
"""

from __future__ import annotations

import json
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any

from state.bulk import storable
from state.database import now_ms
from state.enums import NoteFlag
from state.sqlite import Connection

OF_QUESTIONS = (NoteFlag.GOLD_IS_WRONG, NoteFlag.BAD_QUESTION)
LONGEST = 2_000
"""Characters of the words of a note."""


@dataclass(frozen=True, kw_only=True, slots=True)
class SetNote:
    """Stores a note about a sample or a question, by id; without flag and words it removes what is noted there."""

    sample: int | None = None
    question: int | None = None
    flag: str = ""
    text: str = ""


@dataclass(frozen=True, kw_only=True, slots=True)
class StoredNote:
    """A note, and what it is about; `sample` is None where it is about the question."""

    task: str
    question: str  # its key in the task
    sample: int | None
    flag: str
    text: str
    noted_at: int


def parse_note(words: str) -> tuple[str, str]:
    """Flag and words of a note as you write it: `gold is wrong`, `bad question: ambiguous`, or words alone."""
    head, _, tail = words.strip().partition(":")
    name = " ".join(head.replace("-", " ").casefold().split())
    if name in tuple(NoteFlag):
        return name, tail.strip()
    return "", words.strip()


def note_words(flag: str, text: str) -> str:
    """A note as one writes it; the inverse of `parse_note`."""
    return f"{flag}: {text}" if flag and text else flag or text


def set_notes(connection: Connection, requests: Sequence[SetNote]) -> list[str]:
    """Stores or removes notes, and returns an answer for each.

    Raises:
        ValueError: there is no such sample or question, or the note cannot be stored.
    """
    return [_set(connection, request) for request in requests]


def question_named(connection: Connection, name: str) -> int:
    """The id of a question by its name, `TASK/KEY`; the newest one if its text has changed.

    Raises:
        ValueError: there is none.
    """
    task, _, key = name.partition("/")
    row = connection.execute(
        "SELECT q.id FROM question q JOIN task t ON t.id = q.task_id WHERE t.name = ? AND q.key = ?"
        " ORDER BY q.active DESC, q.id DESC LIMIT 1",
        storable((task, key)),
    ).fetchone()
    if row is None:
        raise ValueError(f"no question {name!r}; expected TASK/KEY, for example coin_flip/train-12")
    return int(row[0])


def stored_notes(connection: Connection) -> list[StoredNote]:
    """All notes, oldest first."""
    rows = connection.execute(
        "SELECT t.name, q.key, n.sample_id, n.flag, n.text, n.noted_at FROM note n JOIN question q ON q.id = n.question_id"
        " JOIN task t ON t.id = q.task_id ORDER BY n.id"
    )
    names = ("task", "question", "sample", "flag", "text", "noted_at")
    return [StoredNote(**dict(zip(names, row, strict=True))) for row in rows]


def flagged_questions(connection: Connection, tasks: Collection[int]) -> frozenset[int]:
    """The questions of these tasks that have a flag; words alone are not one."""
    rows = connection.execute(
        "SELECT n.question_id FROM note n JOIN question q ON q.id = n.question_id WHERE n.sample_id IS NULL AND n.flag <> ''"
        " AND q.task_id IN (SELECT value FROM json_each(?))",
        (json.dumps(list(tasks)),),
    )
    return frozenset(row[0] for row in rows)


def _set(connection: Connection, request: SetNote) -> str:
    if (request.sample is None) == (request.question is None):
        raise ValueError("a note is about a sample or about a question: exactly one of them")
    if request.flag and request.flag not in tuple(NoteFlag):
        raise ValueError(f"unknown flag {request.flag!r}; known: {', '.join(NoteFlag)}")
    if len(request.text) > LONGEST:
        raise ValueError(f"a note has at most {LONGEST:,} characters, this one has {len(request.text):,}")
    sample, question = request.sample, request.question
    if sample is not None:
        question = _one(connection, "SELECT question_id FROM sample WHERE id = ?", sample)
        if question is None:
            raise ValueError(f"no sample {sample}")
    elif _one(connection, "SELECT id FROM question WHERE id = ?", question) is None:
        raise ValueError(f"no question {question}")
    if not request.flag and not request.text:
        gone = _remove(connection, question, None) + (_remove(connection, question, sample) if sample else 0)
        return "note removed" if gone else "nothing was noted there"
    if request.flag in OF_QUESTIONS:
        sample = None
    elif request.flag and sample is None:
        raise ValueError(f"{request.flag!r} is about a sample: name the sample, not the question")
    _remove(connection, question, sample)
    connection.execute(
        "INSERT INTO note (question_id, sample_id, flag, text, noted_at) VALUES (?, ?, ?, ?, ?)",
        storable((question, sample, request.flag, request.text, now_ms())),
    )
    what = f"sample {sample}" if sample is not None else "the question"
    return f"noted about {what}: {note_words(request.flag, request.text)}"


def _remove(connection: Connection, question: int | None, sample: int | None) -> int:
    return int(
        connection.execute(
            "DELETE FROM note WHERE question_id = ? AND sample_id IS ?", (question, sample)
        ).rowcount
    )


def _one(connection: Connection, sql: str, value: Any) -> int | None:
    row = connection.execute(sql, (value,)).fetchone()
    return None if row is None else int(row[0])
