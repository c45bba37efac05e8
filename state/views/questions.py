"""A question with all its rationales: texts, votes, how different they are, and how sure the teacher was of each word."""

from __future__ import annotations

import re
import struct
import zlib
from collections.abc import Sequence
from dataclasses import dataclass, replace

from state.diversity import Diversity, diversity
from state.enums import SampleState
from state.logprobs import Logprobs, unpack
from state.sqlite import Connection
from state.views.rows import Row, first, loaded, rows, snapshot

MOST = 64
"""Rationales of a question that are read."""

Spans = tuple[tuple[int, int, float], ...]
"""Parts of a text with the log-probability of the token there: start, end, nats."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Noted:
    """A note; `sample` is None where it is about the question."""

    sample: int | None
    flag: str
    text: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Rationale:
    """One sample of a question."""

    id: int
    plan: str
    strategy: str
    teacher: str
    replicate: int
    state: str
    verdict: int | None
    extracted: str | None
    flags: tuple[str, ...]
    rationale: str | None
    answer: str | None
    reason: str | None  # why it failed
    tokens: int  # of the completion
    spans: Spans = ()
    """Log-probabilities by place in `rationale`, where they are stored."""

    @property
    def hinted(self) -> bool:
        """Whether the teacher was shown the gold answer."""
        return "hinted" in self.flags


@dataclass(frozen=True, kw_only=True, slots=True)
class Votes:
    """An extracted answer (None: none was found), how many rationales led to it, and whether it is correct."""

    answer: str | None
    votes: int
    correct: bool


@dataclass(frozen=True, kw_only=True, slots=True)
class QuestionDetail:
    """A question with its rationales; those of the chosen sample's plan come first."""

    id: int
    task: str
    key: str
    split: str
    place: int  # in its split, from 1
    of: int
    text: str
    gold: str
    rationales: tuple[Rationale, ...]
    total: int  # samples of the question, of which the first are in `rationales`
    votes: tuple[Votes, ...]  # of rationales without a hint, most votes first
    diversity: Diversity | None  # of rationales without a hint
    notes: tuple[Noted, ...]

    @property
    def graded(self) -> int:
        """The number of rationales with a verdict."""
        return sum(item.verdict is not None for item in self.rationales)

    @property
    def correct(self) -> int:
        """The number of correct rationales."""
        return sum(item.verdict == 1 for item in self.rationales)

    def notes_of(self, sample: int) -> tuple[Noted, ...]:
        """What is noted about a sample of it, or about the question."""
        return tuple(note for note in self.notes if note.sample in (None, sample))


def question_of_sample(
    connection: Connection, sample: int, *, logprobs: bool = False
) -> QuestionDetail | None:
    """The question of a sample with all its rationales; None where there is no such sample.

    Args:
        connection: an open reading connection.
        sample: its id.
        logprobs: read the log-probabilities of each rationale, a millisecond or two for each.
    """
    with snapshot(connection):
        found = first(
            connection,
            "SELECT q.id, t.name, q.key, q.split, q.position + 1, CASE q.split WHEN 'train' THEN t.train WHEN 'dev' THEN t.dev"
            " ELSE t.test END, q.text, q.gold, s.recipe FROM sample s JOIN question q ON q.id = s.question_id"
            " JOIN task t ON t.id = q.task_id WHERE s.id = ?",
            (sample,),
        )
        if found is None:
            return None
        question = found[0]
        items = rows(
            connection,
            "SELECT s.id, p.name, p.strategy, h.name, s.replicate, s.state, s.verdict, s.extracted, s.flags, s.rationale,"
            " s.answer, s.reason, s.completion_tokens FROM sample s JOIN plan p ON p.id = s.plan_id"
            " JOIN teacher h ON h.id = s.teacher_id WHERE s.question_id = ?"
            " ORDER BY s.recipe <> ?, s.recipe, s.replicate LIMIT ?",
            (question, found[8], MOST),
        )
        (total,) = rows(connection, "SELECT count(*) FROM sample WHERE question_id = ?", (question,))[0]
        notes = rows(
            connection,
            "SELECT sample_id, flag, text FROM note WHERE question_id = ? ORDER BY id",
            (question,),
        )
        rationales = [_rationale(row) for row in items]
        if logprobs:
            rationales = [
                replace(item, spans=spans_of_sample(connection, item.id, item.rationale))
                for item in rationales
            ]
    own = [
        item for item in rationales if item.state == SampleState.STORED and not item.hinted
    ]  # a hint makes a rationale depend on the answer
    return QuestionDetail(
        **dict(zip(("id", "task", "key", "split", "place", "of", "text", "gold"), found[:8], strict=True)),
        rationales=tuple(rationales),
        total=total,
        votes=_votes(own),
        diversity=diversity([item.rationale for item in own if item.rationale]),
        notes=tuple(Noted(sample=row[0], flag=row[1], text=row[2]) for row in notes),
    )


def spans_of_sample(connection: Connection, sample: int, rationale: str | None) -> Spans:
    """Log-probabilities by place in a sample's rationale; empty where none are stored, or the tokens are not its text."""
    if not rationale:
        return ()
    found = first(
        connection,
        "SELECT l.data FROM attempt a JOIN logprob l ON l.attempt_id = a.id"
        " WHERE a.sample_id = ? AND a.turn = 0 AND a.outcome = 'ok' ORDER BY a.id DESC LIMIT 1",
        (sample,),
    )
    if found is None:
        return ()
    try:
        return token_spans(rationale, unpack(found[0]))
    except (ValueError, zlib.error, struct.error):  # of another version, or damaged
        return ()


def token_spans(text: str, logprobs: Logprobs) -> Spans:
    """Where the tokens are in a text that is a part of them all; empty if it is none."""
    whole = "".join(logprobs.tokens)
    start = whole.find(text)
    if start < 0:
        return ()
    spans, at = [], -start
    for token, value in zip(logprobs.tokens, logprobs.values, strict=True):
        end = at + len(token)
        if end > 0 and at < len(text) and token:
            spans.append((max(0, at), min(end, len(text)), float(value)))
        at = end
    return tuple(spans)


_THOUSANDS = re.compile(r"(?<=\d),(?=\d{3})")


def _votes(items: Sequence[Rationale]) -> tuple[Votes, ...]:
    """Correct answers are one, however they are written; others are compared without case, white space and thousands' commas."""
    groups: dict[str | bool, list[Rationale]] = {}
    for item in items:
        if item.verdict == 1:
            groups.setdefault(True, []).append(item)
        else:
            answer = item.extracted or ""
            groups.setdefault(_THOUSANDS.sub("", " ".join(answer.casefold().split())), []).append(item)
    found = [
        Votes(answer=group[0].extracted or None, votes=len(group), correct=key is True)
        for key, group in groups.items()
    ]
    return tuple(sorted(found, key=lambda item: (item.answer is None, -item.votes)))


def _rationale(row: Row) -> Rationale:
    names = ("id", "plan", "strategy", "teacher", "replicate", "state", "verdict", "extracted", "flags")
    values = dict(zip((*names, "rationale", "answer", "reason", "tokens"), row, strict=True))
    values["flags"] = tuple(str(flag) for flag in loaded(values["flags"], list))
    return Rationale(**values)
