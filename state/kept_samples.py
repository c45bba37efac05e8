"""Samples that go on counting when a plan's teachers change: they move to the plan's new fingerprint.

A plan's fingerprint covers the models of its teachers, so a plan that leaves a teacher out is another plan. The
samples of teachers that stay are answers to the same requests, so they are its samples too. Their slots are free in
the new plan unless it has claimed them already; then they stay where they are.
"""

from __future__ import annotations

import json
from collections.abc import Collection
from dataclasses import dataclass

from state.batches import IN_A_BATCH
from state.sqlite import Connection


@dataclass(frozen=True, kw_only=True, slots=True)
class FormerPlan:
    """An inactive plan with samples, whose fingerprint no active plan has."""

    id: int
    fingerprint: str
    teachers: list[str]


def former_plans(connection: Connection, name: str, task_id: int, split: str) -> list[FormerPlan]:
    """The former plans of this name on a task, newest first."""
    rows = connection.execute(
        "SELECT p.id, p.recipe, p.teachers FROM plan p WHERE p.name = ? AND p.task_id = ? AND p.split = ?"
        " AND p.active = 0 AND p.claimed > 0 AND NOT EXISTS (SELECT 1 FROM plan o WHERE o.task_id = p.task_id"
        " AND o.split = p.split AND o.recipe = p.recipe AND o.active = 1) ORDER BY p.id DESC",
        (name, task_id, split),
    ).fetchall()
    return [FormerPlan(id=key, fingerprint=found, teachers=json.loads(named)) for key, found, named in rows]


def former_plan(connection: Connection, plan_id: int) -> tuple[FormerPlan, int, str]:
    """A plan as one that another is to take the place of, with its task and split."""
    key, found, named, task_id, split = connection.execute(
        "SELECT id, recipe, teachers, task_id, split FROM plan WHERE id = ?", (plan_id,)
    ).fetchone()
    return FormerPlan(id=key, fingerprint=found, teachers=json.loads(named)), task_id, split


def session_configs(connection: Connection) -> list[str]:
    """The resolved configurations of all daemon sessions as JSON, newest first, each once."""
    rows = connection.execute("SELECT config FROM boot GROUP BY config ORDER BY max(id) DESC").fetchall()
    return [row[0] for row in rows]


def samples_by_teacher(connection: Connection, task_id: int, split: str, fingerprint: str) -> dict[str, int]:
    """How many samples of a fingerprint each teacher has."""
    rows = connection.execute(
        "SELECT t.name, count(*) FROM sample s JOIN teacher t ON t.id = s.teacher_id"
        " WHERE s.task_id = ? AND s.split = ? AND s.recipe = ? GROUP BY t.name ORDER BY t.name",
        (task_id, split, fingerprint),
    ).fetchall()
    return dict(rows)


def move_samples(connection: Connection, former: FormerPlan, plan_id: int, teachers: Collection[str]) -> int:
    """Moves the samples of some teachers from a former plan's fingerprint to a plan's; returns how many.

    An open sample counts as the one's who was asked last. Hand the former plans' samples over and recount all plans
    of both fingerprints afterwards.
    """
    return connection.execute(
        "UPDATE sample SET recipe = p.recipe FROM plan p JOIN plan f ON f.id = ?2"
        " WHERE p.id = ?1 AND sample.task_id = f.task_id AND sample.split = f.split AND sample.recipe = f.recipe"
        " AND coalesce(CASE WHEN sample.state = 'open' THEN (SELECT a.teacher_id FROM attempt a"
        "   WHERE a.sample_id = sample.id AND a.outcome IS NULL ORDER BY a.id DESC LIMIT 1) END, sample.teacher_id)"
        "  IN (SELECT t.id FROM teacher t WHERE t.name IN (SELECT value FROM json_each(?3)))"
        " AND NOT EXISTS (SELECT 1 FROM sample o WHERE o.question_id = sample.question_id AND o.recipe = p.recipe"
        "   AND o.replicate = sample.replicate)",
        (plan_id, former.id, json.dumps(sorted(teachers))),
    ).rowcount


def hand_over(connection: Connection, former_id: int, plan_id: int, *, but: Collection[int] = ()) -> None:
    """Makes the samples that a former plan claimed, and that have this plan's fingerprint, this plan's own.

    What they cost moves with them. An open one stays while somebody else will end it: in a batch at a provider, whose
    reservation belongs to the former plan, or in the memory of a running daemon (`but`: the ids of its plans).
    """
    adopt(
        connection,
        plan_id,
        "sample.plan_id = ?3 AND (sample.state <> 'open' OR (?3 NOT IN (SELECT value FROM json_each(?2))"
        f" AND {NOT_IN_A_BATCH}))",
        json.dumps(sorted(but)),
        former_id,
    )


NOT_IN_A_BATCH = (
    "NOT EXISTS (SELECT 1 FROM attempt a WHERE a.sample_id = sample.id AND a.outcome IS NULL"
    f" AND {IN_A_BATCH})"
)
"""Whether no provider has a batch with an attempt of a row of `sample`."""


def adopt(connection: Connection, plan_id: int, where: str, *values: object) -> int:
    """Makes samples of this plan's fingerprint its own, with what they cost so far; returns how many.

    Args:
        connection: a writing connection, in a transaction.
        plan_id: ?1 in `where`.
        where: which samples, of those that have the plan's fingerprint and belong to another plan.
        values: ?2 and further parameters of `where`.
    """
    mine = (
        "sample.recipe = (SELECT recipe FROM plan WHERE id = ?1) AND sample.plan_id <> ?1"
        f" AND sample.replicate < (SELECT rationales FROM plan WHERE id = ?1) AND {where}"
    )
    given = (plan_id, *values)
    costs = connection.execute(
        "SELECT plan_id, sum(cost_micros), sum((SELECT coalesce(sum(a.unknown_micros), 0) FROM attempt a"
        f" WHERE a.sample_id = sample.id)) FROM sample WHERE {mine} GROUP BY plan_id",
        given,
    ).fetchall()
    moved = connection.execute(f"UPDATE sample SET plan_id = ?1 WHERE {mine}", given).rowcount
    for source, cost, unknown in costs:
        for plan, sign in ((source, -1), (plan_id, 1)):
            connection.execute(
                "UPDATE plan SET spent_micros = spent_micros + ?, unknown_micros = unknown_micros + ? WHERE id = ?",
                (sign * cost, sign * unknown, plan),
            )
    return moved
