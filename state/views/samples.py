"""Samples by primary key: a page of a list, ids that match a filter, one sample in full.

Invariants: every read is bounded by a range or a list of ids, so none depends on the number of samples. A filter is
applied in windows of ids, newest first; nothing keeps a position in the database between calls.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from state.panels import RoundAnswer, round_answers
from state.sqlite import Connection
from state.views.questions import Spans, spans_of_sample
from state.views.rows import first, loaded, rows, snapshot
from state.views.search import ids_with_words

Turn = tuple[tuple[str, str], ...]
"""The messages of one request: (role, text)."""


@dataclass(frozen=True, kw_only=True, slots=True)
class SampleFilter:
    """Conditions on samples; None means any."""

    task_id: int | None = None
    plan_id: int | None = None
    teacher_id: int | None = None
    split: str | None = None
    state: str | None = None
    verdict: int | None = None  # 1 correct, 0 wrong
    labelled: bool | None = None  # whether its task has gold answers
    ungraded: bool = False
    flag: str | None = None
    faults: bool = False  # wrong, failed or flagged
    question: str | None = None  # its key in the task, or else a part of its text
    unsolved: bool = False  # the newest ended sample of each question without a correct one
    noted: bool = False  # you noted something about it or its question
    text: str | None = None  # words of question, rationale, answer or reason (`state/views/search.py`)

    @property
    def everything(self) -> bool:
        """Whether every sample matches."""
        return self == SampleFilter()


@dataclass(frozen=True, kw_only=True, slots=True)
class SampleRow:
    """A sample in a list."""

    id: int
    task: str
    teacher: str
    question: str  # its key in the task
    text: str  # the beginning of the question
    gold: str
    replicate: int
    state: str
    verdict: int | None
    extracted: str | None
    flags: tuple[str, ...]
    tokens: int
    noted: bool  # you noted something about it or its question
    stored_at: int | None
    plan: str
    cost_usd: float
    logprob: float | None  # mean of the rationale's tokens, where they are stored

    @property
    def word(self) -> str:
        """What came of it: correct, wrong, ungraded, open or failed; without a gold answer answered or unread."""
        if self.state != "stored":
            return self.state
        if not self.gold and self.verdict is not None:
            return "answered" if self.verdict else "unread"
        return "ungraded" if self.verdict is None else "correct" if self.verdict else "wrong"


@dataclass(frozen=True, kw_only=True, slots=True)
class AttemptRow:
    """A request for a sample."""

    id: int
    turn: int
    teacher: str
    outcome: str | None  # None: in flight
    status: int | None
    reason: str | None
    cost_usd: float
    unknown_usd: float  # what it may have cost besides
    latency_ms: int | None


@dataclass(frozen=True, kw_only=True, slots=True)
class SampleDetail:
    """A sample in full: question, rationale, verdict, requests and cost."""

    row: SampleRow
    split: str
    strategy: str
    question: str
    gold: str
    rationale: str | None
    answer: str | None
    finish_reason: str | None
    grader: str | None
    grade_reason: str | None
    reason: str | None  # why it failed
    prompt_tokens: int
    completion_tokens: int
    created_at: int
    stored_at: int | None
    attempts: tuple[AttemptRow, ...]
    prompts: tuple[Turn, ...]  # as sent, turn by turn; empty if the plan stores none
    spans: Spans  # log-probabilities by place in the rationale, where they are stored
    rounds: tuple[RoundAnswer, ...] = ()  # what a panel's members answered, round by round


HEAD = 240
"""Characters of a question and of a gold answer in a list."""
_ROW = (
    "SELECT s.id, t.name, h.name, q.key, s.replicate, s.state, s.verdict, s.extracted, s.flags,"
    f" s.prompt_tokens + s.completion_tokens, substr(q.text, 1, {HEAD}), substr(q.gold, 1, {HEAD}),"
    " EXISTS (SELECT 1 FROM note n WHERE n.question_id = s.question_id AND (n.sample_id IS NULL OR n.sample_id = s.id)),"
    " s.stored_at, p.name, s.cost_micros,"
    " (SELECT l.mean FROM attempt a JOIN logprob l ON l.attempt_id = a.id"
    " WHERE a.sample_id = s.id AND a.turn = 0 AND a.outcome = 'ok' LIMIT 1)"
)
_FROM = (
    " FROM sample s JOIN task t ON t.id = s.task_id JOIN teacher h ON h.id = s.teacher_id"
    " JOIN question q ON q.id = s.question_id JOIN plan p ON p.id = s.plan_id"
)


def id_range(connection: Connection) -> tuple[int, int] | None:
    """The lowest and highest id; None without samples."""
    low, high = rows(connection, "SELECT (SELECT min(id) FROM sample), (SELECT max(id) FROM sample)")[0]
    return None if high is None else (low, high)


def count_samples(connection: Connection) -> int:
    """The number of samples; costs a pass over an index."""
    return int(rows(connection, "SELECT count(*) FROM sample")[0][0])


def sample_rows(connection: Connection, ids: Sequence[int]) -> dict[int, SampleRow]:
    """The samples with these ids (some hundreds at most), by id."""
    marks = ", ".join("?" * len(ids))
    return {
        row[0]: _row(row) for row in rows(connection, f"{_ROW}{_FROM} WHERE s.id IN ({marks})", tuple(ids))
    }


def matching_ids(
    connection: Connection, wanted: SampleFilter, low: int, high: int, upto: int = 0
) -> list[int]:
    """Ids from `low` to `high` that match, newest first; the full-text index covers ids up to `upto`."""
    clauses: list[str] = []
    values: list[Any] = []
    for name in ("task_id", "plan_id", "teacher_id", "split", "state", "verdict"):
        value = getattr(wanted, name)
        if value is not None:
            clauses.append(f"s.{name} = ?")
            values.append(value)
    if wanted.labelled is not None:
        clauses.append("s.task_id IN (SELECT id FROM task WHERE labelled = ?)")
        values.append(int(wanted.labelled))
    if wanted.ungraded:
        clauses.append("s.state = 'stored' AND s.verdict IS NULL")
    if wanted.faults:
        clauses.append("(s.state = 'failed' OR s.verdict = 0 OR s.flags <> '[]')")
    if wanted.flag is not None:
        clauses.append("s.flags LIKE ? ESCAPE '!'")
        values.append(f'%"{_literal(wanted.flag)}"%')
    keyed = False
    if wanted.question is not None:
        clause, keyed = _of_question(connection, wanted.question)
        clauses.append(clause)
        values.append(wanted.question)
    if wanted.unsolved:
        clauses.append(_UNSOLVED)
    if wanted.noted:
        clauses.append(_NOTED)
    if wanted.text:
        return ids_with_words(connection, wanted.text, low, high, clauses, values, upto)
    where = " AND ".join([f"{'+' if keyed else ''}s.id BETWEEN ? AND ?", *clauses])
    found = rows(
        connection,
        f"SELECT s.id FROM sample s {'' if keyed else 'NOT INDEXED '}WHERE {where} ORDER BY s.id DESC",
        (low, high, *values),
    )
    return [row[0] for row in found]


_OF_KEY = "q.task_id IN (SELECT id FROM task) AND q.key = ?"
_UNSOLVED = (
    "s.state <> 'open' AND NOT EXISTS (SELECT 1 FROM sample o WHERE o.question_id = s.question_id"
    " AND (o.verdict = 1 OR o.id > s.id AND o.state <> 'open'))"
)
_NOTED = "(s.id IN (SELECT sample_id FROM note) OR s.question_id IN (SELECT question_id FROM note WHERE sample_id IS NULL))"


def _of_question(connection: Connection, name: str) -> tuple[str, bool]:
    """The condition for samples of a question, with one parameter, and whether an index finds them.

    The name is a key, in whatever task; where no question has it, a part of the question's text, in any case.
    """
    if first(connection, f"SELECT 1 FROM question q WHERE {_OF_KEY} LIMIT 1", (name,)) is not None:
        return f"s.question_id IN (SELECT q.id FROM question q WHERE {_OF_KEY})", True
    return "s.question_id IN (SELECT id FROM question WHERE instr(lower(text), lower(?)) > 0)", False


GOLD = "task_id NOT IN (SELECT id FROM task WHERE labelled = 0)"
"""A condition on `sample`: there is a gold answer, so that its verdict says whether it is correct."""
FAULTY = "(verdict = 0 OR state = 'failed')"


def fault_between(connection: Connection, low: int, high: int, *, newest: bool) -> int | None:
    """The newest (or oldest) sample with an id from `low` to `high` that is wrong or failed."""
    found = first(
        connection,
        f"SELECT id FROM sample NOT INDEXED WHERE id BETWEEN ? AND ? AND {FAULTY}"
        f" ORDER BY id {'DESC' if newest else 'ASC'} LIMIT 1",
        (low, high),
    )
    return int(found[0]) if found is not None else None


def faults_among(connection: Connection, ids: Sequence[int]) -> set[int]:
    """Those of `ids` (at most some thousands) that are wrong or failed."""
    found = rows(
        connection,
        f"SELECT id FROM sample NOT INDEXED WHERE id IN (SELECT value FROM json_each(?)) AND {FAULTY}",
        (json.dumps(list(ids)),),
    )
    return {row[0] for row in found}


def sample_detail(connection: Connection, sample: int) -> SampleDetail | None:
    """A sample in full, with the newest verdict and every attempt; None if it does not exist."""
    with snapshot(connection):
        found = first(
            connection,
            f"{_ROW}, s.split, p.strategy, q.text, q.gold, s.rationale, s.answer, s.finish_reason,"
            " s.reason, s.prompt_tokens, s.completion_tokens, s.created_at, s.stored_at, p.settings"
            f"{_FROM} WHERE s.id = ?",
            (sample,),
        )
        if found is None:
            return None
        grade = first(
            connection,
            "SELECT grader, reason FROM grade WHERE sample_id = ? ORDER BY graded_at DESC, id DESC LIMIT 1",
            (sample,),
        )
        attempts = rows(
            connection,
            "SELECT a.id, a.turn, h.name, a.outcome, a.status, a.reason, a.cost_micros, a.latency_ms, a.unknown_micros"
            " FROM attempt a JOIN teacher h ON h.id = a.teacher_id"
            " WHERE a.sample_id = ? ORDER BY a.id LIMIT 200",
            (sample,),
        )
        spans = spans_of_sample(connection, sample, found[21])
        rounds = round_answers(connection, sample_id=sample)
    split, strategy, question, gold, rationale, answer, finish_reason, reason = found[17:25]
    return SampleDetail(
        row=_row(found),
        split=split,
        strategy=strategy,
        question=question,
        gold=gold,
        rationale=rationale,
        answer=answer,
        finish_reason=finish_reason,
        grader=grade[0] if grade else None,
        grade_reason=grade[1] if grade else None,
        reason=reason,
        prompt_tokens=found[25],
        completion_tokens=found[26],
        created_at=found[27],
        stored_at=found[28],
        attempts=tuple(_attempt(row) for row in attempts),
        prompts=sent(loaded(found[29], dict), question, rationale, gold),
        spans=spans,
        rounds=tuple(rounds),
    )


def sent(
    settings: Mapping[str, Any], question: str, rationale: str | None, gold: str = ""
) -> tuple[Turn, ...]:
    """The requests of a sample, from the `templates` in its plan's settings.

    Turns that need the rationale are left out if the sample has none.
    """
    turns: list[Turn] = []
    known = {"question": question, "rationale": rationale or "", "gold": gold, "peer": "…"}
    templates = settings.get("templates")
    for turn in templates if isinstance(templates, list) else []:
        messages = [item for item in turn if isinstance(item, dict)] if isinstance(turn, list) else []
        texts = [(str(item.get("role", "")), str(item.get("content", ""))) for item in messages]
        if rationale is None and any("{rationale}" in text for _, text in texts):
            break
        turns.append(tuple((role, _MARK.sub(lambda mark: known[mark[1]], text)) for role, text in texts))
    return tuple(turns)


_MARK = re.compile(r"\{(question|rationale|gold|peer)\}")


def _row(row: tuple[Any, ...]) -> SampleRow:
    return SampleRow(
        id=row[0],
        task=row[1],
        teacher=row[2],
        question=row[3],
        replicate=row[4],
        state=row[5],
        verdict=row[6],
        extracted=row[7],
        flags=tuple(str(flag) for flag in loaded(row[8], list)),
        tokens=row[9],
        text=row[10],
        gold=row[11],
        noted=row[12] == 1,
        stored_at=row[13],
        plan=row[14],
        cost_usd=row[15] / 1e6,
        logprob=row[16],
    )


def _attempt(row: tuple[Any, ...]) -> AttemptRow:
    return AttemptRow(
        id=row[0],
        turn=row[1],
        teacher=row[2],
        outcome=row[3],
        status=row[4],
        reason=row[5],
        cost_usd=row[6] / 1e6,
        latency_ms=row[7],
        unknown_usd=row[8] / 1e6,
    )


def _literal(text: str) -> str:
    """Escapes text for LIKE … ESCAPE '!'."""
    return text.replace("!", "!!").replace("%", "!%").replace("_", "!_")
