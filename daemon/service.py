"""Runs the daemon: sets up its parts, runs them under one task group, and stops them in order.

Order of stopping: no new claims and jobs; requests in flight are awaited up to `drain_seconds`; the rest is
cancelled (and stored as unknown); the last events, heartbeat and commit. A part that fails ends the daemon
with an error that names the part. The parts do not know the service; it wires them.
"""

from __future__ import annotations

import os
import random
import signal
from collections.abc import Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from functools import partial

import anyio
import anyio.to_thread
from anyio.abc import TaskGroup, TaskStatus

from daemon import events
from daemon.catalog.sync import Catalog, Input, known_tasks, make_budget, read_input, synchronise
from daemon.control import Control
from daemon.host.builtin_teacher import serve_practice
from daemon.host.clock import Clock, SystemClock
from daemon.host.database_watch import DatabaseWatch
from daemon.host.hangup import HANGUPS
from daemon.host.parent_monitor import monitor_died
from daemon.host.processes import raise_file_limit
from daemon.observe.alarms import Alarms
from daemon.observe.heartbeat import EventLog, Heartbeat, LagMeter
from daemon.observe.metrics import http_server
from daemon.observe.search_indexer import Indexer
from daemon.observe.service_manager import ServiceManager
from daemon.observe.traces import open_traces
from daemon.observe.watch import Watch
from daemon.pipeline import Pipeline
from daemon.reload import Reload, TeacherFactory
from daemon.sampling.budget import notice_of
from daemon.sampling.context import Context
from daemon.sampling.limit_leases import LimitLeases
from daemon.sampling.scheduler import Scheduler
from daemon.sampling.teacher import Teacher
from daemon.serving.student_servers import StudentServers
from daemon.training.devices import Device, check_ranks, find_devices
from daemon.training.edits import edits_since, events_of
from daemon.training.planner import Planner
from daemon.training.trainer import Trainer
from daemon.work import Work
from engine.config import Config, TeacherConfig
from engine.config.notes import left_out
from engine.config.prices import unpriced
from engine.teachers.endpoint import Endpoint
from engine.teachers.keys import TeacherKey
from engine.teachers.transport import HttpClient, make_client
from state import sqlite
from state.daemon_sessions import end_session
from state.database import open_writer
from state.database_file import DatabaseFile
from state.events import EventRow
from state.health import examine
from state.writer import Writer


@dataclass(slots=True)
class DaemonResult:
    """How a daemon ended: why, and which work could not be done."""

    reason: str = ""
    interrupted: bool = False
    troubles: list[str] = field(default_factory=list)


class Service:
    """One daemon session, from start to end."""

    def __init__(
        self,
        config: Config,
        *,
        until_idle: bool,
        monitored: bool = False,
        log: Callable[[EventRow], None],
        reread: Callable[[], Config],
        clock: Clock | None = None,
        rng: random.Random | None = None,
        phase: Callable[[str], None] = lambda _: None,
    ) -> None:
        self._config = config
        self._until_idle = until_idle
        self._monitored = monitored
        self._log = log
        self._reread = reread
        self._phase = phase
        self._reload: Reload | None = None
        self._clock = clock or SystemClock()
        self._rng = rng or random.Random()
        self._bus = events.Bus()
        self._ended = DaemonResult()
        self._stop_asked = anyio.Event()
        self._stop_now = anyio.Event()
        self._state = "starting"
        self._files = 0

    async def run(self) -> DaemonResult:
        """Runs the daemon to its end; the caller holds the lock.

        Raises:
            CoterieError: the input is wrong, or a part of the daemon failed.
        """
        HANGUPS.remember()  # until there is something to reload
        self._phase("reading tasks and keys")
        known = await anyio.to_thread.run_sync(known_tasks, self._config)
        given = await anyio.to_thread.run_sync(read_input, self._config, known)
        if self._config.database.exists():
            self._phase("checking state.db")
        note = await anyio.to_thread.run_sync(examine, self._config.database)
        devices = find_devices(self._config.daemon.devices) if self._config.students else []
        check_ranks(devices, self._config.students, self._config.folder)
        async with http_server(self._config.daemon.http, self._config.database, self._config.runs):
            return await self._session(given, note, devices)

    async def _session(self, given: Input, note: str, devices: list[Device]) -> DaemonResult:
        connection = await anyio.to_thread.run_sync(open_writer, self._config.database)
        edited = await anyio.to_thread.run_sync(edits_since, self._config, given)
        self._phase(f"importing {sum(sum(each.sizes.values()) for each in given.tasks.values()):,} questions")
        catalog = await anyio.to_thread.run_sync(synchronise, self._config, given)
        given = given.stored()
        opened = (self._config.database, connection, catalog.session.id)
        file = await anyio.to_thread.run_sync(DatabaseFile, *opened)
        writer = Writer(connection, file=file)
        watch = DatabaseWatch(file, writer, self._clock, self._stop_unless_stopping)
        writer.on_trouble = lambda said: self._bus.emit(events.Noted(what=said))
        self._files = raise_file_limit()
        try:
            async with anyio.create_task_group() as outer:
                await outer.start(writer.serve, name="writer")
                log = EventLog(writer, self._bus, self._log)
                await outer.start(partial(watch.named, "event log", log.serve), name="event log")
                alarms = Alarms(lambda: self._in_force, bus=self._bus, clock=self._clock)
                await outer.start(partial(watch.named, "alarms", alarms.serve), name="alarms")
                self._bus.emit(
                    events.DaemonStarted(
                        boot_id=catalog.session.id,
                        pid=os.getpid(),
                        unknown_attempts=catalog.session.unknown_attempts,
                    )
                )
                if not catalog.session.previous_ended:
                    self._bus.emit(events.DaemonDied())
                for said in [*([note] if note else []), *unpriced(self._config), *left_out(self._config)]:
                    self._bus.emit(events.Noted(what=said))
                for event in [*catalog.news, *events_of(edited)]:
                    self._bus.emit(event)
                try:
                    await self._work(catalog, given, writer, watch, devices)
                finally:
                    await alarms.close()
                    log.close()
                    writer.close()
                if not watch.writable:
                    outer.cancel_scope.cancel()  # the event log waits
            if watch.writable:
                try:
                    end_session(connection, catalog.session.id, self._ended.reason)
                except sqlite.DatabaseError as error:  # all else is stored
                    said = f"the end of this session could not be stored ({error})"
                    if (row := events.Noted(what=said).row()) is not None:
                        self._log(row)
        except Exception:
            if not watch.lost_now():
                raise
        finally:
            lost = watch.settle(connection)
            connection.close()
        if lost is not None:
            raise lost
        return self._ended

    def _words(self) -> str:
        """What the service manager shows."""
        return f"{'stopping' if self._stop_asked.is_set() else self._state}, session of pid {os.getpid()}"

    @property
    def _in_force(self) -> Config:
        """The configuration of now, after reloads."""
        return self._reload.config if self._reload else self._config

    def stop(self, reason: str, now: bool = False) -> None:
        """Asks the daemon to stop: after a drain the first time; at once the second time, or with `now`."""
        if now or self._stop_asked.is_set():
            self._stop_now.set()
        self._stop_unless_stopping(reason)

    def _stop_unless_stopping(self, reason: str) -> None:
        if not self._stop_asked.is_set():
            self._ended.reason = reason
            self._bus.emit(events.DaemonStopping(reason=reason))
            self._stop_asked.set()

    async def _work(
        self, catalog: Catalog, given: Input, writer: Writer, watch: DatabaseWatch, devices: list[Device]
    ) -> None:
        config, clock = self._config, self._clock
        async with AsyncExitStack() as stack, anyio.create_task_group() as group:
            open_client = partial(self._client, stack, group)
            context = Context(
                session_id=catalog.session.id,
                writer=writer,
                budget=make_budget(config, catalog),
                bus=self._bus,
                clock=clock,
                rng=self._rng,
                tracer=open_traces(config),
            )
            pipeline = Pipeline(context, plans=catalog.plans)
            self._phase("connecting to teachers")
            for name, settings in config.teachers.items():
                client, url = await open_client(name, settings, given.endpoints[name])
                teacher = pipeline.make_teacher(catalog.teachers[name], settings, client, url)
                pipeline.add_teacher(teacher, given.keys.get(name, ()))
            scheduler, retry_queue = pipeline.scheduler, pipeline.retry_queue
            pipeline.share_files(self._files)
            trainer = Trainer(
                config, boot_id=catalog.session.id, writer=writer, bus=self._bus, clock=clock, devices=devices
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
                context,
                teachers=pipeline.teachers,
                lag=lag,
                state=lambda: self._shown_state(scheduler),
                notice=lambda: writer.trouble or notice_of(scheduler.budget_policy.spent.values()),
                waiting=lambda: len(retry_queue),
                plans=pipeline.plans,
                panels=scheduler.panels,
                students=lambda: planner.waits,
                file=watch.inode,
            )
            control = Control(
                config.database,
                writer=writer,
                clock=clock,
                pipeline=pipeline,
                planner=planner,
                trainer=trainer,
                stop=self.stop,
                budget=context.budget,
                bus=self._bus,
                configured=lambda: self._in_force.daemon.budget_usd,
                beat=heartbeat.beat,
            )

            indexer = Indexer(
                writer=writer,
                clock=clock,
                bus=self._bus,
                busy=lambda: any(teacher.in_flight for teacher in pipeline.teachers),
            )

            sharing = LimitLeases(
                config.daemon.shared_limits,
                home=config.folder,
                teachers=pipeline.teachers,
                clock=clock,
                bus=self._bus,
            )

            async def open_key(teacher: Teacher, key: TeacherKey) -> None:
                added = pipeline.add_key(teacher, key)
                await group.start(
                    partial(watch.named, f"{teacher.name} key", added.serve), name=f"{teacher.name} key"
                )

            self._reload = reload = Reload(
                config,
                context,
                reread=self._reread,
                catalog=catalog,
                given=given,
                scheduler=scheduler,
                attempts=pipeline.attempt_runner.attempts,
                planner=planner,
                trainer=trainer,
                factory=TeacherFactory(
                    client=open_client,
                    teacher=pipeline.make_teacher,
                    key=open_key,
                    share_files=partial(pipeline.share_files, self._files),
                ),
            )
            servers = StudentServers(
                lambda: self._in_force, context, sampling=pipeline, trainer=trainer, refresh=reload.refresh
            )
            self._state = "running"
            await pipeline.take_up(config.database)
            reload.register(pipeline.former)
            for name, serve in (
                ("signals", self._signals),
                ("reload", reload.serve),
                ("lag meter", lag.serve),
                ("heartbeat", heartbeat.serve),
                ("trainer", trainer.serve),
                ("student servers", servers.serve),
                ("planner", planner.serve),
                ("control", control.serve),
                ("limit leases", sharing.serve),
                ("search indexer", indexer.serve),
                ("database watch", watch.serve),
                ("service manager", ServiceManager(self._words, bus=self._bus, clock=clock).serve),
                (
                    "watch",
                    Watch(lambda: self._in_force, budget=context.budget, bus=self._bus, clock=clock).serve,
                ),
                *pipeline.parts(),
            ):
                await group.start(partial(watch.named, name, serve), name=name)
            work = Work(
                config,
                context,
                scheduler=scheduler,
                retry_queue=retry_queue,
                others=(planner, trainer, control, servers),
            )
            group.start_soon(watch.guard, work.report_completions, name="plan completions")
            if self._until_idle:
                group.start_soon(self._watch_idle, work, name="idle check")
            if self._monitored:
                group.start_soon(self._watch_monitor, name="monitor check")
            await self._stop_asked.wait()
            await self._drain(pipeline, trainer, watch)
            if watch.writable:
                await heartbeat.beat()
            group.cancel_scope.cancel()

    async def _client(
        self,
        stack: AsyncExitStack,
        group: TaskGroup,
        name: str,
        settings: TeacherConfig,
        at: Endpoint,
        url: str | None = None,
    ) -> tuple[HttpClient, str | None]:
        """A teacher's client, and the address of its process if it is built in (started here the first time)."""
        if settings.builtin and url is None:
            url = await group.start(serve_practice, name, settings, self._config.folder, name=name)

        def say(what: str) -> None:
            self._bus.emit(events.Noted(what=f"teacher {name}: {what}"))

        return await stack.enter_async_context(make_client(settings, base_url=url, at=at, say=say)), url

    async def _watch_idle(self, work: Work) -> None:
        """Stops the daemon when all work is done, or nothing can continue without the user."""
        await work.idle()
        self._ended.troubles = work.troubles()
        self.stop("waiting for you: nothing can continue" if self._ended.troubles else "all work is done")

    async def _watch_monitor(self) -> None:
        """Stops the daemon when the process that shows its monitor died without a word."""
        if await monitor_died():
            self.stop("the monitor that started it died")

    def _shown_state(self, scheduler: Scheduler) -> str:
        if self._stop_asked.is_set():
            return "draining"
        if scheduler.plans and all(plan.state.paused for plan in scheduler.plans):
            return "paused"
        return self._state

    async def _signals(self, *, task_status: TaskStatus[None] = anyio.TASK_STATUS_IGNORED) -> None:
        try:
            with anyio.open_signal_receiver(signal.SIGINT, signal.SIGTERM, signal.SIGHUP) as received:
                task_status.started()
                if HANGUPS.heard:
                    HANGUPS.heard = False
                    self._signalled(signal.SIGHUP)
                async for number in received:
                    self._signalled(number)
        finally:
            HANGUPS.remember()  # the report is still to be written, and there is nothing to reload

    def _signalled(self, number: signal.Signals) -> None:
        if number == signal.SIGHUP and not HANGUPS.terminal_closed:
            assert self._reload is not None, "signals are received once there is something to reload"
            self._reload.ask()
            return
        self._ended.interrupted = True
        self.stop(f"signal {number.name}")

    async def _drain(self, pipeline: Pipeline, trainer: Trainer, watch: DatabaseWatch) -> None:
        """No new request; those in flight are awaited, and runs write a checkpoint."""
        pipeline.close()
        async with anyio.create_task_group() as group:
            group.start_soon(self._cut_short, group)
            seconds = self._in_force.daemon.drain_seconds
            with anyio.move_on_after(seconds):
                async with anyio.create_task_group() as both:
                    both.start_soon(partial(watch.guard, partial(trainer.drain, seconds), waits=False))
                    both.start_soon(pipeline.drained)
            group.cancel_scope.cancel()
        if watch.writable:
            with anyio.CancelScope(shield=True):
                await pipeline.release_unsent()

    async def _cut_short(self, group: TaskGroup) -> None:
        await self._stop_now.wait()
        group.cancel_scope.cancel()
