"""Exports samples and predictions as plain rows, page by page."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Collection, Iterator, Mapping
from typing import Any, NamedTuple

from state.authors import Authors
from state.checksums import Damaged, intact
from state.claims import received_turns
from state.logprobs import unpack
from state.panels import heard_turns
from state.sqlite import Connection

PAGE = 2000

_SAMPLES = (
    "SELECT s.id, p.name, t.name, q.key, s.split, te.name, p.strategy, s.replicate, q.text, q.gold, s.rationale,"
    " s.answer, s.extracted, s.verdict, s.flags, s.finish_reason, s.prompt_tokens, s.completion_tokens,"
    " s.cost_micros, (SELECT count(*) FROM attempt a WHERE a.sample_id = s.id AND a.outcome <> 'released'),"
    " s.created_at, p.settings, t.answer_format, l.mean, CASE WHEN ?4 THEN l.data END,"
    " (SELECT coalesce(sum(a.unknown_micros), 0) FROM attempt a WHERE a.sample_id = s.id), s.checksum, q.checksum,"
    " q.rationale, q.id, s.recipe, (SELECT json_group_array(iif(n.flag <> '' AND n.text <> '', n.flag || ': ' || n.text, n.flag || n.text))"
    " FROM note n WHERE n.question_id = s.question_id AND (n.sample_id IS NULL OR n.sample_id = s.id)) FROM sample s JOIN plan p ON p.id = s.plan_id JOIN task t ON t.id = s.task_id"
    " JOIN question q ON q.id = s.question_id JOIN teacher te ON te.id = s.teacher_id"
    " LEFT JOIN logprob l ON l.attempt_id = (SELECT a.id FROM attempt a WHERE a.sample_id = s.id AND a.turn = 0"
    "   AND a.outcome = 'ok') WHERE s.state = 'stored' AND s.id > ?1 AND (?2 IS NULL OR t.name = ?2)"
    " AND (?5 IS NULL OR p.name = ?5) AND (?6 IS NULL OR s.split = ?6) ORDER BY s.id LIMIT ?3"
)


Heard = list[list[tuple[int, str, bytes, int]]]
"""What a panel's member heard after each of its turns: member, dialect, compressed body and the index of the choice."""
Sent = Callable[[Mapping[str, Any], str, str, str, str, list[tuple[bytes, int]], Heard], list[str]]
"""Rebuilds the requests from a plan's settings, answer format, question, gold answer, dialect, received bodies and what was heard."""


def samples(
    connection: Connection,
    task: str | None = None,
    sent: Sent | None = None,
    *,
    plan: str | None = None,
    split: str | None = None,
    logprobs: bool = False,
    damaged: list[Damaged] | None = None,
) -> Iterator[dict[str, Any]]:
    """Stored samples by id, in short reads.

    Args:
        connection: an open reading connection.
        task: only samples of this task.
        sent: rebuilds the requests of a sample; None leaves them out.
        plan: only those that a plan of this name asked for.
        split: only those of questions of this split.
        logprobs: include log-probabilities of the rationale's tokens.
        damaged: gets the damaged rows, whose samples are left out.
    """
    after = 0
    authors = Authors(connection)
    while page := connection.execute(_SAMPLES, (after, task, PAGE, logprobs, plan, split)).fetchall():
        written_by = authors.of([row[0] for row in page])
        for row in page:
            found = _damage(row, written_by[row[0]].damaged)
            if found:
                if damaged is not None:
                    damaged += found
                continue
            more = {"logprobs": None if row[24] is None else _shown(row[24])} if logprobs else {}
            yield {
                "sample_id": row[0],
                "plan": row[1],
                "fingerprint": row[30],
                "task": row[2],
                "question_id": row[3],
                "split": row[4],
                "teacher": row[5],
                "model": written_by[row[0]].model,
                "strategy": row[6],
                "replicate": row[7],
                "question": row[8],
                "gold": row[9],
                "rationale": row[10],
                "answer": row[11],
                "extracted": row[12],
                "correct": None if row[13] is None or not row[9] else bool(row[13]),
                "flags": json.loads(row[14]),
                "finish_reason": row[15],
                "prompt_tokens": row[16],
                "completion_tokens": row[17],
                "cost_usd": row[18] / 1e6,
                "unknown_usd": row[25] / 1e6,
                "attempts": row[19],
                "created_at": row[20],
                "mean_logprob": row[23],
                "notes": json.loads(row[31]),
                **more,
            } | (_sent(connection, row, sent, written_by[row[0]].dialect) if sent else {})
        after = page[-1][0]


def _damage(row: tuple[Any, ...], body: bool) -> list[Damaged]:
    """What is damaged of a sample: its own texts, those of its question, or the body that it is from."""
    found = [] if intact(row[26], row[10], row[11]) else [Damaged("sample", row[0])]
    found += [] if intact(row[27], row[8], row[9], row[28]) else [Damaged("question", row[29])]
    return [*found, Damaged("completion of sample", row[0])] if body else found


def _sent(connection: Connection, row: tuple[Any, ...], sent: Sent, dialect: str) -> dict[str, Any]:
    bodies = received_turns(connection, row[0])
    heard = [
        [(member, reply.dialect, reply.raw, reply.choice) for member, reply in replies]
        for replies in heard_turns(connection, row[0])
    ]
    return {"sent": sent(json.loads(row[21]), row[22], row[8], row[9], dialect, bodies, heard)}


def _shown(data: bytes) -> dict[str, Any]:
    """Tokens with their log-probabilities, and the alternatives at each position."""
    found = unpack(data)
    return {
        "tokens": list(found.tokens),
        "values": list(found.values),
        "top": [[{"token": token, "value": value} for token, value in place] for place in found.top],
    }


def not_stored(connection: Connection, task: str | None = None) -> dict[str, int]:
    """The number of samples without an answer, which `samples` leaves out, by state."""
    rows = connection.execute(
        "SELECT s.state, count(*) FROM sample s JOIN task t ON t.id = s.task_id"
        " WHERE s.state <> 'stored' AND (?1 IS NULL OR t.name = ?1) GROUP BY s.state ORDER BY s.state",
        (task,),
    )
    return dict(rows.fetchall())


def teachers_of(connection: Connection, sample_ids: Collection[int]) -> list[tuple[str, str, int]]:
    """Name and model of the teachers of some samples, with the number of samples of each."""
    authors = Authors(connection).of(sample_ids).values()
    counts = Counter((author.teacher, author.model) for author in authors)
    return [(name, model, count) for (name, model), count in sorted(counts.items())]


class QuestionName(NamedTuple):
    """What a user calls a question: its task, its id there, and its split."""

    task: str
    key: str
    split: str


def question_names(connection: Connection, question_ids: Collection[int]) -> dict[int, QuestionName]:
    """The names of questions, by id."""
    rows = connection.execute(
        "SELECT q.id, t.name, q.key, q.split FROM json_each(?) j CROSS JOIN question q ON q.id = j.value"
        " JOIN task t ON t.id = q.task_id",
        (json.dumps(sorted(question_ids)),),
    )
    return {key: QuestionName(*name) for key, *name in rows}


def questions(connection: Connection, task: str, split: str) -> Iterator[dict[str, Any]]:
    """The questions of a task's split with their gold answers, in order."""
    rows = connection.execute(
        "SELECT q.key, q.text, q.gold FROM question q JOIN task t ON t.id = q.task_id"
        " WHERE t.name = ? AND q.split = ? AND q.active ORDER BY q.position",
        (task, split),
    )
    for key, text, gold in rows:
        yield {"task": task, "question_id": key, "split": split, "question": text, "answer": gold}


def predictions(
    connection: Connection,
    task: str | None = None,
    student: str | None = None,
    *,
    damaged: list[Damaged] | None = None,
) -> Iterator[dict[str, Any]]:
    """Answers of students, run by run; `damaged` gets the damaged rows, which are left out."""
    rows = connection.execute(
        "SELECT r.id, r.student, t.name, q.key, p.split, q.text, q.gold, p.text, p.extracted, p.correct, p.reason,"
        " p.checksum, q.checksum, q.rationale, q.id, p.prompt_tokens, p.tokens, p.flops"
        " FROM prediction p JOIN run r ON r.id = p.run_id JOIN question q ON q.id = p.question_id"
        " JOIN task t ON t.id = q.task_id WHERE (?1 IS NULL OR t.name = ?1) AND (?2 IS NULL OR r.student = ?2)"
        " ORDER BY r.id, q.task_id, p.split, q.position",
        (task, student),
    ).fetchall()
    names = (
        *("run", "student", "task", "question_id", "split", "question", "gold", "completion", "extracted"),
        *("correct", "reason"),
    )
    for row in rows:
        found = [] if intact(row[11], row[7]) else [Damaged(f"prediction of run {row[0]}, question", row[14])]
        found += [] if intact(row[12], row[5], row[6], row[13]) else [Damaged("question", row[14])]
        if not found:
            spent = dict(zip(("prompt_tokens", "tokens", "flops"), row[15:], strict=True))
            yield dict(zip(names, row[:11], strict=True)) | {"correct": bool(row[9])} | spent
        elif damaged is not None:
            damaged += found
