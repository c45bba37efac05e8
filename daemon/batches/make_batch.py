"""Makes a batch of the requests that wait: their attempts and the batch on disk, and its file.

Nothing is sent here. What is written down when this ends is a batch in the state `new`. As in `attempt_runner.py`, this is
the last place before requests are sent: what was claimed ahead for a plan that is gone, or what a cap that was
passed or lowered no longer covers, is given back.
"""

from __future__ import annotations

import secrets
from functools import partial

import anyio
import anyio.to_thread

from daemon.batches.batch_files import InputFile, spool
from daemon.batches.batch_rows import OutRow
from daemon.batches.batch_teacher import BatchTeacher
from daemon.batches.outstanding import CHUNK, OutBatch, Shared
from daemon.sampling.in_flight import InFlightRequest
from daemon.sampling.jobs import Job
from state.batches import NewBatch, add_batches
from state.claims import AttemptRequest, OpenAttempt, open_attempts
from state.database import now_ms
from state.enums import Outcome
from state.outcomes import record


async def make_batch(teacher: BatchTeacher, label: str, shared: Shared) -> tuple[OutBatch, InputFile] | None:
    """A batch of the head of the teacher's queue, and its file; None where nothing of it can be paid.

    Args:
        teacher: the teacher; what finds no room in the file goes back to its queue.
        label: of the key that the batch is sent with.
        shared: writer, ledger and the rest.

    Raises:
        OSError: the file cannot be written; everything is in the queue again.
    """
    rows = await _opened(teacher.take(teacher.size), teacher, shared)
    if not rows:
        return None
    try:
        file = await input_file(teacher, rows)
    except OSError:
        _unmake(teacher, rows)
        raise
    _unmake(teacher, rows[file.lines :])
    rows = rows[: file.lines]
    mark = secrets.token_hex(12)
    key = await shared.writer.do(
        add_batches,
        NewBatch(
            teacher_id=teacher.id,
            boot_id=shared.boot_id,
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
        wait_s=teacher.poll_s,
    )
    return batch, file


async def input_file(teacher: BatchTeacher, rows: list[OutRow]) -> InputFile:
    """The input file of these rows, or of as many of them as it holds.

    Raises:
        OSError: it cannot be written.
    """
    requests = [(row.attempt.request_id, row.job.request) for row in rows]
    return await anyio.to_thread.run_sync(partial(spool, teacher.batch_client, requests))


async def _opened(jobs: list[Job], teacher: BatchTeacher, shared: Shared) -> list[OutRow]:
    """The jobs with their attempts, those that have none yet opened; in the jobs' order."""
    rows: dict[Job, OutRow] = {}

    async def open_one(job: Job) -> None:
        attempt = job.attempt or await _open(job, teacher, shared)
        if attempt is not None:
            job.attempt = None
            rows[job] = OutRow(job, attempt)

    async def give_back(job: Job, attempt: OpenAttempt) -> None:
        await shared.writer.do(
            record, InFlightRequest(job, teacher, [attempt]).ending(0, Outcome.RELEASED, "not sent")
        )
        if job.plan.retired:
            shared.deliver(job)
        else:
            shared.out_of_money(job)

    for start in range(0, len(jobs), CHUNK):
        async with anyio.create_task_group() as group:
            for job in jobs[start : start + CHUNK]:
                short = shared.ledger.room(job.plan.id, teacher.id) < 0
                if job.attempt is not None and (job.plan.retired or short):
                    shared.ledger.settle(job.plan.id, teacher.id, job.attempt.reserved_micros, 0)
                    group.start_soon(give_back, job, job.attempt)
                elif job.plan.retired:
                    shared.deliver(job)
                else:
                    group.start_soon(open_one, job)
    return [rows[job] for job in jobs if job in rows]


async def _open(job: Job, teacher: BatchTeacher, shared: Shared) -> OpenAttempt | None:
    """A further attempt on disk; None where the money does not reach."""
    bound = job.bound(teacher.price)
    if not shared.ledger.reserve(job.plan.id, teacher.id, bound):
        shared.out_of_money(job)
        return None
    return await shared.writer.do(
        open_attempts,
        AttemptRequest(
            sample_id=job.sample_id,
            plan_id=job.plan.id,
            turn=job.conversation.turn,
            teacher_id=teacher.id,
            boot_id=shared.boot_id,
            reserved_micros=bound,
        ),
    )


def _unmake(teacher: BatchTeacher, rows: list[OutRow]) -> None:
    """Rows that found no room wait for the next batch."""
    for row in rows:
        row.job.attempt = row.attempt
    if rows:
        teacher.give_back([row.job for row in rows])
