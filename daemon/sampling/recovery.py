"""Resumes the work of earlier daemons: open samples, and stored samples without a verdict."""

from __future__ import annotations

import zlib
from collections.abc import Awaitable, Callable, Collection, Iterable, Mapping, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

import anyio
import anyio.to_thread

from daemon.sampling.cost_bounds import job_of
from daemon.sampling.jobs import Job, groups_of
from daemon.sampling.outcomes import judge
from daemon.sampling.panels import Said
from daemon.sampling.panels import replay as replay_panel
from daemon.sampling.plans import ActivePlan
from daemon.sampling.scheduler import Scheduler
from daemon.sampling.teacher import Teacher
from engine.teachers.decode import decode_json
from engine.teachers.dialects import read_stored
from engine.teachers.failures import MalformedAnswer
from state.claims import ClaimedSample, open_samples, received_turns, teachers_that_answered
from state.database import open_reader
from state.outcomes import UngradedSample, grade_stored, ungraded_samples
from state.panels import PanelSample, Slot, by_slot, panel_samples
from state.sqlite import Connection
from state.writer import Writer

PAGE = 1000

RunBlocking = Callable[..., Awaitable[Any]]
"""Runs a function that blocks, with its arguments, outside the event loop."""


def open_jobs(
    database: Path, plan: ActivePlan, dialects: Mapping[int, str], only: Collection[int] | None = None
) -> tuple[list[tuple[Job, int, list[Said]]], int]:
    """Open samples of a plan as jobs, with their teacher's id; answered turns are replayed, not paid for again.

    `dialects` gives the dialect of each configured teacher by its id; samples with ids that are not in `only` are left
    out.

    Returns:
        The jobs, each with what its panel said, and how many samples stay open because no dialect can read their answers.
    """
    jobs: list[tuple[Job, int, list[Said]]] = []
    unreadable = 0
    with closing(open_reader(database)) as connection:
        after = 0
        while page := open_samples(connection, plan.id, after, PAGE, only=only):
            after = page[-1].sample_id
            panels = _panels_of(connection, plan, page)
            for sample in page:
                job, said = job_of(sample, plan), list[Said]()
                try:
                    if plan.panel:
                        said = replay_panel(job, panels[sample.question_id, sample.replicate])
                    else:
                        replay(job, sample, received_turns(connection, sample.sample_id), dialects)
                except MalformedAnswer:
                    unreadable += 1
                else:
                    jobs.append((job, sample.teacher_id, said))
    return jobs, unreadable


def _panels_of(
    connection: Connection, plan: ActivePlan, page: Sequence[ClaimedSample]
) -> dict[Slot, list[PanelSample]]:
    if not plan.panel:
        return {}
    return by_slot(panel_samples(connection, plan.id, {(each.question_id, each.replicate) for each in page}))


async def take_up(
    database: Path,
    scheduler: Scheduler,
    plans: Iterable[ActivePlan],
    run_blocking: RunBlocking = anyio.to_thread.run_sync,
    *,
    only: Mapping[int, Collection[int]] | None = None,
) -> list[str]:
    """Queues the open samples of earlier daemons; with `only`, those of each plan that it names.

    Returns:
        Notes for the user about samples that stay open because their answers cannot be read.
    """
    notes: list[str] = []
    dialects: dict[int, str] = {teacher.id: teacher.config.dialect for teacher in scheduler.teachers}
    names = {teacher.id: teacher.name for teacher in scheduler.teachers}
    for plan in plans:
        if only is None:
            await run_blocking(_note_answers, database, plan, scheduler.teachers)
        jobs, unreadable = await run_blocking(
            open_jobs, database, plan, dialects, None if only is None else only.get(plan.id, ())
        )
        if unreadable:
            notes.append(
                f"plan {plan.config.name}, task {plan.task}: {unreadable:,} started samples stay open: this version cannot"
                " read the answers they received, and does not pay for them again"
            )
        plan.state.claimed(len(jobs))
        for job, teacher_id, _ in jobs:
            name = names.get(teacher_id, "")
            # A started sample stays with its teacher; a fresh one of a fallback returns to the plan's teachers.
            stays = plan.all_teachers if job.conversation.turn else plan.teachers
            job.teacher = name if name in stays else plan.teachers[0]
        for job, _, said in jobs:
            if plan.panel:
                scheduler.panels.known(job, said)
        for job in groups_of(job for job, _, _ in jobs):
            scheduler.deliver(job)
    return notes


def _note_answers(database: Path, plan: ActivePlan, teachers: Sequence[Teacher]) -> None:
    """Tells the teachers which of them answered a plan before."""
    with closing(open_reader(database)) as connection:
        before = set(teachers_that_answered(connection, plan.id))
    for teacher in teachers:
        if teacher.id in before:
            teacher.first_answers(plan).answered = True


def replay(
    job: Job, sample: ClaimedSample, turns: list[tuple[bytes, int]], dialects: Mapping[int, str]
) -> None:
    """Replays received turns in a job's conversation; rows of a batch are read in any dialect.

    Raises:
        MalformedAnswer: no dialect can read one of them.
    """
    for raw, choice in turns:
        try:
            body, known = decode_json(zlib.decompress(raw)), dialects.get(sample.teacher_id, "")
        except zlib.error as error:
            raise MalformedAnswer(f"the stored body is damaged: {error}") from None
        job.conversation.answer(read_stored(body, choice, job.request, known))


async def grade_missing(database: Path, writer: Writer, plans: list[ActivePlan]) -> int:
    """Grades stored samples without a verdict; returns how many there were."""
    graded = 0
    for plan in plans:
        after = 0
        while page := _ungraded(database, plan, after):
            after = page[-1].id
            async with anyio.create_task_group() as group:  # one commit for many
                for sample in page:
                    verdict = await judge(
                        *(sample.answer, sample.gold, plan.answer_format, sample.question),
                        labelled=plan.labelled,
                    )
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
