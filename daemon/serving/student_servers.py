"""Serves the students that plans ask: starts a server where there is something to ask, restarts it, and ends it when idle.

A teacher that is a student has one server at a time, of one run. Where its plans ask several runs (a student for each
task), the plans of one run are completed first and those of the others are set aside. While its server is not there,
nothing is claimed from the teacher and nothing is sent to it.

A server takes a training device for as long as it lives (`daemon/training/loans.py`).
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack, closing
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import anyio
import anyio.to_thread
from anyio.abc import TaskStatus

from daemon import events
from daemon.catalog.served_runs import ServedRuns
from daemon.host.notify import Notifier
from daemon.sampling.context import Context
from daemon.sampling.plans import ActivePlan
from daemon.sampling.scheduler import Scheduler
from daemon.sampling.teacher import Teacher
from daemon.serving.server_process import ServerProcess, take_lock
from daemon.training.progress_reader import tail
from daemon.training.run_directory import own_directory
from daemon.training.trainer import Trainer
from engine.config import Config
from engine.errors import JobFailed
from engine.teachers.transport import make_client
from state.database import open_reader
from state.runs import run_by_id

LOOK_S = 0.2
LOOK_IDLE_S = 2.0
IDLE_S = 20.0
"""How long a server is kept without work. It ends at once where a run waits for its device."""
WAIT_S = 2.0
"""Before a server that ended is started again; doubled each time."""
TRIES = 3
"""Servers in a row that ended without an answer, after which the teacher is parked."""


@dataclass(slots=True)
class _Served:
    """The server of one teacher."""

    run: int | None = None
    """The run that it is of, or is to be of."""
    process: ServerProcess | None = None
    url: str = ""
    answers: int = 0
    """Of the teacher when it was started."""
    failures: int = 0
    not_before: float = 0.0
    idle_since: float | None = None


class Sampling(Protocol):
    """The parts that sample."""

    scheduler: Scheduler

    def park(self, teacher: Teacher, reason: str) -> None:
        """Takes a teacher out of work until the user acts."""
        ...


class StudentServers:
    """The servers of a daemon session."""

    def __init__(
        self,
        config: Callable[[], Config],
        context: Context,
        *,
        sampling: Sampling,
        trainer: Trainer,
        refresh: Callable[[], Awaitable[None]],
    ) -> None:
        """Starts nothing.

        Args:
            config: the configuration in force.
            context: the daemon session.
            sampling: has the teachers and the plans.
            trainer: has the devices.
            refresh: lets plans ask the runs that they are to ask by now.
        """
        self._config = config
        self._bus, self._clock = context.bus, context.clock
        self._scheduler, self._park = sampling.scheduler, sampling.park
        self._trainer = trainer
        self._refresh = refresh
        self._servers: dict[str, _Served] = {}
        self._clients = AsyncExitStack()
        self._changed = Notifier()
        self._look = False
        self._looking = False
        context.bus.listen(self._on_event)

    @property
    def idle(self) -> bool:
        """Whether all plans ask the runs that they are to ask by now."""
        return not (self._look or self._looking)

    async def serve(self, *, task_status: TaskStatus[None] = anyio.TASK_STATUS_IGNORED) -> None:
        """Serves students until cancelled; then no server is left."""
        task_status.started()
        try:
            while True:
                if self._look:
                    self._look, self._looking = False, True
                    await self._renew()
                    self._looking = False
                students = [teacher for teacher in self._scheduler.teachers if teacher.config.student]
                for teacher in students:
                    await self._tend(teacher, self._servers.setdefault(teacher.name, _Served()))
                await self._changed.wait(LOOK_S if students else LOOK_IDLE_S)
        finally:
            with anyio.CancelScope(shield=True):
                for served in self._servers.values():
                    await self._end(served)
                await self._clients.aclose()

    def _on_event(self, event: events.Event) -> None:
        kinds = events.ThresholdReached | events.RunFinished | events.RunFailed | events.RunStopped
        if isinstance(event, kinds | events.EvaluatedAgain):
            students = {teacher.config.student for teacher in self._scheduler.teachers}
            if event.student in students:
                self._look = True
                self._changed.notify()

    async def _renew(self) -> None:
        """Has plans begin, or begin anew, whose student has another run for them now."""
        found = await anyio.to_thread.run_sync(self._served_now)
        plans = self._scheduler.plans
        for plan in plans:
            if plan.waits_for and plan.id in found:
                plan.waits_for = found[plan.id][1] or plan.waits_for  # it begins by the refresh
        if any(plan.id in found and found[plan.id][0] != plan.served for plan in plans):
            await self._refresh()

    def _served_now(self) -> dict[int, tuple[int | None, str]]:
        """The run that each plan is to ask, and what it waits for."""
        config = self._config()
        with closing(open_reader(config.database)) as connection:
            runs = ServedRuns.stored(connection, config)
        found = {}
        for plan in self._scheduler.plans:
            run = runs.of(plan.config, plan.task)
            found[plan.id] = (run.id if run else None, runs.waits_for(plan.config, plan.task))
        return found

    def _plans(self, teacher: Teacher) -> list[ActivePlan]:
        plans = self._scheduler.plans
        return [plan for plan in plans if plan.served is not None and teacher.name in plan.all_teachers]

    def _waits(self, teacher: Teacher) -> str:
        plans = self._scheduler.plans
        waits = (plan.waits_for for plan in plans if plan.waits_for and teacher.name in plan.all_teachers)
        return next((f"waits for {what}" for what in waits), "")

    def _wanted(self, teacher: Teacher) -> list[int]:
        """The runs of which plans have something to ask now."""
        if not teacher.available or self._scheduler.closed:
            return []
        policy = self._scheduler.budget_policy
        runs = {
            plan.served: None
            for plan in self._plans(teacher)
            if not (plan.done or plan.state.paused or plan.state.disabled or plan.state.held)
            and not self._scheduler.waits(plan)
            and plan.id not in policy.spent
            and plan.id not in policy.short
        }
        return [run for run in runs if run is not None]

    async def _tend(self, teacher: Teacher, served: _Served) -> None:
        """Does what is next for a teacher: ends its server, starts one, or connects to it."""
        now = self._clock.monotonic()
        if served.process is not None and (code := served.process.ended()) is not None:
            await self._died(teacher, served, code)
        wanted = self._wanted(teacher)
        if served.run in wanted:
            served.idle_since = None
        elif not teacher.in_flight:
            since = served.idle_since = served.idle_since or now
            over = served.process is None or self._trainer.queued or now - since > IDLE_S
            if (wanted or over) and not self._scheduler.closed:
                teacher.health.absent = "its server ends"  # from here on nothing is sent
                await self._end(served)
                served.run = wanted[0] if wanted else None
        self._set_aside(teacher, served)
        if served.run is None:
            self._trainer.loans.give_back(teacher.name)
            teacher.health.absent = self._waits(teacher) or "not served: no plan asks it"
        elif served.process is None:
            await self._start(teacher, served)
        elif not served.url and (url := served.process.url()):
            await self._connect(teacher, served, url)

    def _set_aside(self, teacher: Teacher, served: _Served) -> None:
        """Takes plans of other runs out of the queue, and returns those of this one."""
        changed = [
            plan.state.send_away(served.run is not None and plan.served != served.run)
            for plan in self._plans(teacher)
        ]
        if any(changed):
            self._scheduler.hold_or_return()
            self._scheduler.changed.notify()

    async def _start(self, teacher: Teacher, served: _Served) -> None:
        assert served.run is not None
        config, student = self._config(), teacher.config.student
        if self._clock.monotonic() < served.not_before or self._scheduler.closed:
            return
        device = self._trainer.loans.ask(teacher.name)
        if device is None:
            teacher.health.absent = f"run {served.run} is not served yet: runs in training use all devices"
            self._trainer.changed.notify()
            return
        try:
            directory = await anyio.to_thread.run_sync(self._directory, served.run)
            lock = await anyio.to_thread.run_sync(take_lock, config.runs / f"serve-{student}.lock")
        except (JobFailed, OSError) as error:
            self._park(teacher, str(error))
            return
        if isinstance(lock, str):  # it may take long, and a run can have the device meanwhile
            teacher.health.absent = lock
            self._trainer.loans.give_back(teacher.name)
            return
        rate = config.daemon.usd_per_device_hour or 0.0
        try:
            served.process = await anyio.to_thread.run_sync(
                ServerProcess, directory, student, device, rate, lock
            )
        except OSError as error:
            self._park(teacher, f"the server of run {served.run} cannot be started: {error}")
            return
        served.answers = _answers(teacher)
        teacher.health.absent = f"the server of run {served.run} is starting"

    async def _connect(self, teacher: Teacher, served: _Served, url: str) -> None:
        served.url = url
        client = make_client(teacher.config, base_url=url)
        await self._clients.enter_async_context(client)
        teacher.transport.connect(client, url)
        teacher.health.forget()
        teacher.health.absent = ""
        device = self._trainer.loans.ask(teacher.name)
        self._bus.emit(
            events.StudentServed(
                teacher=teacher.name,
                student=teacher.config.student,
                run_id=served.run or 0,
                device=device.name if device else "",
            )
        )
        teacher.changed.notify()
        self._scheduler.changed.notify()

    async def _died(self, teacher: Teacher, served: _Served, code: int) -> None:
        assert served.process is not None
        teacher.health.absent = f"the server of run {served.run} ended (exit {code})"
        said = await anyio.to_thread.run_sync(tail, served.process.log)
        await self._end(served)
        served.failures = 1 if _answers(teacher) > served.answers else served.failures + 1
        served.not_before = self._clock.monotonic() + WAIT_S * (2.0 ** (served.failures - 1) - 1)
        reason = f"the server of run {served.run} ended (exit {code}): {said or 'it said nothing'}"
        if served.failures >= TRIES:
            served.failures = 0
            self._park(teacher, reason)
        else:
            self._bus.emit(events.StudentServerEnded(teacher=teacher.name, reason=reason))

    async def _end(self, served: _Served) -> None:
        if served.process is not None:
            await anyio.to_thread.run_sync(served.process.end)
        served.process, served.url, served.idle_since = None, "", None

    def _directory(self, run_id: int) -> Path:
        """The directory of a run.

        Raises:
            JobFailed: its student is gone.
        """
        config = self._config()
        with closing(open_reader(config.database)) as connection:
            run = run_by_id(connection, run_id)
            directory = own_directory(connection, config, run) if run else None
        if directory is None or not (directory / "student").is_dir():
            raise JobFailed(f"the student of run {run_id} is gone: {config.runs / str(run_id)} has none")
        return directory


def _answers(teacher: Teacher) -> int:
    return sum(teacher.meters.latencies.counts)
