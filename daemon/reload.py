"""Reloads the configuration while the daemon runs.

Invariants: everything is read and checked before anything changes, so a configuration with an error is
rejected as a whole; `state.db` is updated in one transaction, while no claim is made; plans and teachers
that stay are changed in place. Those that are gone finish the requests in flight and send nothing more; they
return as they were when they are configured again. A task whose questions changed keeps the old
ones until the next start, because samples of both would share counters.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from functools import partial

import anyio
import anyio.to_thread
from anyio.abc import TaskStatus

from daemon import events
from daemon.catalog.config_diff import concerned, differences, readdressed, takeable
from daemon.catalog.sync import (
    Catalog,
    Input,
    budget_of,
    known_tasks,
    read_input,
    resynchronise,
    spending_of,
    spending_of_plans,
)
from daemon.sampling.attempt_store import AttemptStore
from daemon.sampling.budget import add_plan, micros
from daemon.sampling.context import Context
from daemon.sampling.jobs import Job
from daemon.sampling.plans import ActivePlan
from daemon.sampling.recovery import RunBlocking, grade_missing, take_up
from daemon.sampling.scheduler import Scheduler
from daemon.sampling.teacher import Teacher
from daemon.training.devices import Device, check_ranks, find_devices
from daemon.training.edits import edits_since, events_of
from daemon.training.planner import Planner
from daemon.training.trainer import Trainer
from engine.config import Config, TaskConfig, TeacherConfig
from engine.config.notes import left_out
from engine.config.prices import unpriced
from engine.errors import CoterieError, SecretError
from engine.tasks import TaskSummary
from engine.teachers.endpoint import Endpoint
from engine.teachers.keys import TeacherKey, differ
from engine.teachers.transport import HttpClient
from state.budget import Spending
from state.catalog import KnownTask
from state.errors import StateFailing, StateLocked
from state.tables import Teacher as TeacherRow
from state.writer import RETRY_S

WAITS = (
    "the new configuration waits until state.db can be written: its disk is full or failing; make room on it"
)


@dataclass(frozen=True, kw_only=True, slots=True)
class TeacherFactory:
    """Opens teachers: the client (and the process of a built-in one), the teacher, and each key."""

    client: Callable[[str, TeacherConfig, Endpoint, str | None], Awaitable[tuple[HttpClient, str | None]]]
    teacher: Callable[[TeacherRow, TeacherConfig, HttpClient, str | None], Teacher]
    key: Callable[[Teacher, TeacherKey], Awaitable[None]]
    share_files: Callable[[], None]
    """Divides the connections that this process may have among the keys there are."""


@dataclass(frozen=True, kw_only=True, slots=True)
class _New:
    """A configuration that was read and checked."""

    config: Config
    given: Input
    later: tuple[str, ...] = ()
    devices: list[Device] = field(default_factory=list)
    clients: dict[str, tuple[HttpClient, str | None]] = field(default_factory=dict)
    """Clients of teachers that are new or have another address."""
    rekeyed: set[str] = field(default_factory=set)
    """Teachers whose keys changed."""
    mended: set[str] = field(default_factory=set)
    """Teachers that are tried again if they are parked: the cause may be another now."""


class Reload:
    """Holds the configuration in force, and replaces it."""

    def __init__(
        self,
        config: Config,
        context: Context,
        *,
        reread: Callable[[], Config],
        catalog: Catalog,
        given: Input,
        scheduler: Scheduler,
        attempts: AttemptStore,
        planner: Planner,
        trainer: Trainer,
        factory: TeacherFactory,
        read: Callable[[Config, Mapping[str, KnownTask]], Input] = read_input,
        run_blocking: RunBlocking = anyio.to_thread.run_sync,
    ) -> None:
        self.config = config
        self._read_input = read
        self._run_blocking = run_blocking
        self._reread = reread
        self._asked, self._one = anyio.Event(), anyio.Lock()
        self._session = catalog.session
        self._keys = dict(given.keys)
        self._endpoints = dict(given.endpoints)
        self._tasks: dict[str, tuple[TaskConfig, TaskSummary]] = {}
        self._remember(config, given)
        self._wordings = given.wordings
        self._known = {plan.id: plan for plan in catalog.plans}
        self._former: set[int] = set()
        self._writer = context.writer
        self._clock = context.clock
        self._bus = context.bus
        self._budget = context.budget
        self._scheduler = scheduler
        self._attempts = attempts
        self._planner = planner
        self._trainer = trainer
        self._factory = factory

    def register(self, plans: Iterable[ActivePlan]) -> None:
        """Registers plans that are no longer configured but have samples in a batch."""
        for plan in plans:
            self._known[plan.id] = plan
            self._former.add(plan.id)

    def ask(self) -> None:
        """Asks for a reload."""
        self._asked.set()

    async def serve(self, *, task_status: TaskStatus[None] = anyio.TASK_STATUS_IGNORED) -> None:
        """Reloads the configuration whenever `ask` was called, until cancelled."""
        task_status.started()
        while True:
            await self._asked.wait()
            self._asked = anyio.Event()
            await self.reload()

    async def reload(self) -> None:
        """Reloads the configuration and reports the result."""
        async with self._one:
            try:
                new = await self._read()
            except CoterieError as error:
                self._bus.emit(events.ConfigRefused(reason=error.message))
                return
            if self._scheduler.closed:
                return  # the daemon is stopping
            with anyio.CancelScope(shield=True):
                await self._take_over(new)

    async def refresh(self) -> None:
        """Looks anew at what `state.db` decides about the configuration in force: which runs of students plans ask."""
        async with self._one:
            tasks = {name: self._tasks[name][1] for name in self.config.tasks}
            given = Input(tasks=tasks, keys=self._keys, endpoints=self._endpoints, wordings=self._wordings)
            if not self._scheduler.closed:
                with anyio.CancelScope(shield=True):
                    await self._take_over(_New(config=self.config, given=given))

    async def _read(self) -> _New:
        """Reads and checks everything.

        Raises:
            CoterieError: the configuration, a task, a key or an address is wrong.
        """
        wanted = await self._run_blocking(self._reread)
        running = {teacher.name: teacher.config for teacher in self._scheduler.teachers}
        config, later = takeable(self.config, wanted, running)
        try:
            known = await self._run_blocking(known_tasks, config)
            given = await self._run_blocking(self._read_input, config, known)
        except SecretError as error:
            if "environment variable" not in error.message:
                raise
            raise SecretError(
                f"{error.message.rstrip('.')}. The environment of a running daemon cannot change: use"
                " api_key_file or [daemon] env_file, or restart it."
            ) from None
        config, given, kept = self._with_known_questions(config, given)
        devices: list[Device] = []
        if config.students and not self._trainer.devices:
            devices = await self._run_blocking(find_devices, config.daemon.devices)
        check_ranks(self._trainer.devices or devices, config.students, config.folder)
        teachers = {teacher.name: teacher for teacher in self._scheduler.teachers}
        clients = {}
        for name, settings in config.teachers.items():
            at = given.endpoints[name]
            if (
                name not in teachers
                or readdressed(teachers[name].config, settings)
                or self._endpoints.get(name) != at
            ):
                url = teachers[name].transport.url if name in teachers else None
                clients[name] = await self._factory.client(name, settings, at, url)
        rekeyed = {
            name
            for name, keys in given.keys.items()
            if name in teachers
            and (
                differ(self._keys.get(name, ()), keys)
                or (name in clients and not readdressed(teachers[name].config, config.teachers[name]))
            )
        }
        return _New(
            config=config,
            given=given,
            later=(*later, *kept),
            devices=devices,
            clients=clients,
            rekeyed=rekeyed,
            mended=rekeyed
            | concerned(
                (self.config, self._wordings),
                (config, given.wordings),
                {name: each.config for name, each in teachers.items()},
            ),
        )

    def _with_known_questions(self, config: Config, given: Input) -> tuple[Config, Input, list[str]]:
        """Keeps the questions of tasks that this daemon has worked on; returns which of them would have changed."""
        tasks, loaded, kept = dict(config.tasks), dict(given.tasks), []
        for name, task in given.tasks.items():
            if name not in self._tasks:
                continue
            before, questions = self._tasks[name]
            if (questions.digest, before.answer) != (task.digest, tasks[name].answer):
                tasks[name], loaded[name] = before, questions
                kept.append(f"tasks.{name} (other questions or answers)")
        return config.model_copy(update={"tasks": tasks}), replace(given, tasks=loaded), kept

    async def _take_over(self, new: _New) -> None:
        config, same = new.config, new.config is self.config
        async with self._scheduler.claim_lock:
            try:
                edited = await self._run_blocking(edits_since, config, new.given)
                catalog = await self._stored(new)
            except StateLocked as error:
                self._bus.emit(events.ConfigRefused(reason=error.message))
                return
            changes = differences(self.config, config)
            unbound = {*unpriced(self.config), *left_out(self.config)}
            self.config = config
            self._remember(config, new.given)
            self._wordings = new.given.wordings
            self._budget.total.cap = micros(await self._run_blocking(budget_of, config))
            for name, settings in config.teachers.items():
                await self._teacher(name, settings, catalog.teachers[name], new)
            self._factory.share_files()
            for teacher in self._scheduler.teachers:
                teacher.health.disable(teacher.name not in config.teachers)
            before = await self._run_blocking(spending_of_plans, config)
            fresh = self._plans(catalog.plans, catalog.continued, before)
            await self._empty_queues()
            self._planner.configure(config, catalog.task_ids)
            self._trainer.configure(config, new.devices)
            await grade_missing(config.database, self._writer, fresh)
            for note in await take_up(config.database, self._scheduler, fresh, self._run_blocking):
                self._bus.emit(events.Noted(what=note))
            for plan in fresh:
                plan.state.completed_before()  # reported by an earlier daemon
            self._scheduler.look_again()
        for event in [*catalog.news, *events_of(edited)]:
            self._bus.emit(event)
        if not same:
            keys = tuple(f"the key of {name}" for name in sorted(new.rekeyed))
            self._bus.emit(events.ConfigReloaded(changes=(*changes, *keys)))
        if new.later:
            self._bus.emit(events.RestartNeeded(what=new.later))
        for said in {*unpriced(config), *left_out(config)} - unbound:
            self._bus.emit(events.Noted(what=said))
        for teacher in self._scheduler.teachers:
            if teacher.health.parked and not teacher.health.disabled and not same:
                self._bus.emit(events.TeacherParked(teacher=teacher.name, reason=_still(teacher, config)))

    async def _stored(self, new: _New) -> Catalog:
        """The rows of the new configuration, once they are on disk; a full or failing disk is waited for.

        Raises:
            StateLocked: another process holds the database.
        """
        reported = False
        while True:
            try:
                catalog: Catalog = await self._run_blocking(self._synchronise, new)
                return catalog
            except StateFailing:
                if not reported:
                    self._bus.emit(events.Noted(what=WAITS))
                reported = True
                await self._clock.sleep(RETRY_S)

    def _synchronise(self, new: _New) -> Catalog:
        return resynchronise(
            new.config, new.given, self._session, in_hand=set(self._known) - self._former, mended=new.mended
        )

    def _remember(self, config: Config, given: Input) -> None:
        for name, task in given.tasks.items():
            self._tasks[name] = config.tasks[name], task.stored()

    async def _teacher(self, name: str, config: TeacherConfig, row: TeacherRow, new: _New) -> None:
        """Opens a new teacher, or changes one in place; one whose cause may be gone is unparked."""
        keys = new.given.keys[name] or (TeacherKey("", None),)
        teacher = next((teacher for teacher in self._scheduler.teachers if teacher.name == name), None)
        if teacher is None:
            client, url = new.clients[name]
            teacher = self._factory.teacher(row, config, client, url)
            self._budget.add_teacher(
                teacher.id,
                micros(config.budget_usd),
                spending_of(row),
                name=name,
            )
            self._scheduler.add_teacher(teacher)
            for key in keys:
                await self._factory.key(teacher, key)
        else:
            price = teacher.tokens.price
            teacher.configure(self._clock.monotonic(), config)
            self._budget.cap_teacher(teacher.id, micros(config.budget_usd))
            if teacher.tokens.price != price:  # queued attempts are reserved again at the new price
                await self._attempts.release_all(teacher.queue.jobs(), teacher)
            if name in new.clients:
                teacher.transport.connect(*new.clients[name])
            if name in new.rekeyed:
                await self._rekey(teacher, keys)
            if name in new.mended:
                if teacher.unpark(self._clock.monotonic()):
                    self._bus.emit(events.TeacherResumed(teacher=name))
        self._keys[name] = new.given.keys[name]
        self._endpoints[name] = new.given.endpoints[name]

    async def _rekey(self, teacher: Teacher, keys: tuple[TeacherKey, ...]) -> None:
        """Replaces a teacher's keys; one with the same label keeps what was learned about its limits."""
        before = {each.key.label: each for each in teacher.transport.keys}
        for key in keys:
            if key.label in before:
                before.pop(key.label).rekey(key)
            else:
                await self._factory.key(teacher, key)
        for gone in before.values():
            teacher.transport.drop_key(gone)

    def _plans(
        self, plans: list[ActivePlan], continued: dict[int, str], before: dict[int, Spending]
    ) -> list[ActivePlan]:
        """Changes the plans in place and disables those that are gone; returns those new to this daemon."""
        active, fresh = [], []
        for plan in plans:
            known = self._known.get(plan.id)
            if known is not None:
                known.renew(plan)
                self._budget.cap_plan(plan.id, micros(plan.config.budget_usd))
                active.append(known)
                if plan.id in self._former:  # its samples outside batches have no owner yet
                    self._former.discard(plan.id)
                    fresh.append(known)
            else:
                self._known[plan.id] = plan
                add_plan(self._budget, plan, before)
                active.append(plan)
                fresh.append(plan)
        kept = {plan.id for plan in active}
        # Also what a plan before that one left in flight follows, however often the teachers changed meanwhile.
        follow = {self._known[key].samples: recipe for key, recipe in continued.items() if key in self._known}
        for plan in self._known.values():
            plan.state.disable(plan.id not in kept)
            plan.recipe = continued.get(plan.id) or follow.get(plan.samples, plan.recipe)
        self._scheduler.plans[:] = active  # the planner and the idle check hold the same list
        return fresh

    async def _empty_queues(self) -> None:
        """Takes the jobs of disabled plans and teachers out of the queues and releases their attempts."""
        for teacher in self._scheduler.teachers:
            gone = teacher.health.disabled
            jobs = teacher.queue.take_out(partial(_unwanted, gone))
            await self._attempts.release_all(jobs, teacher)
            for job in jobs:
                self._scheduler.deliver(job)
        for job in self._scheduler.panels.take_out(lambda job: job.plan.state.disabled):
            self._scheduler.deliver(job)
        for job in self._scheduler.held_back():
            if job.plan.state.disabled and job.attempt is not None:
                await self._attempts.release(job, self._scheduler.teacher_of(job))


def _unwanted(teacher_gone: bool, job: Job) -> bool:
    return teacher_gone or job.plan.state.disabled


def _still(teacher: Teacher, config: Config) -> str:
    """Why a teacher is parked after its configuration was read again."""
    if (teacher.config.api_key_env or teacher.config.api_key_envs) and not config.daemon.env_file:
        return (
            f"{teacher.health.parked.rstrip('.')}; its key comes from the environment, which cannot change while the daemon"
            " runs: use api_key_file or [daemon] env_file, or restart it"
        )
    return teacher.health.parked
