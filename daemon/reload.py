"""Reads the configuration again while the daemon works, and puts in force what can be.

Invariants: everything is read and checked before anything is touched, so a wrong configuration is
refused whole; `state.db` is brought in line in one transaction, while no claim is made; plans and teachers
that stay are changed in place, those that are gone end what is in flight and send nothing more, and
come back as they were when they are configured again. A task whose questions changed keeps the old
ones until the next start: samples of both would share counters.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass, replace

import anyio
import anyio.to_thread
from anyio.abc import TaskStatus

from daemon import events
from daemon.catalog.config_diff import differences, readdressed, takeable
from daemon.catalog.sync import (
    Catalog,
    Input,
    add_plan,
    budget_of,
    known_tasks,
    read_input,
    resynchronise,
    used_by_plans,
)
from daemon.host.clock import Clock
from daemon.sampling.attempt_runner import AttemptRunner
from daemon.sampling.budget import Ledger, micros
from daemon.sampling.plans import ActivePlan
from daemon.sampling.recovery import grade_missing, take_up
from daemon.sampling.scheduler import Scheduler
from daemon.sampling.teacher import Teacher
from daemon.training.devices import Device, find_devices
from daemon.training.planner import Planner
from daemon.training.trainer import Trainer
from engine.config import Config, TaskConfig, TeacherConfig
from engine.config.prices import unpriced
from engine.errors import CoterieError, SecretError
from engine.tasks import GivenTask
from engine.teachers.client import TeacherClient
from engine.teachers.keys import TeacherKey
from state.errors import StateLocked
from state.tables import Teacher as TeacherRow
from state.writer import Writer


@dataclass(frozen=True, kw_only=True, slots=True)
class Opening:
    """How a teacher is opened: its client (and its process, where it is built in), its teacher, a key's key."""

    client: Callable[[str, TeacherConfig, str | None], Awaitable[tuple[TeacherClient, str | None]]]
    teacher: Callable[[TeacherRow, TeacherConfig, TeacherClient, str | None], Teacher]
    workers: Callable[[Teacher, TeacherKey], Awaitable[None]]


@dataclass(frozen=True, kw_only=True, slots=True)
class _New:
    """A configuration that was read and found good."""

    config: Config
    given: Input
    later: tuple[str, ...]
    devices: list[Device]
    clients: dict[str, tuple[TeacherClient, str | None]]
    """Of the teachers that are new or are asked elsewhere."""
    rekeyed: set[str]
    """Teachers whose keys are others."""


class Reload:
    """Keeps the configuration in force."""

    def __init__(
        self,
        config: Config,
        *,
        reread: Callable[[], Config],
        catalog: Catalog,
        given: Input,
        writer: Writer,
        clock: Clock,
        bus: events.Bus,
        ledger: Ledger,
        scheduler: Scheduler,
        attempt_runner: AttemptRunner,
        planner: Planner,
        trainer: Trainer,
        opening: Opening,
    ) -> None:
        self.config = config
        self._reread = reread
        self._asked = anyio.Event()
        self._boot = catalog.boot
        self._keys = dict(given.keys)
        self._tasks: dict[str, tuple[TaskConfig, GivenTask]] = {}
        self._remember(config, given)
        self._known = {plan.id: plan for plan in catalog.plans}
        self._former: set[int] = set()
        self._writer = writer
        self._clock = clock
        self._bus = bus
        self._ledger = ledger
        self._scheduler = scheduler
        self._attempt_runner = attempt_runner
        self._planner = planner
        self._trainer = trainer
        self._opening = opening

    def know(self, plans: Iterable[ActivePlan]) -> None:
        """Plans that are no longer configured, some samples of which are out in a batch."""
        for plan in plans:
            self._known[plan.id] = plan
            self._former.add(plan.id)

    def ask(self) -> None:
        """Wakes `serve`."""
        self._asked.set()

    async def serve(self, *, task_status: TaskStatus[None] = anyio.TASK_STATUS_IGNORED) -> None:
        """Reads the configuration again whenever it was asked to, until cancelled."""
        task_status.started()
        while True:
            await self._asked.wait()
            self._asked = anyio.Event()
            await self.reload()

    async def reload(self) -> None:
        """Reads the configuration again; tells what came of it."""
        try:
            new = await self._read()
        except CoterieError as error:
            self._bus.emit(events.ConfigRefused(reason=error.message))
            return
        if self._scheduler.closed:
            return  # the daemon stops
        with anyio.CancelScope(shield=True):
            await self._take_over(new)

    async def _read(self) -> _New:
        """Everything that can be wrong is found here.

        Raises:
            CoterieError: the configuration, a task, a key or an address is wrong.
        """
        wanted = await anyio.to_thread.run_sync(self._reread)
        running = {teacher.name: teacher.config for teacher in self._scheduler.teachers}
        config, later = takeable(self.config, wanted, running)
        try:
            known = await anyio.to_thread.run_sync(known_tasks, config)
            given = await anyio.to_thread.run_sync(read_input, config, known)
        except SecretError as error:
            if "environment variable" not in error.message:
                raise
            raise SecretError(
                f"{error.message.rstrip('.')}. The environment of a running daemon cannot change: use"
                " api_key_file or [daemon] env_file, or start again."
            ) from None
        config, given, kept = self._with_known_questions(config, given)
        devices: list[Device] = []
        if config.students and not self._trainer.has_devices:
            devices = await anyio.to_thread.run_sync(find_devices, config.daemon.devices)
        teachers = {teacher.name: teacher for teacher in self._scheduler.teachers}
        clients = {}
        for name, settings in config.teachers.items():
            if name not in teachers or readdressed(teachers[name].config, settings):
                url = teachers[name].url if name in teachers else None
                clients[name] = await self._opening.client(name, settings, url)
        rekeyed = {
            name
            for name, keys in given.keys.items()
            if name in teachers and _differ(self._keys.get(name, ()), keys)
        }
        return _New(
            config=config,
            given=given,
            later=(*later, *kept),
            devices=devices,
            clients=clients,
            rekeyed=rekeyed,
        )

    def _with_known_questions(self, config: Config, given: Input) -> tuple[Config, Input, list[str]]:
        """Tasks that this daemon has worked on keep their questions; which of them were to be others."""
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
        config = new.config
        mended = new.rekeyed | set(new.clients)
        async with self._scheduler.still:
            try:
                catalog = await anyio.to_thread.run_sync(self._synchronise, new, mended)
            except StateLocked as error:
                self._bus.emit(events.ConfigRefused(reason=error.message))
                return
            changes = differences(self.config, config)
            unbound = set(unpriced(self.config))
            self.config = config
            self._remember(config, new.given)
            self._ledger.total.cap = micros(await anyio.to_thread.run_sync(budget_of, config))
            for name, settings in config.teachers.items():
                await self._teacher(name, settings, catalog.teachers[name], new)
            for teacher in self._scheduler.teachers:
                teacher.retired = teacher.name not in config.teachers
            fresh = self._plans(catalog.plans, await anyio.to_thread.run_sync(used_by_plans, config))
            await self._empty_queues()
            self._planner.configure(config, catalog.task_ids)
            self._trainer.configure(config, new.devices)
            await grade_missing(config.database, self._writer, fresh)
            for note in await take_up(config.database, self._scheduler, fresh):
                self._bus.emit(events.Noted(what=note))
            for plan in fresh:
                plan.completed = plan.done  # told at an earlier start
            self._scheduler.look_again()
        for event in catalog.news:
            self._bus.emit(event)
        keys = tuple(f"the key of {name}" for name in sorted(new.rekeyed))
        self._bus.emit(events.ConfigReloaded(changes=(*changes, *keys)))
        if new.later:
            self._bus.emit(events.RestartNeeded(what=new.later))
        for said in set(unpriced(config)) - unbound:
            self._bus.emit(events.Noted(what=said))
        for teacher in self._scheduler.teachers:
            if teacher.parked and not teacher.retired:
                self._bus.emit(events.TeacherParked(teacher=teacher.name, reason=_still(teacher, config)))

    def _synchronise(self, new: _New, mended: set[str]) -> Catalog:
        return resynchronise(
            new.config, new.given, self._boot, in_hand=set(self._known) - self._former, mended=mended
        )

    def _remember(self, config: Config, given: Input) -> None:
        for name, task in given.tasks.items():
            self._tasks[name] = config.tasks[name], task.stored()

    async def _teacher(self, name: str, config: TeacherConfig, row: TeacherRow, new: _New) -> None:
        """Opens a new teacher, or changes one in place; what it was parked for may be mended."""
        keys = new.given.keys[name] or (TeacherKey("", None),)
        teacher = next((teacher for teacher in self._scheduler.teachers if teacher.name == name), None)
        if teacher is None:
            client, url = new.clients[name]
            teacher = self._opening.teacher(row, config, client, url)
            self._ledger.add_teacher(
                teacher.id,
                micros(config.budget_usd),
                row.spent_micros + row.reserved_micros,
                reserved=row.reserved_micros,
                name=name,
            )
            self._scheduler.add_teacher(teacher)
            for key in keys:
                await self._opening.workers(teacher, key)
        else:
            price = teacher.price
            teacher.configure(self._clock.monotonic(), config)
            self._ledger.cap_teacher(teacher.id, micros(config.budget_usd))
            if teacher.price != price:  # what is reserved for what was not sent yet is reserved anew
                await self._attempt_runner.release_all(teacher.ready(), teacher)
            if name in new.clients:
                teacher.client, teacher.url = new.clients[name]
            if name in new.rekeyed:
                await self._rekey(teacher, keys)
            if name in new.clients or name in new.rekeyed:
                was = teacher.parked
                teacher.unpark(self._clock.monotonic())
                if was:
                    self._bus.emit(events.TeacherResumed(teacher=name))
        self._keys[name] = new.given.keys[name]

    async def _rekey(self, teacher: Teacher, keys: tuple[TeacherKey, ...]) -> None:
        """A key for each key; one that goes by the same label keeps its key and what was learned there."""
        key_workers = {workers.key.label: workers for workers in teacher.key_workers}
        for key in keys:
            if key.label in key_workers:
                key_workers.pop(key.label).key = key
            else:
                await self._opening.workers(teacher, key)
        for workers in key_workers.values():
            teacher.drop_key(workers)

    def _plans(self, plans: list[ActivePlan], used: dict[int, tuple[int, int]]) -> list[ActivePlan]:
        """Changes the plans in place and retires what is gone; returns those this daemon did not know."""
        active, fresh = [], []
        for plan in plans:
            known = self._known.get(plan.id)
            if known is not None:
                known.renew(plan)
                self._ledger.cap_plan(plan.id, micros(plan.config.budget_usd))
                active.append(known)
                if plan.id in self._former:  # what of it is not out in a batch is in nobody's hands
                    self._former.discard(plan.id)
                    fresh.append(known)
            else:
                self._known[plan.id] = plan
                add_plan(self._ledger, plan, used)
                active.append(plan)
                fresh.append(plan)
        kept = {plan.id for plan in active}
        for plan in self._known.values():
            plan.retired = plan.id not in kept
        self._scheduler.plans[:] = active  # the planner and the idle watch look at the same list
        return fresh

    async def _empty_queues(self) -> None:
        """Jobs of what is gone leave the queues; what was claimed for them and not sent is given back."""
        for teacher in self._scheduler.teachers:
            jobs = teacher.take_out(lambda job, gone=teacher.retired: gone or job.plan.retired)  # type: ignore[misc]
            await self._attempt_runner.release_all(jobs, teacher)
            for job in jobs:
                self._scheduler.deliver(job)
        for job in self._scheduler.held_back():
            if job.plan.retired and job.attempt is not None:
                await self._attempt_runner.release(job, self._scheduler.teacher_of(job))


def _differ(old: tuple[TeacherKey, ...], new: tuple[TeacherKey, ...]) -> bool:
    """Whether keys are others; their values are compared and go nowhere."""
    return [_plain(key) for key in old] != [_plain(key) for key in new]


def _plain(key: TeacherKey) -> tuple[str, str]:
    return key.label, key.secret.get_secret_value() if key.secret is not None else ""


def _still(teacher: Teacher, config: Config) -> str:
    """Why a teacher is parked after its configuration was read again."""
    if (teacher.config.api_key_env or teacher.config.api_key_envs) and not config.daemon.env_file:
        return (
            f"{teacher.parked.rstrip('.')}; its key comes from the environment, which cannot change while the daemon"
            " runs: use api_key_file or [daemon] env_file, or start again"
        )
    return teacher.parked
