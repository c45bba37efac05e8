"""Reads the tasks and keys, updates `state.db` to match the configuration, and builds plans and budgets.

Every error in the user's input is found here, before anything is sent.
"""

from __future__ import annotations

import contextlib
import os
import socket
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field, replace
from importlib.metadata import version

from sqlmodel import Session

from daemon.catalog.changed_teachers import EarlierTeachers
from daemon.catalog.prompt_templates import Wordings, check_students, read_wordings
from daemon.catalog.regrading import regrade_changed_formats
from daemon.catalog.sync_plans import sync_plans
from daemon.events import Event, TaskRead
from daemon.host.builtin_teacher import read_recording
from daemon.host.processes import start_time
from daemon.sampling.budget import Budget, add_plan, micros
from daemon.sampling.plans import ActivePlan
from engine.config import Config, TaskConfig, resolved
from engine.config.named import expand, teachers_of
from engine.config.secret_places import shown_url
from engine.curation import overlaps as overlaps_of
from engine.errors import ConfigError
from engine.strategies import STRATEGIES
from engine.tasks import TaskSummary, load_task, source_stamp
from engine.teachers.dialects import DIALECTS, dialect
from engine.teachers.endpoint import Endpoint, endpoint
from engine.teachers.keys import TeacherKey, environment, load_keys
from state import sqlite
from state.budget import Spending, budget_in_force, spending_by_plan, total_spending
from state.catalog import (
    KnownTask,
    QuestionRow,
    deactivate_all,
    read_known,
    sync_task,
    sync_teacher,
    task_digests,
)
from state.daemon_sessions import StartedSession, replace_config, start_session
from state.database import open_reader
from state.errors import StateError
from state.orm import driver_connection, orm_session
from state.tables import Teacher as TeacherRow


@dataclass(frozen=True, kw_only=True, slots=True)
class Input:
    """The user's input, read and checked."""

    tasks: dict[str, TaskSummary]
    keys: dict[str, tuple[TeacherKey, ...]]
    endpoints: dict[str, Endpoint] = field(default_factory=dict)
    wordings: Wordings = field(default_factory=dict)

    def stored(self) -> Input:
        """The same input, once `state.db` has the questions."""
        return replace(self, tasks={name: task.stored() for name, task in self.tasks.items()})


@dataclass(frozen=True, kw_only=True, slots=True)
class Catalog:
    """The configuration's rows in `state.db`, after the sync."""

    session: StartedSession
    teachers: dict[str, TeacherRow]
    plans: list[ActivePlan]
    task_ids: dict[str, int]
    news: list[Event]
    """Events to emit: notes on newly read tasks, plans that start over or go on with other teachers."""
    continued: dict[int, str] = field(default_factory=dict)
    """Former plans, by id, some of whose samples a plan with other teachers keeps: that plan's fingerprint."""


def read_input(config: Config, known: Mapping[str, KnownTask] | None = None) -> Input:
    """Reads every task and key; a task whose source has not changed since `state.db` stored it is not read again.

    Args:
        config: the configuration.
        known: the tasks that `state.db` has, by name.

    Raises:
        UsageError: something is wrong with them.
    """
    for name, teacher in config.teachers.items():
        with _named(f"teachers.{name}.dialect"):
            dialect(teacher.dialect)
        if teacher.recordings:
            read_recording(name, teacher, config.folder)
    for plan in config.plans:
        if not teachers_of(plan, config.teachers):
            besides = " besides its fallbacks" if plan.fallback_teachers else ""
            raise ConfigError(
                f"plans.{plan.name}: no teacher is configured{besides}; add a [teachers.NAME] table"
            )
        if not expand(plan.tasks, list(config.tasks)):
            raise ConfigError(f"plans.{plan.name}: no task is configured; add a [tasks.NAME] table")
    environ = environment(config.daemon.env_file, config.folder)
    keys = {
        name: () if teacher.local else load_keys(name, teacher, folder=config.folder, environ=environ)
        for name, teacher in config.teachers.items()
    }
    endpoints = {name: endpoint(name, teacher, environ) for name, teacher in config.teachers.items()}
    whole = _asked_whole(config)
    tasks = {
        name: _read(name, task, config, (known or {}).get(name) if name not in whole else None)
        for name, task in config.tasks.items()
    }
    check_students(config, tasks)
    return Input(tasks=tasks, keys=keys, endpoints=endpoints, wordings=read_wordings(config, tasks))


def _asked_whole(config: Config) -> set[str]:
    """Tasks whose questions a plan needs in full: as examples in prompts, or gold answers as hints."""
    names = list(config.tasks)
    return {
        task
        for plan in config.plans
        if STRATEGIES[plan.strategy].needs_exemplars or STRATEGIES[plan.strategy].hinted
        for task in expand(plan.tasks, names)
    } | {
        task
        for student in config.students
        if student.strategy is not None and STRATEGIES[student.strategy].needs_exemplars
        for task in expand(student.tasks, names)
    }


def _read(name: str, task: TaskConfig, config: Config, known: KnownTask | None) -> TaskSummary:
    seen = source_stamp(task, config.folder)
    if known is not None and seen and seen == known.stamp:
        return TaskSummary(
            digest=known.digest,
            sizes=known.sizes,
            longest=known.longest,
            stamp=seen,
            unreadable=known.unreadable,
        )
    loaded = load_task(name, task, config.folder)
    unchanged = seen == source_stamp(task, config.folder)  # while it was read
    return TaskSummary.of(loaded, seen if unchanged else "")


def known_tasks(config: Config) -> dict[str, KnownTask]:
    """The tasks in `state.db`, by name; empty if there is no database yet, or one of another version."""
    try:
        with contextlib.closing(open_reader(config.database)) as connection:
            return read_known(connection)
    except (StateError, sqlite.DatabaseError):
        return {}


@contextlib.contextmanager
def _named(where: str) -> Iterator[None]:
    try:
        yield
    except ConfigError as error:
        raise ConfigError(f"{where}: {error.message}") from None


def synchronise(config: Config, given: Input) -> Catalog:
    """Records this session and updates tasks, teachers and plans, in one transaction each."""
    pid = os.getpid()
    session = start_session(
        config.database,
        pid=pid,
        pid_started=start_time(pid) or 0.0,
        host=socket.gethostname(),
        version=version("coterie"),
        config=resolved(config),
        batch_dialects=[each.name for each in DIALECTS.values() if each.transport == "batches"],
    )
    overlap = overlaps_of_new(config, given)
    regraded = regrade_changed_formats(config)
    with orm_session(config.database) as opened:
        earlier = EarlierTeachers.stored(driver_connection(opened))
        catalog = _sync(
            opened, config, given, session, overlap, earlier, recount_all=not session.previous_ended
        )
    catalog.news[:0] = regraded
    return catalog


def overlaps(given: Input, names: Collection[str]) -> dict[str, list[str]]:
    """Questions of some tasks that occur, nearly or wholly, in two splits: sentences by task."""
    read = {name: task.questions for name, task in given.tasks.items() if task.questions is not None}
    return overlaps_of(read, names)


def overlaps_of_new(config: Config, given: Input) -> dict[str, list[str]]:
    """The same for tasks that are new or changed; it takes a second for 20,000 questions."""
    with contextlib.closing(open_reader(config.database)) as connection:
        before = task_digests(connection)
    return overlaps(given, {name for name, task in given.tasks.items() if before.get(name) != task.digest})


def resynchronise(
    config: Config,
    given: Input,
    session: StartedSession,
    *,
    in_hand: Collection[int],
    mended: Collection[str],
) -> Catalog:
    """Updates `state.db` to match a reloaded configuration, in one transaction.

    Args:
        config: the configuration in force from now on.
        given: its tasks and keys.
        session: this session.
        in_hand: ids of the plans whose open samples this daemon has in memory.
        mended: teachers with another key or address, which are unparked.
    """
    overlap = overlaps_of_new(config, given)
    regraded = regrade_changed_formats(config)  # of tasks that this daemon has not worked on
    with orm_session(config.database) as opened:
        earlier = EarlierTeachers.stored(driver_connection(opened))  # with those of the present configuration
        replace_config(driver_connection(opened), session.id, resolved(config))
        catalog = _sync(opened, config, given, session, overlap, earlier, in_hand=in_hand, mended=mended)
    catalog.news[:0] = regraded
    return catalog


def _sync(
    opened: Session,
    config: Config,
    given: Input,
    session: StartedSession,
    overlap: Mapping[str, list[str]],
    earlier: EarlierTeachers,
    *,
    recount_all: bool = False,
    in_hand: Collection[int] = (),
    mended: Collection[str] | None = None,
) -> Catalog:
    deactivate_all(opened)
    task_ids, paused, other, news = _sync_tasks(opened, config, given, overlap)
    teachers = {
        name: sync_teacher(
            opened,
            name=name,
            dialect=teacher.dialect,
            model=teacher.model,
            base_url=", ".join(map(shown_url, teacher.addresses)),
            lift=mended is None or name in mended,
        )
        for name, teacher in config.teachers.items()
    }
    recount = set(config.tasks) if recount_all else other
    plans, told, continued = sync_plans(
        opened,
        config,
        given.tasks,
        given.wordings,
        task_ids,
        recount=recount,
        in_hand=in_hand,
        earlier=earlier,
    )
    for plan in plans:
        plan.state.pause(plan.task in paused)
    return Catalog(
        session=session,
        teachers=teachers,
        plans=plans,
        task_ids=task_ids,
        news=[*news, *told],
        continued=continued,
    )


def _sync_tasks(
    opened: Session, config: Config, given: Input, overlap: Mapping[str, list[str]]
) -> tuple[dict[str, int], set[str], set[str], list[TaskRead]]:
    """Ids of the tasks, which of them are paused, which have changed questions, and events to emit."""
    ids: dict[str, int] = {}
    news: list[TaskRead] = []
    paused: set[str] = set()
    changed: set[str] = set()
    for name, loaded in given.tasks.items():
        row, other = sync_task(
            opened,
            name=name,
            source=config.tasks[name].source,
            answer_format=config.tasks[name].answer,
            labelled=config.tasks[name].labelled,
            digest=loaded.digest,
            stamp=loaded.stamp,
            sizes=loaded.sizes,
            longest=loaded.longest,
            questions=None
            if loaded.questions is None
            else [
                QuestionRow(
                    key=question.key,
                    split=question.split,
                    text=question.text,
                    text_hash=question.text_hash,
                    gold=question.answer,
                    rationale=question.rationale,
                    unreadable=question.unreadable,
                )
                for question in (*loaded.questions, *loaded.unreadable_questions)
            ],
            unreadable=loaded.unreadable,
        )
        assert row.id is not None
        ids[name] = row.id
        if row.paused:
            paused.add(name)
        if other:
            changed.add(name)
            split = (loaded.split_line,) if loaded.set_aside else ()
            notes = (*split, *loaded.notes, *overlap.get(name, ()))
            news += [TaskRead(task=name, note=note) for note in notes]
    return ids, paused, changed, news


def make_budget(config: Config, catalog: Catalog) -> Budget:
    """The budgets with the stored spent and reserved amounts."""
    with contextlib.closing(open_reader(config.database)) as connection:
        total = total_spending(connection)  # teachers that are no longer configured count too
    budget = Budget(micros(budget_of(config)), total)
    for name, teacher in catalog.teachers.items():
        assert teacher.id is not None
        budget.add_teacher(
            teacher.id,
            micros(config.teachers[name].budget_usd),
            spending_of(teacher),
            name=name,
        )
    before = spending_of_plans(config)
    for plan in catalog.plans:
        add_plan(budget, plan, before)
    return budget


def budget_of(config: Config) -> float | None:
    """The budget in force, in dollars: the configured one, or the one set by `coterie budget`."""
    with contextlib.closing(open_reader(config.database)) as connection:
        return budget_in_force(connection, config.daemon.budget_usd)


def spending_of(teacher: TeacherRow) -> Spending:
    """What a teacher's row has counted."""
    return Spending(teacher.spent_micros, teacher.reserved_micros, teacher.unknown_micros)


def spending_of_plans(config: Config) -> dict[int, Spending]:
    """What is stored of each plan's money."""
    with contextlib.closing(open_reader(config.database)) as connection:
        return spending_by_plan(connection)
