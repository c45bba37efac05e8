"""Work an earlier daemon left: samples between two turns, and samples without a verdict."""

from __future__ import annotations

import zlib
from collections.abc import Awaitable, Callable, Iterable, Mapping
from contextlib import closing
from pathlib import Path
from typing import Any

import anyio
import anyio.to_thread

from daemon.sampling.cost_bounds import job_of
from daemon.sampling.jobs import Job, groups_of
from daemon.sampling.outcomes import judge
from daemon.sampling.plans import ActivePlan
from daemon.sampling.scheduler import Scheduler
from engine.teachers.decode import decode_json
from engine.teachers.dialects import DIALECTS, dialect
from engine.teachers.dialects.openai_batch import body_of
from engine.teachers.failures import MalformedAnswer
from engine.teachers.messages import Completion, Request
from state.claims import ClaimedSample, open_samples, received_turns
from state.database import open_reader
from state.outcomes import UngradedSample, grade_stored, ungraded_samples
from state.writer import Writer

PAGE = 1000

Aside = Callable[..., Awaitable[Any]]
"""Runs a function that blocks, with its arguments, where it holds nobody up."""


def open_jobs(
    database: Path, plan: ActivePlan, dialects: Mapping[int, str]
) -> tuple[list[tuple[Job, int]], int]:
    """Open samples of a plan as jobs, with their teacher's id; answered turns are replayed, not paid again.

    `dialects` gives each teacher's dialect by id, of those that are configured.

    Returns:
        The jobs, and how many samples are left as they are because no dialect reads what they have.
    """
    jobs: list[tuple[Job, int]] = []
    unreadable = 0
    with closing(open_reader(database)) as connection:
        after = 0
        while page := open_samples(connection, plan.id, after, PAGE):
            after = page[-1].sample_id
            for sample in page:
                job = job_of(sample, plan)
                turns = received_turns(connection, sample.sample_id)
                try:
                    replay(job, sample, turns, dialects)
                except MalformedAnswer:
                    unreadable += 1
                else:
                    jobs.append((job, sample.teacher_id))
    return jobs, unreadable


async def take_up(
    database: Path, scheduler: Scheduler, plans: Iterable[ActivePlan], aside: Aside = anyio.to_thread.run_sync
) -> list[str]:
    """Open samples of an earlier daemon come first; `aside` runs the reads.

    Returns:
        What a person must know: of which plan how many wait, because what was received cannot be read.
    """
    notes: list[str] = []
    dialects: dict[int, str] = {teacher.id: teacher.config.dialect for teacher in scheduler.teachers}
    names = {teacher.id: teacher.name for teacher in scheduler.teachers}
    for plan in plans:
        jobs, unreadable = await aside(open_jobs, database, plan, dialects)
        if unreadable:
            notes.append(
                f"plan {plan.config.name}, task {plan.task}: {unreadable} begun samples are left as they are, since what"
                " they received is read by no dialect of this version; nothing is asked again for them"
            )
        plan.open += len(jobs)
        for job, teacher_id in jobs:
            name = names.get(teacher_id, "")
            # A begun sample stays with who began it; a fresh one of a fallback is its teachers' again.
            stays = plan.everyone if job.conversation.turn else plan.teachers
            job.teacher = name if name in stays else plan.teachers[0]
        for job in groups_of(job for job, _ in jobs):
            scheduler.deliver(job)
    return notes


def replay(
    job: Job, sample: ClaimedSample, turns: list[tuple[bytes, int]], dialects: Mapping[int, str]
) -> None:
    """Answers the job's conversation with the turns that were received; a batch's rows are read in any dialect.

    Raises:
        MalformedAnswer: no dialect reads one of them.
    """
    for raw, choice in turns:
        body = body_of(decode_json(zlib.decompress(raw)))
        job.conversation.answer(_read(body, choice, job.request, dialects.get(sample.teacher_id, "")))


def _read(body: object, choice: int, request: Request, known: str) -> Completion:
    """One choice of a stored body.

    Who sent it may go by another name by now, or speak another dialect under the old one: then the body tells
    which it was in, since each refuses those of the others.
    """
    names = [known, *(name for name in DIALECTS if name != known)] if known else list(DIALECTS)
    for name in names:
        try:
            return dialect(name).parse(body, request)[choice]
        except (MalformedAnswer, IndexError):
            continue
    raise MalformedAnswer("a stored answer is read by no dialect")


async def grade_missing(database: Path, writer: Writer, plans: list[ActivePlan]) -> int:
    """Grades stored samples that have no verdict (or none any more); returns how many there were."""
    graded = 0
    for plan in plans:
        after = 0
        while page := _ungraded(database, plan, after):
            after = page[-1].id
            async with anyio.create_task_group() as group:  # one commit for many
                for sample in page:
                    verdict = await judge(sample.answer, sample.gold, plan.answer_format, sample.question)
                    group.start_soon(writer.do, grade_stored, (sample.id, verdict))
            graded += len(page)
    return graded


def _ungraded(database: Path, plan: ActivePlan, after: int) -> list[UngradedSample]:
    with closing(open_reader(database)) as connection:
        return ungraded_samples(
            connection,
            task_id=plan.task_id,
            split=plan.config.split,
            fingerprint=plan.recipe,
            after=after,
            limit=PAGE,
        )
