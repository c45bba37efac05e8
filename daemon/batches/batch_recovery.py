"""Batches that were out when an earlier daemon ended: their rows are put together again from `state.db`.

A row's plan may be gone from the configuration; its answer was paid for all the same, so the plan is read
from its row, retired, and the answer is stored under it.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import closing
from pathlib import Path

from daemon.batches.batch_rows import OutRow
from daemon.batches.batch_teacher import BatchTeacher
from daemon.batches.key_batches import KeyBatches
from daemon.batches.outstanding import OutBatch
from daemon.catalog.sync import add_plan
from daemon.sampling.budget import Ledger
from daemon.sampling.cost_bounds import job_of
from daemon.sampling.plans import ActivePlan
from daemon.sampling.recovery import Aside, replay
from engine.config import PlanConfig
from state.batches import StoredBatch, StoredRow, batches_out, open_rows, plan_of_batch, stranded
from state.claims import ClaimedSample, OpenAttempt, received_turns
from state.database import open_reader
from state.enums import BatchState
from state.sqlite import Connection


async def take_up_batches(
    database: Path,
    teachers: Sequence[BatchTeacher],
    plans: Sequence[ActivePlan],
    ledger: Ledger,
    now: float,
    aside: Aside,
) -> tuple[list[ActivePlan], list[tuple[str, int]]]:
    """Hands each key its batches, to be looked at at once.

    Returns:
        Plans that are no longer configured and have rows out, and former teachers with batches out.
    """
    known = {plan.id: plan for plan in plans}
    former: list[ActivePlan] = []
    for teacher in teachers:
        found = await aside(_read, database, teacher, known)
        for plan, used in found[1]:
            known[plan.id] = plan
            former.append(plan)
            add_plan(ledger, plan, {plan.id: used})
        for batch, label in found[0]:
            key_workers = [workers for workers in teacher.each_key() if workers.key.label == label]
            workers = key_workers[0] if key_workers else teacher.key_workers[0]
            assert isinstance(workers, KeyBatches)
            batch.look_at, batch.wait_s = now, teacher.poll_s
            workers.take_up(batch)
            for row in batch.rows.values():
                row.job.teacher = teacher.name
                row.job.plan.open += 1
    left = await aside(_stranded, database, [teacher.id for teacher in teachers])
    return former, left


def _read(
    database: Path, teacher: BatchTeacher, known: dict[int, ActivePlan]
) -> tuple[list[tuple[OutBatch, str]], list[tuple[ActivePlan, tuple[int, int]]]]:
    """A teacher's batches with the labels of their keys, and plans of theirs that are not `known`."""
    known = dict(known)
    former: list[tuple[ActivePlan, tuple[int, int]]] = []
    batches: list[tuple[OutBatch, str]] = []
    with closing(open_reader(database)) as connection:
        for stored in batches_out(connection, teacher.id):
            rows = {}
            for row in open_rows(connection, stored.id):
                if row.plan_id not in known:
                    plan, used = _former(connection, row.plan_id)
                    known[plan.id] = plan
                    former.append((plan, used))
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
    )


def _row(connection: Connection, row: StoredRow, plan: ActivePlan, teacher: BatchTeacher) -> OutRow:
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


def _former(connection: Connection, plan_id: int) -> tuple[ActivePlan, tuple[int, int]]:
    """A plan as its row remembers it, and what it used."""
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
        exhausted=True,
        retired=True,
        completed=True,
    )
    return plan, (row.used_micros, row.reserved_micros)
