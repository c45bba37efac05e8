"""The daemon's life: sets everything up, runs it under one task group, and ends it in order.

Order of ending: no new claims and jobs; what is in flight is awaited up to `drain_seconds`; the rest is
cancelled (and stored as unknown); the last events, pulse and commit. A child that dies ends the daemon,
which says which one it was. The components do not know the service; it wires them.
"""

from __future__ import annotations

import os
import random
import signal
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from functools import partial

import anyio
import anyio.to_thread
from anyio.abc import TaskGroup, TaskStatus

from daemon import events
from daemon.carrier import Carrier
from daemon.claimer import Claimer
from daemon.clock import Clock, SystemClock
from daemon.control import Control
from daemon.delays import Delays
from daemon.desk import Desk
from daemon.devices import Device, find_devices
from daemon.files import raise_limit, share
from daemon.heartbeat import EventLog, Heartbeat, LagMeter
from daemon.http import serve_http
from daemon.lane import Lane
from daemon.limits import KeyLimits
from daemon.planner import Planner
from daemon.practice import serve_practice
from daemon.reload import Opening, Reload
from daemon.resuming import grade_missing, take_up
from daemon.setup import Catalog, Input, make_ledger, read_input, synchronise
from daemon.trainer import Trainer
from daemon.work import Work
from engine.config import Config, TeacherConfig
from engine.errors import CoterieError
from engine.teachers.client import TeacherClient
from engine.teachers.keys import TeacherKey
from state.boots import end_boot
from state.catalog import park_teacher
from state.database import open_writer
from state.events import EventRow
from state.health import examine_after_crash
from state.tables import Teacher
from state.writer import Writer

Child = Callable[..., Awaitable[None]]
"""Something that serves until it is cancelled, and says when it is ready."""


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
    ) -> None:
        self._config = config
        self._until_idle = until_idle
        self._tell = tell
        self._reread = reread
        self._reload: Reload | None = None
        self._clock = clock or SystemClock()
        self._bus = events.Bus()
        self._ended = Ended()
        self._stop_asked = anyio.Event()
        self._stop_now = anyio.Event()
        self._state = "starting"
        self._files = 0

    async def run(self) -> Ended:
        """Runs to the end; the caller holds the lock.

        Raises:
            CoterieError: the input is wrong, or a part of the daemon died.
        """
        signal.signal(signal.SIGHUP, signal.SIG_IGN)  # until there is something to read anew for
        given = await anyio.to_thread.run_sync(read_input, self._config)
        note = await anyio.to_thread.run_sync(examine_after_crash, self._config.database)
        devices = find_devices(self._config.daemon.devices) if self._config.students else []
        connection = await anyio.to_thread.run_sync(open_writer, self._config.database)
        catalog = await anyio.to_thread.run_sync(synchronise, self._config, given)
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
                if note:
                    self._bus.emit(events.Noted(what=note))
                for event in catalog.news:
                    self._bus.emit(event)
                try:
                    await self._work(catalog, given, writer, devices)
                finally:
                    log.close()
                    writer.close()
            end_boot(connection, catalog.boot.id, self._ended.reason)
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
        ledger = make_ledger(config, catalog)
        async with AsyncExitStack() as stack, anyio.create_task_group() as group:
            open_client = partial(self._client, stack, group)
            desks = [
                self._desk(catalog.teachers[name], teacher, *await open_client(name, teacher))
                for name, teacher in config.teachers.items()
            ]
            claimer = Claimer(
                boot_id=catalog.boot.id,
                writer=writer,
                ledger=ledger,
                bus=self._bus,
                desks=desks,
                plans=catalog.plans,
            )
            delays = Delays(clock, claimer.deliver)

            def on_park(desk: Desk) -> None:
                group.start_soon(self._desk_parked, desk, claimer, carrier, writer)

            carrier = Carrier(
                boot_id=catalog.boot.id,
                writer=writer,
                ledger=ledger,
                bus=self._bus,
                clock=clock,
                rng=random.Random(),
                delays=delays,
                out_of_money=claimer.hold_for_money,
                parked=on_park,
            )
            for desk in desks:
                keys = given.keys[desk.name] or (TeacherKey("", None),)
                desk.lanes = [self._lane(desk, key, carrier) for key in keys]
            self._share_files(desks)
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
                desks=desks,
                lag=lag,
                bus=self._bus,
                state=lambda: self._shown_state(claimer),
                notice=lambda: writer.trouble or "; ".join(sorted(set(claimer.short.values()))),
                waiting=lambda: len(delays),
            )
            control = Control(
                config.database,
                writer=writer,
                clock=clock,
                bus=self._bus,
                claimer=claimer,
                planner=planner,
                trainer=trainer,
                stop=self.stop,
            )

            async def open_lane(desk: Desk, key: TeacherKey) -> None:
                lane = self._lane(desk, key, carrier)
                desk.lanes.append(lane)
                self._share_files(claimer.desks)
                await group.start(partial(_named, f"{desk.name} lane", lane.serve), name=f"{desk.name} lane")

            self._reload = reload = Reload(
                config,
                reread=self._reread,
                catalog=catalog,
                given=given,
                writer=writer,
                clock=clock,
                bus=self._bus,
                ledger=ledger,
                claimer=claimer,
                carrier=carrier,
                planner=planner,
                trainer=trainer,
                opening=Opening(client=open_client, desk=self._desk, lane=open_lane),
            )
            self._state = "running"
            await grade_missing(config.database, writer, catalog.plans)
            await take_up(config.database, claimer, catalog.plans)
            for name, serve in (
                ("signals", self._signals),
                ("reload", reload.serve),
                ("lag meter", lag.serve),
                ("heartbeat", heartbeat.serve),
                ("trainer", trainer.serve),
                ("planner", planner.serve),
                ("delays", delays.serve),
                ("control", control.serve),
                ("claimer", claimer.serve),
                *((f"{desk.name} lane", lane.serve) for desk in desks for lane in desk.lanes),
            ):
                await group.start(partial(_named, name, serve), name=name)
            if config.daemon.http:
                await group.start(serve_http, config.daemon.http, config.database, name="http")
            work = Work(
                config, bus=self._bus, claimer=claimer, delays=delays, planner=planner, trainer=trainer
            )
            group.start_soon(work.tell_completions, name="completions")
            if self._until_idle:
                group.start_soon(self._watch_idle, work, name="idle watch")
            await self._stop_asked.wait()
            await self._drain(claimer, carrier, trainer)
            await heartbeat.beat()
            group.cancel_scope.cancel()

    async def _client(
        self,
        stack: AsyncExitStack,
        group: TaskGroup,
        name: str,
        teacher: TeacherConfig,
        url: str | None = None,
    ) -> tuple[TeacherClient, str | None]:
        """A teacher's client, and the address of its process where it is built in and has none yet."""
        if teacher.builtin and url is None:
            url = await group.start(serve_practice, name, teacher, name=name)
        return await stack.enter_async_context(TeacherClient(teacher, base_url=url)), url

    def _desk(self, row: Teacher, config: TeacherConfig, client: TeacherClient, url: str | None) -> Desk:
        assert row.id is not None
        desk = Desk(row.id, row.name, config, client, self._clock.monotonic())
        desk.url = url
        desk.paused = row.state == "paused"
        return desk

    def _lane(self, desk: Desk, key: TeacherKey, carrier: Carrier) -> Lane:
        limits = KeyLimits(
            self._clock.monotonic(),
            requests_per_minute=desk.config.requests_per_minute,
            tokens_per_minute=desk.config.tokens_per_minute,
            concurrency=desk.config.concurrency,
        )
        return Lane(desk, key, limits, self._clock, carrier.carry)

    def _share_files(self, desks: list[Desk]) -> None:
        """Bounds the connections of each key, so that open files are left for everything else."""
        each = share(self._files, sum(len(desk.lanes) for desk in desks))
        for desk in desks:
            for lane in desk.lanes:
                lane.limits.concurrency.bound(each)
            if (desk.config.concurrency or 0) > each:
                self._bus.emit(
                    events.Noted(
                        what=f"teachers.{desk.name}.concurrency = {desk.config.concurrency} is cut to {each}: this process"
                        f" may have {self._files} open files (ulimit -n; LimitNOFILE under systemd)"
                    )
                )

    async def _desk_parked(self, desk: Desk, claimer: Claimer, carrier: Carrier, writer: Writer) -> None:
        await writer.do(park_teacher, (desk.id, desk.parked))
        self._bus.emit(events.TeacherParked(teacher=desk.name, reason=desk.parked))
        moved = claimer.hand_over(desk)
        await carrier.release_all([job for job, _ in moved], desk)
        for job, other in moved:
            other.push(job)

    async def _watch_idle(self, work: Work) -> None:
        """Ends the daemon when nothing is left to do, or nothing that can be done without a person."""
        await work.idle()
        self._ended.troubles = work.troubles()
        self.stop("nothing can go on without a person" if self._ended.troubles else "nothing is left to do")

    def _shown_state(self, claimer: Claimer) -> str:
        if self._stop_asked.is_set():
            return "draining"
        if claimer.plans and all(plan.paused for plan in claimer.plans):
            return "paused"
        return self._state

    async def _signals(self, *, task_status: TaskStatus[None] = anyio.TASK_STATUS_IGNORED) -> None:
        on_terminal = os.isatty(0)
        with anyio.open_signal_receiver(signal.SIGINT, signal.SIGTERM, signal.SIGHUP) as received:
            task_status.started()
            async for number in received:
                # A terminal that was closed sends the same signal as `kill -HUP`: then nobody asked to read anew.
                if number == signal.SIGHUP and not (on_terminal and not os.isatty(0)):
                    if self._reload is not None:
                        self._reload.ask()
                    continue
                self._ended.interrupted = True
                self.stop(f"signal {number.name}")

    async def _drain(self, claimer: Claimer, carrier: Carrier, trainer: Trainer) -> None:
        """No new request; those in flight are awaited, runs are asked for a checkpoint."""
        claimer.close()
        for desk in claimer.desks:
            for lane in desk.lanes:
                lane.close()
        async with anyio.create_task_group() as group:
            group.start_soon(self._cut_short, group)
            seconds = (self._reload.config if self._reload else self._config).daemon.drain_seconds
            with anyio.move_on_after(seconds):
                async with anyio.create_task_group() as both:
                    both.start_soon(trainer.drain, seconds)
                    both.start_soon(self._await_flight, claimer.desks)
            group.cancel_scope.cancel()
        with anyio.CancelScope(shield=True):
            await claimer.closed_for_good.wait()
            for desk in claimer.desks:
                await carrier.release_all(desk.take_out(lambda job: True), desk)
            for job in claimer.held_back():
                await carrier.release(job, claimer.desk_of(job))

    async def _await_flight(self, desks: list[Desk]) -> None:
        while any(desk.in_flight for desk in desks):
            await self._clock.sleep(0.02)

    async def _cut_short(self, group: TaskGroup) -> None:
        await self._stop_now.wait()
        group.cancel_scope.cancel()


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
