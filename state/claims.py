"""Claims: samples of a plan and their first attempts, written before anything is sent.

`state/slots.py` chooses the slots. Only claimed slots have rows.
"""

from __future__ import annotations

import json
import secrets
from collections import Counter
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass

from state.batches import IN_A_BATCH
from state.bulk import insert
from state.database import now_ms
from state.enums import Outcome, SampleState
from state.resampling import refresh_needs
from state.slots import PlanSlots, Slot, choose_slots, is_complete, read
from state.sqlite import Connection


@dataclass(frozen=True, kw_only=True, slots=True)
class ClaimRequest:
    """Up to `count` samples of a plan for a teacher, within `allowance` micro-dollars.

    `reserve` gives the upper bound of the first turn's cost, in micro-dollars, from the question's text.
    If a plan samples several rationales of a question together, they share one request, and each but the first adds
    at most `further` to its cost. A group is not split by `count`: a larger one is claimed if it comes first. With
    `apart`, each slot has a request of its own, in the same order. Each sample also uses up `aside` of the allowance
    without reserving it: the bound of its later turns.
    """

    plan_id: int
    teacher_id: int
    boot_id: int
    count: int
    allowance: int
    reserve: Callable[[str], int]
    further: int = 0
    aside: int = 0
    apart: bool = False


@dataclass(frozen=True, slots=True)
class OpenAttempt:
    """An attempt that is stored and may be sent; `request_id` is sent along, unguessable and unique to the request."""

    id: int
    request_id: str
    reserved_micros: int


@dataclass(frozen=True, kw_only=True, slots=True)
class ClaimedSample:
    """A claimed sample with its question; a new one has its open first attempt."""

    sample_id: int
    attempt: OpenAttempt | None
    plan_id: int
    teacher_id: int
    question_id: int
    question: str
    gold: str
    replicate: int
    attempts: int = 0
    unknowns: int = 0
    written: WrittenSample | None = None
    """What it scores, of a plan that scores."""


@dataclass(frozen=True, slots=True)
class WrittenSample:
    """The text of a stored sample."""

    rationale: str
    answer: str
    finish_reason: str
    flags: tuple[str, ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class Claim:
    """The result of a claim.

    `exhausted`: the plan will never claim more. `waiting`: it claims no more until another verdict arrives.
    """

    samples: tuple[ClaimedSample, ...]
    exhausted: bool
    short_of_money: bool
    waiting: bool = False


@dataclass(frozen=True, kw_only=True, slots=True)
class AttemptRequest:
    """A further attempt (next turn or retry) of an open sample.

    One with a `choice` above 0 shares the request of the one before it.
    """

    sample_id: int
    plan_id: int
    turn: int
    teacher_id: int
    boot_id: int
    reserved_micros: int
    choice: int = 0


def claim(connection: Connection, requests: Sequence[ClaimRequest]) -> list[Claim]:
    """Claims samples: rows, attempts and reservations, in the caller's transaction."""
    return [_claim(connection, request) for request in requests]


def _claim(connection: Connection, request: ClaimRequest) -> Claim:
    money, reserved = request.allowance, 0

    def pay(text: str, number: int) -> int | None:
        nonlocal money, reserved
        cost = request.further if number and not request.apart else request.reserve(text)
        if cost + request.aside > money:
            return None
        money -= cost + request.aside
        reserved += cost
        return cost

    plan = read(connection, request.plan_id)
    chosen = choose_slots(connection, plan, request.count, pay)
    samples = _write(connection, request, plan, chosen.slots, now_ms())
    connection.execute(
        "UPDATE plan SET cursor = ?, skipped = skipped + ?, reserved_micros = reserved_micros + ? WHERE id = ?",
        (chosen.cursor, chosen.skipped, reserved, request.plan_id),
    )
    exhausted = settle(connection, [request.plan_id])[0]
    return Claim(
        samples=samples,
        exhausted=exhausted,
        short_of_money=chosen.short,
        waiting=not (exhausted or samples or chosen.short),
    )


def settle(connection: Connection, plan_ids: Sequence[int]) -> list[bool]:
    """Whether plans are complete: they claim no more, whatever the pending verdicts are."""
    return [_settled(connection, read(connection, plan_id)) for plan_id in plan_ids]


def _settled(connection: Connection, plan: PlanSlots) -> bool:
    over = is_complete(connection, plan)
    if plan.target or plan.want:
        if over:
            connection.execute("UPDATE plan SET wanted = claimed, skipped = 0 WHERE id = ?", (plan.id,))
        elif plan.target:
            connection.execute("UPDATE plan SET wanted = ? WHERE id = ?", (plan.expected, plan.id))
    return over


def _write(
    connection: Connection,
    request: ClaimRequest,
    plan: PlanSlots,
    chosen: Sequence[Slot],
    now: int,
) -> tuple[ClaimedSample, ...]:
    ids = insert(
        connection,
        "INSERT INTO sample (plan_id, task_id, question_id, split, teacher_id, recipe, replicate, state,"
        " attempts, unknowns, flags, prompt_tokens, completion_tokens, cost_micros, created_at)",
        [
            (request.plan_id, plan.task_id, slot.question_id, plan.split, request.teacher_id, plan.recipe)
            + (slot.replicate, SampleState.OPEN.value, 0, 0, "[]", 0, 0, 0, now)
            for slot in chosen
        ],
        "RETURNING id",
    )
    sample_ids = sorted(row[0] for row in ids)
    attempts = _attempts(
        connection,
        [
            AttemptRequest(
                sample_id=sample,
                plan_id=request.plan_id,
                turn=0,
                teacher_id=request.teacher_id,
                boot_id=request.boot_id,
                reserved_micros=slot.reserved_micros,
                choice=0 if request.apart else slot.number,
            )
            for sample, slot in zip(sample_ids, chosen, strict=True)
        ],
        now,
    )
    for replicate, count in Counter(slot.replicate for slot in chosen).items():
        connection.execute(
            "UPDATE plan SET claimed = claimed + ?1, wanted = max(claimed + ?1,"
            " wanted + CASE WHEN want > 0 AND target = 0 AND base <= ?5 THEN ?1 ELSE 0 END)"
            " WHERE task_id = ?2 AND split = ?3 AND recipe = ?4 AND rationales > ?5",
            (count, plan.task_id, plan.split, plan.recipe, replicate),
        )
    refresh_needs(connection, plan.task_id, plan.split, plan.recipe, (slot.question_id for slot in chosen))
    written = _written(connection, plan.scores, [(slot.question_id, slot.replicate) for slot in chosen])
    return tuple(
        ClaimedSample(
            sample_id=sample,
            attempt=attempt,
            plan_id=request.plan_id,
            teacher_id=request.teacher_id,
            question_id=slot.question_id,
            question=slot.text,
            gold=slot.gold,
            replicate=slot.replicate,
            written=written.get((slot.question_id, slot.replicate)),
        )
        for sample, attempt, slot in zip(sample_ids, attempts, chosen, strict=True)
    )


def _written(
    connection: Connection, scores: str, wanted: Sequence[tuple[int, int]]
) -> dict[tuple[int, int], WrittenSample]:
    """The stored samples of a fingerprint for questions and replicates; none for a plan that scores nothing."""
    if not scores or not wanted:
        return {}
    rows = connection.execute(
        "SELECT s.question_id, s.replicate, coalesce(s.rationale, ''), coalesce(s.answer, ''), coalesce(s.finish_reason, 'stop'), s.flags"
        " FROM json_each(?2) w JOIN sample s ON s.question_id = w.value ->> 0 AND s.recipe = ?1 AND s.replicate = w.value ->> 1"
        " WHERE s.state = 'stored'",
        (scores, json.dumps(wanted)),
    )
    return {
        (question, replicate): WrittenSample(rationale, answer, reason, tuple(json.loads(flags)))
        for question, replicate, rationale, answer, reason, flags in rows
    }


def open_attempts(connection: Connection, requests: Sequence[AttemptRequest]) -> list[OpenAttempt]:
    """Writes further attempts before they are sent."""
    ids = _attempts(connection, requests, now_ms())
    by_plan: dict[int, int] = {}
    for request in requests:
        by_plan[request.plan_id] = by_plan.get(request.plan_id, 0) + request.reserved_micros
    for plan, micros in by_plan.items():
        connection.execute(
            "UPDATE plan SET reserved_micros = reserved_micros + ? WHERE id = ?", (micros, plan)
        )
    return ids


def open_groups(
    connection: Connection, groups: Sequence[Sequence[AttemptRequest]]
) -> list[list[OpenAttempt]]:
    """Writes further attempts before they are sent; each group shares one request."""
    opened = iter(open_attempts(connection, [request for group in groups for request in group]))
    return [[next(opened) for _ in group] for group in groups]


def _attempts(connection: Connection, requests: Sequence[AttemptRequest], now: int) -> list[OpenAttempt]:
    if not requests:
        return []
    first = connection.execute("SELECT coalesce(max(id), 0) + 1 FROM attempt").fetchone()[0]
    opened: list[OpenAttempt] = []
    for index, item in enumerate(requests):
        request_id = opened[-1].request_id if item.choice else secrets.token_hex(12)
        opened.append(OpenAttempt(first + index, request_id, item.reserved_micros))
    insert(
        connection,
        "INSERT INTO attempt (id, request_id, reserved_micros, sample_id, turn, teacher_id, boot_id, claimed_at,"
        " choice, leader_id, cost_micros, prompt_tokens, completion_tokens, cached_tokens, reasoning_tokens, estimated)",
        [
            (attempt.id, attempt.request_id, attempt.reserved_micros, item.sample_id, item.turn)
            + (
                item.teacher_id,
                item.boot_id,
                now,
                item.choice,
                attempt.id - item.choice if item.choice else None,
            )
            + (0, 0, 0, 0, 0, 0)
            for attempt, item in zip(opened, requests, strict=True)
        ],
    )
    by_teacher: dict[int, list[int]] = {}
    for item in requests:
        total = by_teacher.setdefault(item.teacher_id, [0, 0])
        total[0] += item.choice == 0
        total[1] += item.reserved_micros
    for teacher, total in by_teacher.items():
        connection.execute(
            "UPDATE teacher SET requests = requests + ?, reserved_micros = reserved_micros + ? WHERE id = ?",
            (*total, teacher),
        )
    return opened


def open_samples(
    connection: Connection, plan_id: int, after: int, limit: int, *, only: Collection[int] | None = None
) -> list[ClaimedSample]:
    """Open samples that an earlier daemon left in a plan, by id; each is continued at its next turn.

    Samples of changed or withdrawn questions are left out, and so are those whose attempt is in a batch that a
    provider has: that batch continues them. With `only`, samples with other ids are left out too.
    """
    rows = connection.execute(
        "SELECT s.id, s.teacher_id, s.question_id, q.text, q.gold, s.replicate, s.attempts, s.unknowns"
        " FROM sample s JOIN question q ON q.id = s.question_id"
        " WHERE s.plan_id = ?1 AND s.state = ?2 AND s.id > ?3 AND q.active = 1 AND NOT EXISTS (SELECT 1 FROM attempt a"
        f" WHERE a.sample_id = s.id AND a.outcome IS NULL AND {IN_A_BATCH})"
        " AND (?4 IS NULL OR s.id IN (SELECT value FROM json_each(?4))) ORDER BY s.id LIMIT ?5",
        (plan_id, SampleState.OPEN.value, after, None if only is None else json.dumps(sorted(only)), limit),
    ).fetchall()
    written = _written(connection, read(connection, plan_id).scores, [(row[2], row[5]) for row in rows])
    return [
        ClaimedSample(
            sample_id=sample,
            attempt=None,
            plan_id=plan_id,
            teacher_id=teacher,
            question_id=question,
            question=text,
            gold=gold,
            replicate=replicate,
            attempts=attempts,
            unknowns=unknowns,
            written=written.get((question, replicate)),
        )
        for sample, teacher, question, text, gold, replicate, attempts, unknowns in rows
    ]


def teachers_that_answered(connection: Connection, plan_id: int, *, looked_at: int = 1000) -> list[int]:
    """The teachers of some of a plan's stored samples."""
    rows = connection.execute(
        "SELECT DISTINCT teacher_id FROM (SELECT teacher_id FROM sample WHERE plan_id = ? AND state = ? LIMIT ?)",
        (plan_id, SampleState.STORED.value, looked_at),
    ).fetchall()
    return [teacher for (teacher,) in rows]


def received_turns(connection: Connection, sample_id: int) -> list[tuple[bytes, int]]:
    """The compressed bodies of a sample's answered turns, in order, each with the index of the sample's choice.

    So a crash between turns costs nothing.
    """
    return connection.execute(
        "SELECT c.raw, a.choice FROM attempt a JOIN completion c ON c.attempt_id = coalesce(a.leader_id, a.id)"
        " WHERE a.sample_id = ? AND a.outcome = ? ORDER BY a.turn",
        (sample_id, Outcome.OK.value),
    ).fetchall()
