"""Takes up batches that were out when an earlier daemon ended; their rows are rebuilt from `state.db`.

A row's plan may no longer be configured. Its answer was paid for all the same, so the plan is rebuilt
from its row, disabled, and the answer is stored under it.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import closing
from pathlib import Path

from daemon.batches.batch_rows import OutRow
from daemon.batches.batch_transport import BatchTransport
from daemon.batches.outstanding import OutBatch
from daemon.sampling.budget import Budget, add_plan
from daemon.sampling.cost_bounds import job_of
from daemon.sampling.plan_state import PlanState
from daemon.sampling.plans import ActivePlan
from daemon.sampling.recovery import RunBlocking, replay
from daemon.sampling.teacher import Teacher
from engine.config import PlanConfig
from state.batches import StoredBatch, StoredRow, batches_out, open_rows, plan_of_batch, stranded
from state.budget import Spending
from state.claims import ClaimedSample, OpenAttempt, received_turns
from state.database import open_reader
from state.enums import BatchState
from state.sqlite import Connection


async def take_up_batches(
    database: Path,
    teachers: Sequence[tuple[Teacher, BatchTransport]],
    plans: Sequence[ActivePlan],
    budget: Budget,
    now: float,
    run_blocking: RunBlocking,
) -> tuple[list[ActivePlan], list[tuple[str, int]]]:
    """Gives each key its batches, to be polled at once.

    Returns:
        Plans that are no longer configured but have rows out, and teachers no longer asked by batches that have batches out.
    """
    known = {plan.id: plan for plan in plans}
    former: list[ActivePlan] = []
    for teacher, transport in teachers:
        found = await run_blocking(_read, database, teacher, known)
        for plan, spending in found[1]:
            known[plan.id] = plan
            former.append(plan)
            add_plan(budget, plan, {plan.id: spending})
        for batch, label in found[0]:
            named = [key for key in transport.all_keys() if key.key.label == label]
            batch.look_at, batch.wait_s = now, transport.link.poll_s
            (named[0] if named else transport.keys[0]).take_up(batch)
            for row in batch.rows.values():
                row.job.teacher = teacher.name
                row.job.plan.state.claimed(1)
    left = await run_blocking(_stranded, database, [teacher.id for teacher, _ in teachers])
    return former, left


def _read(
    database: Path, teacher: Teacher, known: dict[int, ActivePlan]
) -> tuple[list[tuple[OutBatch, str]], list[tuple[ActivePlan, Spending]]]:
    """A teacher's batches with the labels of their keys, and those of their plans that are not `known`."""
    known = dict(known)
    former: list[tuple[ActivePlan, Spending]] = []
    batches: list[tuple[OutBatch, str]] = []
    with closing(open_reader(database)) as connection:
        for stored in batches_out(connection, teacher.id):
            rows = {}
            for row in open_rows(connection, stored.id):
                if row.plan_id not in known:
                    plan, spending = _former(connection, row.plan_id)
                    known[plan.id] = plan
                    former.append((plan, spending))
                out = _row(connection, row, known[row.plan_id], teacher)
                rows[row.request_id] = out
            batches.append((_batch(stored, rows), stored.key))
    return batches, former


def _stranded(database: Path, served: list[int]) -> list[tuple[str, int]]:
    with closing(open_reader(database)) as connection:
        return stranded(connection, served)


def _batch(stored: StoredBatch, rows: dict[str, OutRow]) -> OutBatch:
    return OutBatch(
        id=stored.id,
        mark=stored.mark,
        requests=stored.requests,
        created_ms=stored.created_at,
        rows=rows,
        look_at=0.0,
        wait_s=0.0,
        state=stored.state,
        provider_id=stored.provider_id or "",
        input_file_id=stored.input_file_id or "",
        unsure=stored.state is BatchState.CREATING,
        status=stored.status,
        done=stored.completed + stored.failed,
        sent_ms=stored.sent_at or 0,
    )


def _row(connection: Connection, row: StoredRow, plan: ActivePlan, teacher: Teacher) -> OutRow:
    sample = ClaimedSample(
        sample_id=row.sample_id,
        attempt=None,
        plan_id=row.plan_id,
        teacher_id=teacher.id,
        question_id=0,
        question=row.question,
        gold=row.gold,
        replicate=row.replicate,
        attempts=row.attempts,
        unknowns=row.unknowns,
    )
    job = job_of(sample, plan)
    replay(job, sample, received_turns(connection, row.sample_id), {teacher.id: teacher.config.dialect})
    return OutRow(job, OpenAttempt(row.attempt_id, row.request_id, row.reserved_micros))


def _former(connection: Connection, plan_id: int) -> tuple[ActivePlan, Spending]:
    """A plan as its row in `state.db` describes it, and its money."""
    row = plan_of_batch(connection, plan_id)
    given = {name: value for name, value in row.settings.items() if name in PlanConfig.model_fields}
    plan = ActivePlan(
        id=plan_id,
        config=PlanConfig.model_validate(given),
        task=row.task,
        task_id=row.task_id,
        answer_format=row.answer_format,
        recipe=row.fingerprint,
        teachers=row.teachers,
        wanted=row.wanted,
        longest=0,
        state=PlanState(exhausted=True, disabled=True, completed=True),
    )
    return plan, row.spending
