"""Grades stored samples again: for `coterie regrade`, and at a start that finds a task with another `answer` format.

A start grades before it syncs the task, so a daemon that dies in between finds the old format and begins anew; a verdict that
is stored already is not written twice. Nothing is asked for again.
"""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import get_args

from daemon.events import TaskRegraded
from engine.config import Config
from engine.grading import (
    GRADER_VERSIONS,
    UNLABELLED,
    GraderName,
    grade,
    grade_unlabelled,
    in_worker,
)
from state.catalog import read_known
from state.checksums import Damaged
from state.database import connect_to_write, open_reader
from state.outcomes import Verdict
from state.regrades import Graded, graded_samples, regrade
from state.sqlite import Connection

ASKING = 4
"""Threads that wait for the worker processes of the formats that have some."""

Changed = tuple[Graded, Verdict]


def judged(
    connection: Connection,
    task: str | None,
    *,
    grader: str | None = None,
    answer_format: str | None = None,
    damaged: list[Damaged] | None = None,
) -> Iterator[list[Changed]]:
    """Pages of samples, each with its new verdict.

    Args:
        connection: an open reading connection.
        task: of this task; None for all.
        grader: the grader; None for the one that graded each sample.
        answer_format: the format; None for the one that is stored with the task.
        damaged: gets the damaged rows, whose samples keep their verdict.
    """
    with ThreadPoolExecutor(ASKING) as threads:
        for stored in graded_samples(connection, task, damaged):
            page = [replace(each, answer_format=answer_format or each.answer_format) for each in stored]
            slow = {each.id: each for each in page if in_worker(each.answer_format)}
            found = dict(
                zip(slow, threads.map(lambda each: _verdict(each, grader), slow.values()), strict=True)
            )
            yield [(each, found[each.id] if each.id in found else _verdict(each, grader)) for each in page]


def written(writer: Connection, pages: Iterator[list[Changed]]) -> Iterator[list[Changed]]:
    """Stores each page in a transaction of its own and passes it on, so an interrupted run continues where it stopped."""
    for page in pages:
        changed = [
            (old.id, new)
            for old, new in page
            if (old.grader, old.correct, old.extracted, old.reason)
            != (new.grader, new.correct, new.extracted, new.reason)
        ]
        if changed:
            regrade(writer, changed)
        yield page


def changed_formats(database: Path, config: Config) -> dict[str, str]:
    """The stored answer format of each task that has another one in the configuration."""
    with closing(open_reader(database)) as connection:
        known = read_known(connection)
    return {
        name: known[name].answer_format
        for name, task in config.tasks.items()
        if name in known and known[name].answer_format != task.answer
    }


def regrade_changed_formats(config: Config) -> list[TaskRegraded]:
    """Grades the samples of tasks whose answer format changed since they were stored; what became of each task."""
    told = []
    for name, before in changed_formats(config.database, config).items():
        now = config.tasks[name].answer
        samples = changed = 0
        with (
            closing(open_reader(config.database)) as connection,
            closing(connect_to_write(config.database)) as writer,
        ):
            for page in written(writer, judged(connection, name, answer_format=now)):
                samples += len(page)
                changed += sum(old.correct != new.correct for old, new in page)
        if samples:
            told.append(TaskRegraded(task=name, before=before, now=now, samples=samples, changed=changed))
    return told


def _verdict(sample: Graded, grader: str | None) -> Verdict:
    if sample.grader == UNLABELLED:
        read = grade_unlabelled(sample.answer, sample.answer_format, question=sample.question)
        return Verdict(
            grader=UNLABELLED,
            correct=read.correct,
            extracted=read.extracted,
            reason=read.reason,
            flags=read.flags,
        )
    own = sample.grader.partition(":")[0]
    name = grader or (own if own in get_args(GraderName) else "careful")
    found = grade(sample.answer, sample.gold, sample.answer_format, question=sample.question, grader=name)
    return Verdict(
        grader=GRADER_VERSIONS[name],
        correct=found.correct,
        extracted=found.extracted,
        reason=found.reason,
        flags=found.flags,
    )
