"""Results of attempts: body, usage, cost, the sample's result and verdict, and all counters, in one transaction.

The raw body is stored before the request's slot is freed. Every result releases the reservation and books the billed
cost instead. Where an attempt may have been billed and nothing says how much, its reservation counts as unknown: beside
what was spent, and against every budget.
"""

from __future__ import annotations

import json
import zlib
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

from state.bulk import insert, rows_json, storable
from state.checksums import checksum
from state.database import now_ms
from state.enums import Outcome, SampleState
from state.logprobs import Packed
from state.resampling import refresh_needs
from state.sqlite import Connection


@dataclass(
    kw_only=True, slots=True
)  # not frozen, like the two below: freezing triples the cost of creating one
class Verdict:
    """A stored verdict; `grader` is name:version."""

    grader: str
    correct: bool
    extracted: str | None
    reason: str
    flags: tuple[str, ...] = ()


@dataclass(kw_only=True, slots=True)
class SampleEnd:
    """The result of a sample: stored with its texts and verdict, or failed with a reason."""

    state: SampleState
    rationale: str | None = None
    answer: str | None = None
    flags: tuple[str, ...] = ()
    reason: str | None = None
    verdict: Verdict | None = None


@dataclass(kw_only=True, slots=True)
class AttemptResult:
    """The result of one attempt, and of its sample if that was the last one.

    Of the attempts of one request, only the `leader` has a body and counts as a request.
    """

    attempt_id: int
    sample_id: int
    plan_id: int
    teacher_id: int
    outcome: Outcome
    reserved_micros: int
    cost_micros: int = 0
    unknown_micros: int = 0  # what it may have cost besides
    status: int | None = None
    reason: str | None = None
    provider_id: str | None = None
    raw: bytes | None = None
    finish_reason: str | None = None
    prompt_tokens: int = 0
    completion_tokens: int = 0
    cached_tokens: int = 0
    cache_write_tokens: int = 0
    reasoning_tokens: int = 0
    estimated: bool = False
    latency_ms: int | None = None
    counts: bool = False  # uses up one of the sample's attempts
    leader: bool = True
    logprobs: Packed | None = None
    answer: str | None = None
    """Of a member of a panel: the answer in this turn."""
    end: SampleEnd | None = None


@dataclass(frozen=True, slots=True)
class SampleResult:
    """The result of a sample that ends without a further attempt: what others said ended it."""

    sample_id: int
    finish_reason: str | None
    end: SampleEnd | None


@dataclass(frozen=True, slots=True)
class UngradedSample:
    """A stored sample that still needs a verdict."""

    id: int
    answer: str
    gold: str
    question: str


@dataclass(frozen=True, slots=True)
class PlanVerdicts:
    """How a plan's samples ended: correct, wrong, or failed without an answer."""

    correct: int
    wrong: int
    failed: int


def record(connection: Connection, endings: Sequence[AttemptResult]) -> list[None]:
    """Stores results of attempts."""
    now = now_ms()
    _end_attempts(connection, endings, now)
    insert(
        connection,
        "INSERT INTO completion (attempt_id, raw, size, finish_reason, received_at)",
        [
            (item.attempt_id, zlib.compress(item.raw, 1), len(item.raw), item.finish_reason, now)
            for item in endings
            if item.raw is not None
        ],
    )
    insert(
        connection,
        "INSERT INTO logprob (attempt_id, tokens, mean, data)",
        [
            (item.attempt_id, item.logprobs.tokens, item.logprobs.mean, item.logprobs.data)
            for item in endings
            if item.logprobs is not None
        ],
    )
    _touch_samples(connection, endings)
    _end_samples(connection, endings, now)
    _count(connection, endings)
    return [None] * len(endings)


def end_samples(connection: Connection, endings: Sequence[SampleResult]) -> list[None]:
    """Stores results of samples; one that has ended before stays as it is."""
    _end_samples(connection, endings, now_ms())
    return [None] * len(endings)


def record_groups(connection: Connection, groups: Sequence[Sequence[AttemptResult]]) -> list[None]:
    """Stores results of the attempts of requests; each group is stored completely or not at all."""
    record(connection, [ending for group in groups for ending in group])
    return [None] * len(groups)


def _end_attempts(connection: Connection, endings: Sequence[AttemptResult], now: int) -> None:
    rows = [
        [item.attempt_id, item.outcome.value, item.status, item.reason, item.provider_id, item.cost_micros]
        + [item.prompt_tokens, item.completion_tokens, item.cached_tokens, item.reasoning_tokens]
        + [int(item.estimated), item.latency_ms, item.cache_write_tokens, item.unknown_micros]
        for item in endings
    ]
    connection.execute(
        "UPDATE attempt SET outcome = j.value ->> 1, status = j.value ->> 2, reason = j.value ->> 3,"
        " provider_id = j.value ->> 4, cost_micros = j.value ->> 5, prompt_tokens = j.value ->> 6,"
        " completion_tokens = j.value ->> 7, cached_tokens = j.value ->> 8, reasoning_tokens = j.value ->> 9,"
        " estimated = j.value ->> 10, latency_ms = j.value ->> 11, cache_write_tokens = j.value ->> 12,"
        " unknown_micros = j.value ->> 13,"
        " ended_at = ?2"
        " FROM json_each(?1) j WHERE attempt.id = j.value ->> 0",
        (rows_json(rows), now),
    )
    if answers := [[item.attempt_id, item.answer] for item in endings if item.answer is not None]:
        connection.execute(
            "UPDATE attempt SET answer = j.value ->> 1 FROM json_each(?) j WHERE attempt.id = j.value ->> 0",
            (rows_json(answers),),
        )


def _touch_samples(connection: Connection, endings: Sequence[AttemptResult]) -> None:
    """Adds tokens, cost and attempts to the samples."""
    totals: dict[int, list[int]] = defaultdict(lambda: [0, 0, 0, 0, 0, 0])
    for item in endings:
        total = totals[item.sample_id]
        total[0] += item.prompt_tokens
        total[1] += item.completion_tokens
        total[2] += item.cost_micros
        total[3] += item.counts
        total[4] += item.outcome is Outcome.UNKNOWN
        total[5] = item.teacher_id
    connection.execute(
        "UPDATE sample SET prompt_tokens = prompt_tokens + (j.value ->> 1),"
        " completion_tokens = completion_tokens + (j.value ->> 2), cost_micros = cost_micros + (j.value ->> 3),"
        " attempts = attempts + (j.value ->> 4), unknowns = unknowns + (j.value ->> 5), teacher_id = j.value ->> 6"
        " FROM json_each(?) j WHERE sample.id = j.value ->> 0",
        (json.dumps([[sample, *total] for sample, total in totals.items()]),),
    )


def _end_samples(
    connection: Connection, endings: Sequence[AttemptResult] | Sequence[SampleResult], now: int
) -> None:
    ended = [(item, item.end) for item in endings if item.end is not None]
    if not ended:
        return
    rows = [
        [item.sample_id, end.state.value, end.rationale, end.answer, _listed(end.flags), end.reason]
        + [item.finish_reason, *_judged(end.verdict), checksum(end.rationale, end.answer)]
        for item, end in ended
    ]
    replicates = connection.execute(
        "UPDATE sample SET state = j.value ->> 1, rationale = j.value ->> 2, answer = j.value ->> 3,"
        " flags = j.value ->> 4, reason = j.value ->> 5, finish_reason = j.value ->> 6, verdict = j.value ->> 7,"
        " extracted = j.value ->> 8, checksum = j.value ->> 9, stored_at = ?2"
        " FROM json_each(?1) j WHERE sample.id = j.value ->> 0 AND sample.state = 'open'"
        " RETURNING task_id, split, recipe, replicate, state, verdict, question_id",
        (rows_json(rows), now),
    ).fetchall()
    _grade(connection, [(item.sample_id, end.verdict) for item, end in ended if end.verdict], now)
    count_ends(connection, replicates)


def _listed(flags: tuple[str, ...]) -> str:
    return json.dumps(flags) if flags else "[]"


def _judged(verdict: Verdict | None) -> list[int | str | None]:
    return [None, None] if verdict is None else [int(verdict.correct), verdict.extracted]


def _grade(connection: Connection, verdicts: Sequence[tuple[int, Verdict]], now: int) -> None:
    insert(
        connection,
        "INSERT INTO grade (sample_id, grader, correct, extracted, reason, flags, graded_at)",
        [
            (sample, item.grader, int(item.correct), item.extracted, item.reason, _listed(item.flags), now)
            for sample, item in verdicts
        ],
        "ON CONFLICT (sample_id, grader) DO UPDATE SET correct = excluded.correct,"
        " extracted = excluded.extracted, reason = excluded.reason, flags = excluded.flags",
    )


def ungraded_samples(
    connection: Connection, *, task_id: int, split: str, fingerprint: str, after: int, limit: int
) -> list[UngradedSample]:
    """Stored samples of a plan without a verdict, with ids above `after`, by id."""
    rows = connection.execute(
        "SELECT s.id, s.answer, q.gold, q.text FROM sample s JOIN question q ON q.id = s.question_id"
        " WHERE s.task_id = ? AND s.split = ? AND s.verdict IS NULL AND s.recipe = ? AND s.state = 'stored'"
        " AND s.id > ? ORDER BY s.id LIMIT ?",
        (task_id, split, fingerprint, after, limit),
    )
    return [UngradedSample(key, answer or "", gold, question) for key, answer, gold, question in rows]


def plan_verdicts(connection: Connection, plan_id: int) -> PlanVerdicts:
    """The counters of a plan's verdicts."""
    row = connection.execute(
        "SELECT accepted, rejected, failed FROM plan WHERE id = ?", (plan_id,)
    ).fetchone()
    return PlanVerdicts(*row)


def grade_stored(connection: Connection, verdicts: Sequence[tuple[int, Verdict]]) -> list[None]:
    """Stores verdicts of samples that had none, because the daemon or the grader died."""
    _grade(connection, verdicts, now_ms())
    for sample, verdict in verdicts:
        ended = connection.execute(
            "UPDATE sample SET verdict = ?, extracted = ? WHERE id = ? AND verdict IS NULL"
            " RETURNING task_id, split, recipe, replicate, question_id",
            storable((int(verdict.correct), verdict.extracted, sample)),
        ).fetchall()
        for task, split, recipe, replicate, question in ended:
            column = "accepted" if verdict.correct else "rejected"
            connection.execute(
                f"UPDATE plan SET {column} = {column} + 1"
                " WHERE task_id = ? AND split = ? AND recipe = ? AND rationales > ?",
                (task, split, recipe, replicate),
            )
            refresh_needs(connection, task, split, recipe, [question])
    return [None] * len(verdicts)


def count_ends(
    connection: Connection, rows: Sequence[tuple[int, str, str, int, str, int | None, int]]
) -> None:
    """Counts ended samples in every plan that includes their replicate, and updates which questions to sample again."""
    groups: dict[tuple[int, str, str, int], list[int]] = defaultdict(lambda: [0, 0, 0, 0])
    questions: dict[tuple[int, str, str], list[int]] = defaultdict(list)
    for task, split, recipe, replicate, state, verdict, question in rows:
        questions[task, split, recipe].append(question)
        group = groups[task, split, recipe, replicate]
        group[0] += state == SampleState.STORED
        group[1] += verdict == 1
        group[2] += verdict == 0
        group[3] += state == SampleState.FAILED
    for key, counts in groups.items():
        connection.execute(
            "UPDATE plan SET stored = stored + ?, accepted = accepted + ?, rejected = rejected + ?,"
            " failed = failed + ? WHERE task_id = ? AND split = ? AND recipe = ? AND rationales > ?",
            (*counts, *key),
        )
    for (task, split, recipe), asked in questions.items():
        refresh_needs(connection, task, split, recipe, asked)


def _count(connection: Connection, endings: Sequence[AttemptResult]) -> None:
    teachers: dict[int, list[int]] = defaultdict(lambda: [0] * 10)
    plans: dict[int, list[int]] = defaultdict(lambda: [0, 0, 0])
    for item in endings:
        row = teachers[item.teacher_id]
        if item.leader:  # counters of requests
            row[0] += item.outcome is Outcome.OK
            row[1] += item.status == 429
            row[2] += item.outcome in (Outcome.TRANSIENT, Outcome.MALFORMED, Outcome.UNKNOWN)
            row[3] += item.outcome in (
                Outcome.TRANSIENT,
                Outcome.MALFORMED,
                Outcome.PERMANENT,
                Outcome.PARKED,
            )
        row[4] += item.outcome is Outcome.UNKNOWN
        row[5] += item.prompt_tokens
        row[6] += item.completion_tokens
        row[7] += item.cost_micros
        row[8] += item.unknown_micros
        row[9] += item.reserved_micros
        own = plans[item.plan_id]
        own[0] += item.cost_micros
        own[1] += item.unknown_micros
        own[2] += item.reserved_micros
    for teacher, row in teachers.items():
        connection.execute(
            "UPDATE teacher SET answered = answered + ?, status_429 = status_429 + ?, retries = retries + ?,"
            " errors = errors + ?, unknown_attempts = unknown_attempts + ?, prompt_tokens = prompt_tokens + ?,"
            " completion_tokens = completion_tokens + ?, spent_micros = spent_micros + ?,"
            " unknown_micros = unknown_micros + ?, reserved_micros = reserved_micros - ? WHERE id = ?",
            (*row, teacher),
        )
    for plan, money in plans.items():
        connection.execute(
            "UPDATE plan SET spent_micros = spent_micros + ?, unknown_micros = unknown_micros + ?,"
            " reserved_micros = reserved_micros - ? WHERE id = ?",
            (*money, plan),
        )
