"""Makes a batch of queued requests: stores their attempts and the batch (state `new`), and writes its file.

Nothing is sent here. As in `attempt_runner.py`, this is the last step before requests are sent, so attempts that were
claimed ahead for a disabled plan, or that a budget no longer covers, are released.
"""

from __future__ import annotations

import secrets
from functools import partial

import anyio
import anyio.to_thread

from daemon.batches.batch_files import InputFile, spool
from daemon.batches.batch_rows import OutRow
from daemon.batches.outstanding import CHUNK, BatchLink, OutBatch, Shared
from daemon.sampling.jobs import Job
from daemon.sampling.outcomes import InFlightRequest
from daemon.sampling.teacher import Teacher
from state.batches import NewBatch, add_batches
from state.claims import AttemptRequest, OpenAttempt, open_attempts
from state.database import now_ms
from state.enums import Outcome
from state.outcomes import record


async def make_batch(
    teacher: Teacher, link: BatchLink, label: str, shared: Shared
) -> tuple[OutBatch, InputFile] | None:
    """A batch of the head of the teacher's queue, and its file; None if none of it can be paid.

    Args:
        teacher: the teacher; requests that do not fit the file go back to its queue.
        link: how large a batch is, and the form of its lines.
        label: the label of the key that sends the batch.
        shared: the session and where jobs go that are not sent.

    Raises:
        OSError: the file cannot be written; all jobs are in the queue again.
    """
    rows = await _opened(teacher.queue.take(link.size), teacher, shared)
    if not rows:
        return None
    try:
        file = await input_file(link, rows)
    except OSError:
        _unmake(teacher, rows)
        raise
    _unmake(teacher, rows[file.lines :])
    rows = rows[: file.lines]
    mark = secrets.token_hex(12)
    key = await shared.context.writer.do(
        add_batches,
        NewBatch(
            teacher_id=teacher.id,
            boot_id=shared.context.session_id,
            key=label,
            mark=mark,
            bytes=file.size,
            attempts=[row.attempt.id for row in rows],
        ),
    )
    batch = OutBatch(
        id=key,
        mark=mark,
        requests=len(rows),
        created_ms=now_ms(),
        rows={row.attempt.request_id: row for row in rows},
        look_at=0.0,
        wait_s=link.poll_s,
    )
    return batch, file


async def input_file(link: BatchLink, rows: list[OutRow]) -> InputFile:
    """The input file of these rows, or of as many of them as fit.

    Raises:
        OSError: it cannot be written.
    """
    requests = [(row.attempt.request_id, row.job.request) for row in rows]
    return await anyio.to_thread.run_sync(partial(spool, link.client, requests))


async def _opened(jobs: list[Job], teacher: Teacher, shared: Shared) -> list[OutRow]:
    """The jobs with their attempts, which are stored where there are none yet; in the jobs' order."""
    rows: dict[Job, OutRow] = {}

    async def open_one(job: Job) -> None:
        attempt = job.attempt or await _open(job, teacher, shared)
        if attempt is not None:
            job.attempt = None
            rows[job] = OutRow(job, attempt)

    async def give_back(job: Job, attempt: OpenAttempt) -> None:
        await shared.context.writer.do(
            record, InFlightRequest(job, teacher, [attempt]).result(0, Outcome.RELEASED, "not sent")
        )
        if job.plan.state.disabled:
            shared.deliver(job)
        else:
            shared.out_of_money(job)

    for start in range(0, len(jobs), CHUNK):
        async with anyio.create_task_group() as group:
            for job in jobs[start : start + CHUNK]:
                short = shared.context.budget.room(job.plan.id, teacher.id) < 0
                if job.attempt is not None and (job.plan.state.disabled or short):
                    shared.context.budget.settle(job.plan.id, teacher.id, job.attempt.reserved_micros, 0)
                    group.start_soon(give_back, job, job.attempt)
                elif job.plan.state.disabled:
                    shared.deliver(job)
                else:
                    group.start_soon(open_one, job)
    return [rows[job] for job in jobs if job in rows]


async def _open(job: Job, teacher: Teacher, shared: Shared) -> OpenAttempt | None:
    """Stores a further attempt; None if the budget has no room."""
    bound = job.bound(teacher.tokens.price)
    if not shared.context.budget.reserve(job.plan.id, teacher.id, bound):
        shared.out_of_money(job)
        return None
    return await shared.context.writer.do(
        open_attempts,
        AttemptRequest(
            sample_id=job.sample_id,
            plan_id=job.plan.id,
            turn=job.conversation.turn,
            teacher_id=teacher.id,
            boot_id=shared.context.session_id,
            reserved_micros=bound,
        ),
    )


def _unmake(teacher: Teacher, rows: list[OutRow]) -> None:
    """Queues rows that did not fit for the next batch."""
    for row in rows:
        row.job.attempt = row.attempt
    if rows:
        teacher.queue.give_back([row.job for row in rows])
