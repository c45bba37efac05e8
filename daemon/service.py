"""The daemon's life: sets everything up, runs it under one task group, and ends it in order.

Order of ending: no new claims and jobs; what is in flight is awaited up to `drain_seconds`; the rest is
cancelled (and stored as unknown); the last events, pulse and commit. A child that dies ends the daemon,
which says which one it was. The components do not know the service; it wires them.
"""

from __future__ import annotations

import os
import random
import signal
from collections.abc import Callable, Iterable
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from functools import partial
from types import FrameType

import anyio
import anyio.to_thread
from anyio.abc import TaskGroup, TaskStatus

from daemon import events
from daemon.catalog.sync import Catalog, Input, known_tasks, make_ledger, read_input, synchronise
from daemon.control import Control
from daemon.host.builtin_teacher import serve_practice
from daemon.host.clock import Clock, SystemClock
from daemon.host.file_limit import raise_limit, share
from daemon.observe.heartbeat import EventLog, Heartbeat, LagMeter
from daemon.observe.metrics import serve_http
from daemon.observe.search_indexer import Indexer
from daemon.pipeline import Child, Pipeline, make_teacher
from daemon.reload import Opening, Reload
from daemon.sampling.budget import BUDGET
from daemon.sampling.limit_leases import LimitLeases
from daemon.sampling.scheduler import Scheduler
from daemon.sampling.teacher import Teacher
from daemon.training.devices import Device, check_ranks, find_devices
from daemon.training.planner import Planner
from daemon.training.trainer import Trainer
from daemon.work import Work
from engine.config import Config, TeacherConfig
from engine.config.prices import unpriced
from engine.errors import CoterieError
from engine.teachers.batch_client import BatchClient
from engine.teachers.client import TeacherClient
from engine.teachers.keys import TeacherKey
from state.daemon_sessions import end_session
from state.database import open_writer
from state.events import EventRow
from state.health import examine_after_crash
from state.tables import Teacher as TeacherRow
from state.writer import Writer


@dataclass(slots=True)
class Ended:
    """How a daemon ended: why, and what keeps it from being called done."""

    reason: str = ""
    interrupted: bool = False
    troubles: list[str] = field(default_factory=list)


class Service:
    """One daemon, from start to end."""

    def __init__(
        self,
        config: Config,
        *,
        until_idle: bool,
        tell: Callable[[EventRow], None],
        reread: Callable[[], Config],
        clock: Clock | None = None,
        rng: random.Random | None = None,
    ) -> None:
        self._config = config
        self._until_idle = until_idle
        self._tell = tell
        self._reread = reread
        self._reload: Reload | None = None
        self._clock = clock or SystemClock()
        self._rng = rng or random.Random()
        self._bus = events.Bus()
        self._ended = Ended()
        self._stop_asked = anyio.Event()
        self._stop_now = anyio.Event()
        self._state = "starting"
        self._files = 0
        self._on_terminal = os.isatty(0)
        self._early_hangup = False  # SIGHUP came while it started

    async def run(self) -> Ended:
        """Runs to the end; the caller holds the lock.

        Raises:
            CoterieError: the input is wrong, or a part of the daemon died.
        """
        signal.signal(signal.SIGHUP, self._hung_up)  # there is nothing to read anew for yet
        known = await anyio.to_thread.run_sync(known_tasks, self._config)
        given = await anyio.to_thread.run_sync(read_input, self._config, known)
        note = await anyio.to_thread.run_sync(examine_after_crash, self._config.database)
        devices = find_devices(self._config.daemon.devices) if self._config.students else []
        check_ranks(devices, self._config.students, self._config.folder)
        connection = await anyio.to_thread.run_sync(open_writer, self._config.database)
        catalog = await anyio.to_thread.run_sync(synchronise, self._config, given)
        given = given.stored()
        writer = Writer(connection)
        writer.on_trouble = lambda said: self._bus.emit(events.Noted(what=said))
        self._files = raise_limit()
        try:
            async with anyio.create_task_group() as outer:
                await outer.start(writer.serve, name="writer")
                log = EventLog(writer, self._bus, self._tell)
                await outer.start(log.serve, name="event log")
                self._bus.emit(
                    events.DaemonStarted(
                        boot_id=catalog.boot.id,
                        pid=os.getpid(),
                        unknown_attempts=catalog.boot.unknown_attempts,
                    )
                )
                for said in ([note] if note else []) + list(unpriced(self._config)):
                    self._bus.emit(events.Noted(what=said))
                for event in catalog.news:
                    self._bus.emit(event)
                try:
                    await self._work(catalog, given, writer, devices)
                finally:
                    log.close()
                    writer.close()
            end_session(connection, catalog.boot.id, self._ended.reason)
        finally:
            connection.close()
        return self._ended

    def stop(self, reason: str, now: bool = False) -> None:
        """Asks for the end: first a drain; a second time, or with `now`, at once."""
        if not self._stop_asked.is_set():
            self._ended.reason = reason
            self._bus.emit(events.DaemonStopping(reason=reason))
            self._stop_asked.set()
            if now:
                self._stop_now.set()
        else:
            self._stop_now.set()

    async def _work(self, catalog: Catalog, given: Input, writer: Writer, devices: list[Device]) -> None:
        config, clock = self._config, self._clock
        async with AsyncExitStack() as stack, anyio.create_task_group() as group:
            open_client = partial(self._client, stack, group)
            teachers = [
                self._teacher(catalog.teachers[name], settings, *await open_client(name, settings))
                for name, settings in config.teachers.items()
            ]
            ledger = make_ledger(config, catalog)
            pipeline = Pipeline(
                boot_id=catalog.boot.id,
                writer=writer,
                ledger=ledger,
                bus=self._bus,
                clock=clock,
                rng=self._rng,
                teachers=teachers,
                plans=catalog.plans,
                keys=given.keys,
            )
            scheduler, retry_queue = pipeline.scheduler, pipeline.retry_queue
            self._share_files(pipeline)
            trainer = Trainer(
                config, boot_id=catalog.boot.id, writer=writer, bus=self._bus, clock=clock, devices=devices
            )
            planner = Planner(
                config,
                writer=writer,
                bus=self._bus,
                trainer=trainer,
                plans=catalog.plans,
                task_ids=catalog.task_ids,
            )
            lag = LagMeter(clock, self._bus)
            heartbeat = Heartbeat(
                boot_id=catalog.boot.id,
                writer=writer,
                clock=clock,
                teachers=teachers,
                lag=lag,
                bus=self._bus,
                state=lambda: self._shown_state(scheduler),
                notice=lambda: writer.trouble or used_up(scheduler.budget_policy.spent.values()),
                waiting=lambda: len(retry_queue),
            )
            control = Control(
                config.database,
                writer=writer,
                clock=clock,
                pipeline=pipeline,
                planner=planner,
                trainer=trainer,
                stop=self.stop,
                ledger=ledger,
                bus=self._bus,
                configured=lambda: (self._reload.config if self._reload else config).daemon.budget_usd,
            )

            indexer = Indexer(
                writer=writer,
                clock=clock,
                bus=self._bus,
                busy=lambda: any(teacher.in_flight for teacher in pipeline.teachers),
            )

            sharing = LimitLeases(
                config.daemon.shared_limits, home=config.folder, teachers=teachers, clock=clock, bus=self._bus
            )

            async def open_key(teacher: Teacher, key: TeacherKey) -> None:
                workers = pipeline.add_key(teacher, key)
                self._share_files(pipeline)
                await group.start(
                    partial(_named, f"{teacher.name} key", workers.serve), name=f"{teacher.name} key"
                )

            self._reload = reload = Reload(
                config,
                reread=self._reread,
                catalog=catalog,
                given=given,
                writer=writer,
                clock=clock,
                bus=self._bus,
                ledger=ledger,
                scheduler=scheduler,
                attempt_runner=pipeline.attempt_runner,
                planner=planner,
                trainer=trainer,
                opening=Opening(client=open_client, teacher=self._teacher, workers=open_key),
            )
            self._state = "running"
            await pipeline.take_up(config.database)
            reload.know(pipeline.former)
            for name, serve in (
                ("signals", self._signals),
                ("reload", reload.serve),
                ("lag meter", lag.serve),
                ("heartbeat", heartbeat.serve),
                ("trainer", trainer.serve),
                ("planner", planner.serve),
                ("control", control.serve),
                ("limits", sharing.serve),
                ("indexer", indexer.serve),
                *pipeline.parts(),
            ):
                await group.start(partial(_named, name, serve), name=name)
            if config.daemon.http:
                await group.start(serve_http, config.daemon.http, config.database, name="http")
            work = Work(
                config,
                bus=self._bus,
                clock=clock,
                scheduler=scheduler,
                retry_queue=retry_queue,
                planner=planner,
                trainer=trainer,
            )
            group.start_soon(work.tell_completions, name="completions")
            if self._until_idle:
                group.start_soon(self._watch_idle, work, name="idle watch")
            await self._stop_asked.wait()
            await self._drain(pipeline, trainer)
            await heartbeat.beat()
            group.cancel_scope.cancel()

    async def _client(
        self,
        stack: AsyncExitStack,
        group: TaskGroup,
        name: str,
        settings: TeacherConfig,
        url: str | None = None,
    ) -> tuple[TeacherClient, str | None]:
        """A teacher's client, and the address of its process where it is built in and has none yet."""
        if settings.builtin and url is None:
            url = await group.start(serve_practice, name, settings, name=name)
        client = (BatchClient if settings.dialect == "openai-batch" else TeacherClient)(
            settings, base_url=url
        )
        return await stack.enter_async_context(client), url

    def _teacher(
        self, row: TeacherRow, config: TeacherConfig, client: TeacherClient, url: str | None
    ) -> Teacher:
        teacher = make_teacher(row, config, client, self._clock.monotonic())
        teacher.url = url
        return teacher

    def _share_files(self, pipeline: Pipeline) -> None:
        """Bounds the connections of each key, so that open files are left for everything else."""
        each = share(self._files, sum(len(teacher.key_workers) for teacher in pipeline.teachers))
        for teacher in pipeline.teachers:
            for workers in teacher.key_workers:
                workers.limits.concurrency.bound(each)
            if (teacher.config.concurrency or 0) > each:
                self._bus.emit(
                    events.Noted(
                        what=f"teachers.{teacher.name}.concurrency = {teacher.config.concurrency} is cut to {each}: this process"
                        f" may have {self._files} open files (ulimit -n; LimitNOFILE under systemd)"
                    )
                )

    async def _watch_idle(self, work: Work) -> None:
        """Ends the daemon when nothing is left to do, or nothing that can be done without a person."""
        await work.idle()
        self._ended.troubles = work.troubles()
        self.stop("nothing can go on without a person" if self._ended.troubles else "nothing is left to do")

    def _shown_state(self, scheduler: Scheduler) -> str:
        if self._stop_asked.is_set():
            return "draining"
        if scheduler.plans and all(plan.paused for plan in scheduler.plans):
            return "paused"
        return self._state

    async def _signals(self, *, task_status: TaskStatus[None] = anyio.TASK_STATUS_IGNORED) -> None:
        with anyio.open_signal_receiver(signal.SIGINT, signal.SIGTERM, signal.SIGHUP) as received:
            task_status.started()
            if self._early_hangup:
                self._signalled(signal.SIGHUP)
            async for number in received:
                self._signalled(number)

    def _hung_up(self, number: int, frame: FrameType | None) -> None:
        self._early_hangup = True

    def _signalled(self, number: signal.Signals) -> None:
        # A terminal that was closed sends the same signal as `kill -HUP`: then nobody asked to read anew.
        closed = self._on_terminal and not os.isatty(0)
        if number == signal.SIGHUP and not closed:
            assert self._reload is not None, "signals are heard once there is something to read anew for"
            self._reload.ask()
            return
        self._ended.interrupted = True
        self.stop(f"signal {number.name}")

    async def _drain(self, pipeline: Pipeline, trainer: Trainer) -> None:
        """No new request; those in flight are awaited, runs are asked for a checkpoint."""
        pipeline.close()
        async with anyio.create_task_group() as group:
            group.start_soon(self._cut_short, group)
            seconds = (self._reload.config if self._reload else self._config).daemon.drain_seconds
            with anyio.move_on_after(seconds):
                async with anyio.create_task_group() as both:
                    both.start_soon(trainer.drain, seconds)
                    both.start_soon(pipeline.flight_ended)
            group.cancel_scope.cancel()
        with anyio.CancelScope(shield=True):
            await pipeline.put_back()

    async def _cut_short(self, group: TaskGroup) -> None:
        await self._stop_now.wait()
        group.cancel_scope.cancel()


def used_up(caps: Iterable[str]) -> str:
    """What a person must know of caps that leave no room; empty where there are none."""
    names = sorted(set(caps))
    if not names:
        return ""
    remedy = (
        "`coterie budget USD` raises it"
        if any(BUDGET in name for name in names)
        else "raise it in config.toml"
    )
    return (
        f"{' and '.join(names)} {'are' if len(names) > 1 else 'is'} used up, no new request is sent: {remedy}"
    )


async def _named(
    name: str, serve: Child, *, task_status: TaskStatus[None] = anyio.TASK_STATUS_IGNORED
) -> None:
    """Runs a child; what it dies of carries its name."""
    try:
        await serve(task_status=task_status)
    except CoterieError:
        raise
    except Exception as error:
        error.add_note(f"(in the daemon's {name})")
        raise
