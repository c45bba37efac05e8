"""Starts, follows, adopts and stops student runs: one at a time on each device, or as jobs of a Slurm cluster.

A run's process or job outlives the daemon: the next daemon finds it by what it wrote into its directory. A run whose process
died is resumed from its checkpoint, until `max_run_tries` tries in a row have made no new one; one that ran out of
memory is resumed with its micro-batches computed in more parts. The trainer never imports what the process
imports.
"""

from __future__ import annotations

from contextlib import closing
from dataclasses import replace
from functools import partial
from pathlib import Path

import anyio
import anyio.to_thread
from anyio.abc import TaskStatus

from daemon import events
from daemon.host.clock import Clock
from daemon.host.notify import Notifier
from daemon.host.processes import killed_for_memory, start_time
from daemon.training.devices import Device, threads_of
from daemon.training.disk_room import NO_ROOM, check_room
from daemon.training.lineage import check_sources, waits_for
from daemon.training.loans import DeviceLoans
from daemon.training.placement import free_devices, named_devices, prepare, spawn, training_now
from daemon.training.presence import Presence, owner_for
from daemon.training.progress_reader import follow
from daemon.training.run_directory import own_directory, previous_of, shown_directory
from daemon.training.run_endings import RunEndings
from daemon.training.run_process import RunProcess, find_process
from daemon.training.slurm_jobs import SlurmJobs, SlurmRun, find_job
from engine.config import Config, TrainingConfig
from engine.errors import ConfigError, JobFailed, TaskDataError
from engine.methods import METHODS
from engine.students.run_commands import STOP, ask_to_finish, read_launch, send_command, write_share
from engine.students.slurm import SlurmBusy, submit
from state.database import now_ms, open_reader
from state.enums import TRAIN, RunState
from state.run_reports import report_run
from state.runs import (
    RunEnd,
    RunRow,
    RunStart,
    end_run,
    start_run,
    unfinished,
)
from state.writer import Writer

TICK_S = 0.25
TERM_GRACE_S = 60.0


class Trainer:
    """The queue of runs and their processes."""

    def __init__(
        self,
        config: Config,
        *,
        boot_id: int,
        writer: Writer,
        bus: events.Bus,
        clock: Clock,
        devices: list[Device],
    ) -> None:
        self._config = config
        self._boot_id = boot_id
        self._writer = writer
        self._bus = bus
        self._clock = clock
        self._devices = devices
        self._processes: dict[int, RunProcess] = {}
        self._stopping = False
        self._presence = Presence(clock)
        self._endings = RunEndings(config.database, writer, bus)
        self._jobs = SlurmJobs(lambda what: bus.emit(events.Noted(what=what)))
        self.queued = 0
        self.loans = DeviceLoans()
        self.changed = Notifier()

    @property
    def idle(self) -> bool:
        """Whether no run is queued and none has a process."""
        return not self._processes and self.queued == 0

    @property
    def active(self) -> list[int]:
        """Ids of the runs that have a process."""
        return list(self._processes)

    def configure(self, config: Config, devices: list[Device]) -> None:
        """Takes another configuration over; `devices` where there were none, since there were no students."""
        self._config = config
        self._devices = self._devices or devices
        self._presence.again()  # `orphan_hours` may be another
        self.changed.notify()

    @property
    def devices(self) -> list[Device]:
        """The devices to train on; none where there were no students."""
        return self._devices

    async def serve(self, *, task_status: TaskStatus[None] = anyio.TASK_STATUS_IGNORED) -> None:
        """Adopts the runs that an earlier daemon left, then starts queued ones, until cancelled."""
        async with anyio.create_task_group() as group:
            group.start_soon(self._jobs.serve, self.changed)
            await self._adopt()
            task_status.started()
            while True:
                if self.loans.grant(self._devices, self._in_use()):
                    await self._share_threads()
                if not self._stopping:
                    await self._start_queued()
                for run in list(self._processes.values()):
                    await self._follow(run)
                await self._presence.show(self._config, self._processes.values())
                await self.changed.wait(TICK_S if self._processes or self.queued else 2.0)

    async def stop_run(self, run_id: int) -> bool:
        """Stops a run at its next step, for good; False where it neither has a process nor is queued."""
        if run := self._processes.get(run_id):
            run.stop_for("user", self._clock.monotonic())
            return True
        rows = await anyio.to_thread.run_sync(self._unfinished)
        if any(row.id == run_id for row in rows):
            await self._writer.do(end_run, RunEnd(run_id=run_id, state=RunState.STOPPED))
            self.changed.notify()
            return True
        return False

    async def finish_run(self, run_id: int) -> bool:
        """Has a run end at its next step, exported and tested; False where it has not begun to train, or has ended."""
        rows = await anyio.to_thread.run_sync(self._unfinished)
        row = next((row for row in rows if row.id == run_id), None)
        if row is None or row.kind != TRAIN or not METHODS[row.settings.student["method"]].trains:
            return False
        directory = await anyio.to_thread.run_sync(self._own_directory, row)
        if directory is not None and (run_id in self._processes or row.started_at is not None):
            await anyio.to_thread.run_sync(ask_to_finish, directory)
            return True
        return False

    async def drain(self, seconds: float) -> None:
        """Asks local runs for a checkpoint and waits until they ended; those that did not, and jobs, are left running."""
        self._stopping = True
        for run in self._processes.values():
            if run.local:
                run.stop_for("daemon", self._clock.monotonic())
        self.changed.notify()
        with anyio.move_on_after(seconds):
            while any(run.local for run in self._processes.values()):
                await self._clock.sleep(0.1)

    async def _adopt(self) -> None:
        for row in await anyio.to_thread.run_sync(self._unfinished):
            if await self._take_over(row):
                continue
            if row.state == RunState.QUEUED:
                continue
            directory = await anyio.to_thread.run_sync(self._own_directory, row)
            if directory is None:  # it starts again, and what is there is set aside
                self._endings.note(
                    row, f"{self._config.runs / str(row.id)} is gone, or not its own: the run starts again"
                )
                await self._endings.requeue(row, tries=max(0, row.tries - 1))
                continue
            # It may have ended in order while no daemon was running: its last event decides.
            run = RunProcess(row=row, directory=directory)
            self._processes[row.id] = run
            await self._follow(run)

    async def _take_over(self, row: RunRow) -> bool:
        """Follows the process that trains this run; False where there is none. Never starts a second one."""
        own = await anyio.to_thread.run_sync(self._own_directory, row)
        directory = own or self._config.runs / str(row.id)
        if own is not None and (followed := await self._take_over_job(row, own)) is not None:
            return followed
        found = await anyio.to_thread.run_sync(partial(find_process, row, directory, own=own is not None))
        if found is None:
            return False
        if found.obstacle:
            self._endings.waits(row, f"{found.obstacle}: it waits until that has ended")
            return row.state == RunState.QUEUED
        wanted = int(row.settings.student["training"]["devices"])
        if row.state == RunState.QUEUED:  # stopped, and asked for again before its process has ended
            (directory / STOP).unlink(missing_ok=True)
        run = RunProcess(
            row=row,
            directory=directory,
            devices=named_devices(found.devices, wanted, self._devices),
            pid=found.pid,
            pid_started=found.started,
            launched=read_launch(directory) is not None,
        )
        self._processes[row.id] = run
        if run.stop:  # its daemon died before it ended
            run.stop_for(run.stop, self._clock.monotonic())
        if not found.known:
            await self._store_start(run, row.tries + (row.state == RunState.QUEUED))
        self._presence.again()
        self._log_started(run, "is still running")
        await self._share_threads()
        return True

    async def _take_over_job(self, row: RunRow, directory: Path) -> bool | None:
        """Follows the Slurm job of a run; None if it has none, False if Slurm does not say and the run has to wait."""
        try:
            job = await find_job(directory)
        except SlurmBusy as error:
            self._endings.waits(row, f"Slurm does not say whether it has a job ({error})")
            return row.state == RunState.QUEUED
        if job is None:
            return None
        if row.state == RunState.QUEUED:
            (directory / STOP).unlink(missing_ok=True)
        run = SlurmRun(row=row, directory=directory, jobs=self._jobs, job=job)
        self._processes[row.id] = run
        if run.stop:
            run.stop_for(run.stop, self._clock.monotonic())
        if row.device != run.where:
            await self._store_start(run, row.tries + (row.state == RunState.QUEUED))
        self._presence.again()
        self._log_started(run, "is still running")
        return True

    def _own_directory(self, row: RunRow) -> Path | None:
        with closing(open_reader(self._config.database)) as connection:
            return own_directory(connection, self._config, row)

    def _unfinished(self) -> list[RunRow]:
        with closing(open_reader(self._config.database)) as connection:
            return unfinished(connection)

    async def _start_queued(self) -> None:
        rows = [
            row for row in await anyio.to_thread.run_sync(self._unfinished) if row.state == RunState.QUEUED
        ]
        self.queued, full = len(rows), False
        for row in rows:
            if waits_for(row, [*rows, *(run.row for run in self._processes.values())]):
                continue
            try:
                check_sources(row)
                training = training_now(row, self._config, self._devices)
            except (JobFailed, ConfigError) as error:  # a source has no student, its hostfile is gone
                await self._endings.fail(row, str(error))
                continue
            slurm = training.executor == "slurm"
            devices = free_devices(training, self._devices, {device.name for device in self._in_use()})
            if not slurm and (full or not devices):
                full = True  # in order: a later, smaller run does not overtake
                continue
            if await self._take_over(row):
                self.queued -= row.id in self._processes
                continue
            if not await (self._submit(row, training) if slurm else self._start(row, training, devices)):
                full = True
                continue
            self.queued -= 1

    def _in_use(self) -> list[Device]:
        return [*self.loans.devices, *(device for run in self._processes.values() for device in run.devices)]

    async def _share_threads(self) -> None:
        """Tells each run its part of the CPU, which depends on what else runs."""
        busy = self._in_use()
        for run in list(self._processes.values()):
            if run.devices and not run.launched and (threads := threads_of(run.devices, busy)) != run.threads:
                run.threads = threads
                await anyio.to_thread.run_sync(write_share, run.directory, threads)

    async def _start(self, row: RunRow, training: TrainingConfig, devices: tuple[Device, ...]) -> bool:
        """Starts a run; False where the disk has no room for its directory, and it waits."""
        kills = killed_for_memory()
        threads = threads_of(devices, [*devices, *self._in_use()])
        notes: list[str] = []
        try:
            await anyio.to_thread.run_sync(check_room, self._config.runs / str(row.id))
            owner = owner_for(self._config, devices)
            directory, ranks = await anyio.to_thread.run_sync(
                spawn, row, self._config, training, devices, threads, owner, notes.append
            )
        except (JobFailed, ConfigError, TaskDataError, OSError) as error:
            return await self._not_started(row, error)
        finally:
            for note in notes:
                self._endings.note(row, note)
        leader = ranks[0].pid
        run = RunProcess(
            row=row,
            devices=devices,
            directory=directory,
            pid=leader,
            pid_started=start_time(leader) or 0.0,
            ranks=ranks,
            began=row.progress_offset,
            launched=bool(training.hostfile),
            kills=kills,
        )
        self._processes[row.id] = run
        await self._share_threads()
        await self._store_start(run, row.tries + 1)
        self._log_started(run, "started" if row.started_at is None else "resumed")
        return True

    async def _submit(self, row: RunRow, training: TrainingConfig) -> bool:
        """Submits a run to Slurm; False where it has to wait."""
        notes: list[str] = []
        owner = owner_for(self._config, ())
        try:
            await anyio.to_thread.run_sync(check_room, self._config.runs / str(row.id))
            directory = await anyio.to_thread.run_sync(prepare, row, self._config, owner, notes.append)
            job = await anyio.to_thread.run_sync(submit, row.id, directory, training)
        except (JobFailed, ConfigError, TaskDataError, OSError, SlurmBusy) as error:
            return await self._not_started(row, error)
        finally:
            for note in notes:
                self._endings.note(row, note)
        run = SlurmRun(row=row, directory=directory, jobs=self._jobs, job=job)
        self._processes[row.id] = run
        await self._store_start(run, row.tries + 1)
        self._log_started(run, "submitted")
        return True

    async def _not_started(self, row: RunRow, error: Exception) -> bool:
        """Fails a run that could not be started; False where it waits: for room on the disk, or for Slurm."""
        if isinstance(error, OSError) and error.errno in NO_ROOM:
            self._endings.waits(row, f"{error}; it waits until there is room on the disk")
            return False
        if isinstance(error, SlurmBusy):
            self._endings.waits(row, f"{error}; it waits until Slurm takes its job")
            return False
        await self._endings.fail(row, str(error))
        return True

    async def _store_start(self, run: RunProcess, tries: int) -> None:
        start = RunStart(
            run_id=run.row.id,
            directory=shown_directory(self._config, run.directory),
            device=run.where,
            pid=run.pid or None,
            pid_started=run.pid_started or None,
            boot_id=self._boot_id,
            tries=tries,
            started_at=run.row.started_at or now_ms(),
            previous=await anyio.to_thread.run_sync(previous_of, run.row, run.directory),
        )
        await self._writer.do(start_run, start)
        run.row = replace(run.row, tries=tries)

    async def _follow(self, run: RunProcess) -> None:
        alive = run.alive()  # asked first: what it wrote before it ended is read below
        try:
            await self._read(run)
        except (KeyError, TypeError, ValueError) as error:  # this run's fault, not the daemon's
            if alive:
                run.kill()
            await self._endings.fail(
                run.row, f"its progress.jsonl cannot be read ({type(error).__name__}: {error})"
            )
            del self._processes[run.row.id]
            return
        if news := run.news():
            self._endings.note(run.row, news)
        if alive:
            grown = self._clock.monotonic() - run.stop_since
            if run.stop and grown > TERM_GRACE_S:
                run.kill()
            return
        if run.launched:
            await anyio.to_thread.run_sync(send_command, run.directory, "end")
        if not run.ending.kind:  # adopted: the previous daemon may have read how it ended, and died
            run.ending = await anyio.to_thread.run_sync(run.last_word)
        again = await self._endings.ended(run, self._config.daemon.max_run_tries)
        del self._processes[
            run.row.id
        ]  # after it was told: until then what follows from it is not known, and `idle` is false
        self.queued += again and not self._stopping
        await self._share_threads()
        self.changed.notify()
        run.close()

    async def _read(self, run: RunProcess) -> None:
        while True:
            followed = await anyio.to_thread.run_sync(
                follow, run.row.id, run.directory, run.offset, run.task_ids
            )
            if followed is None:
                return
            run.offset = followed.offset
            run.ending = followed.ending
            await self._writer.do(report_run, followed.report)
            for note in followed.notes:
                self._endings.note(run.row, note)

    def _log_started(self, run: RunProcess, how: str) -> None:
        self._endings.waits_no_longer(run.row)
        self._bus.emit(
            events.RunStarted(
                run_id=run.row.id,
                student=run.row.student,
                scope=run.row.scope,
                pid=run.pid,
                how=how,
                job=run.job.job if isinstance(run, SlurmRun) else None,
            )
        )
