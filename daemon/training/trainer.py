"""Starts, follows, adopts and stops student runs: one at a time on each device.

A run's process outlives the daemon: the next daemon finds it by pid and start time, and everything it reported is
in its directory. A run whose process died is resumed from its checkpoint, up to `max_run_tries` times; one that ran
out of memory is resumed with its micro-batches computed in more parts. The trainer never imports what the process
imports.
"""

from __future__ import annotations

import errno
import signal
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import anyio
import anyio.to_thread
from anyio.abc import TaskStatus

from daemon import events
from daemon.host.clock import Clock
from daemon.host.notify import Notifier
from daemon.host.processes import is_alive, killed_for_memory, start_time
from daemon.training.devices import Device, threads_of
from daemon.training.placement import free_devices, named_devices, spawn, training_now
from daemon.training.progress_reader import follow, last_ending, read_predictions, tail
from daemon.training.run_process import RunProcess
from engine.config import Config, TrainingConfig
from engine.errors import ConfigError, JobFailed, TaskDataError
from engine.methods import METHODS
from engine.students.run_commands import ask_to_finish, read_launch, send_command, write_share
from state.database import now_ms, open_reader
from state.enums import RunState
from state.run_reports import report_run, results_on_test, store_predictions
from state.runs import (
    RunEnd,
    RunRequeue,
    RunRow,
    RunSettings,
    RunStart,
    end_run,
    requeue_run,
    start_run,
    unfinished,
)
from state.writer import Writer

TICK_S = 0.25
TERM_GRACE_S = 60.0
MOST_SPLITS = 64


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
        self._waits_for_room = 0  # the run that was said to wait for it
        self.queued = 0
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
        self.changed.notify()

    @property
    def devices(self) -> list[Device]:
        """The devices to train on; none where there were no students."""
        return self._devices

    async def serve(self, *, task_status: TaskStatus[None] = anyio.TASK_STATUS_IGNORED) -> None:
        """Adopts the runs that an earlier daemon left, then starts queued ones, until cancelled."""
        await self._adopt()
        task_status.started()
        while True:
            if not self._stopping:
                await self._start_queued()
            for run in list(self._processes.values()):
                await self._follow(run)
            await self.changed.wait(TICK_S if self._processes or self.queued else 2.0)

    async def stop_run(self, run_id: int) -> bool:
        """Stops a run at its next step, for good; False where it neither has a process nor is queued."""
        if run := self._processes.get(run_id):
            self._ask_to_stop(run, "user")
            return True
        rows = await anyio.to_thread.run_sync(self._unfinished)
        if any(row.id == run_id for row in rows):
            await self._writer.do(end_run, RunEnd(run_id=run_id, state=RunState.STOPPED))
            self.changed.notify()
            return True
        return False

    async def finish_run(self, run_id: int) -> bool:
        """Has a run end at its next step, exported and tested; False where it has not begun to train, or has ended."""
        directory = self._config.runs / str(run_id)
        rows = await anyio.to_thread.run_sync(self._unfinished)
        row = next((row for row in rows if row.id == run_id), None)
        if row is None or not METHODS[row.settings.student["method"]].trains:
            return False
        if run_id in self._processes or (row.tries and directory.is_dir()):
            await anyio.to_thread.run_sync(ask_to_finish, directory)
            return True
        return False

    async def drain(self, seconds: float) -> None:
        """Asks every run for a checkpoint and waits until they ended; those that did not are left running."""
        self._stopping = True
        for run in self._processes.values():
            self._ask_to_stop(run, "daemon")
        self.changed.notify()
        with anyio.move_on_after(seconds):
            while self._processes:
                await self._clock.sleep(0.1)

    def _ask_to_stop(self, run: RunProcess, who: str) -> None:
        run.stop = who
        run.stop_since = self._clock.monotonic()
        run.ask_to_stop()

    async def _adopt(self) -> None:
        for row in await anyio.to_thread.run_sync(self._unfinished):
            if row.state == RunState.QUEUED:
                continue
            if row.pid is not None and row.pid_started is not None and is_alive(row.pid, row.pid_started):
                wanted = int(row.settings.student["training"]["devices"])
                run = RunProcess(
                    row=row,
                    devices=named_devices(row.device, wanted, self._devices),
                    directory=self._config.runs / str(row.id),
                    pid=row.pid,
                    pid_started=row.pid_started,
                    task_ids=_task_ids(row.settings),
                    offset=row.progress_offset,
                    launched=read_launch(self._config.runs / str(row.id)) is not None,
                )
                self._processes[row.id] = run
                self._log_started(run, "is still running")
                await self._share_threads()
            else:
                # It may have ended in order while no daemon was running: its last event decides.
                run = self._gone(row)
                await self._follow(run)

    def _gone(self, row: RunRow) -> RunProcess:
        run = RunProcess(
            row=row,
            devices=(),
            directory=self._config.runs / str(row.id),
            pid=0,
            pid_started=0.0,
            task_ids=_task_ids(row.settings),
            offset=row.progress_offset,
        )
        self._processes[row.id] = run
        return run

    def _unfinished(self) -> list[RunRow]:
        with closing(open_reader(self._config.database)) as connection:
            return unfinished(connection)

    async def _start_queued(self) -> None:
        rows = [
            row for row in await anyio.to_thread.run_sync(self._unfinished) if row.state == RunState.QUEUED
        ]
        self.queued = len(rows)
        for row in rows:
            if self._waits(row, rows):
                continue
            try:
                training = training_now(row, self._config, self._devices)
            except ConfigError as error:  # its hostfile is gone
                await self._fail(row, str(error))
                continue
            devices = free_devices(training, self._devices, self._busy())
            if not devices:
                return  # in order: a later, smaller run does not overtake
            if not await self._start(row, training, devices):
                return
            self.queued -= 1

    def _waits(self, row: RunRow, queued: list[RunRow]) -> bool:
        """Whether it starts from the student of an earlier run that has not ended."""
        if row.settings.student.get("start_from") != "previous":
            return False
        others = [*queued, *(run.row for run in self._processes.values())]
        who = row.student, row.scope
        return any((each.student, each.scope) == who and each.id < row.id for each in others)

    def _in_use(self) -> list[Device]:
        return [device for run in self._processes.values() for device in run.devices]

    def _busy(self) -> set[str]:
        return {device.name for device in self._in_use()}

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
        try:
            directory, ranks = await anyio.to_thread.run_sync(
                spawn, row, self._config, training, devices, threads
            )
        except (JobFailed, ConfigError, TaskDataError, OSError) as error:
            if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT):
                if self._waits_for_room != row.id:
                    self._note(row, f"{error}; it waits until there is room on the disk")
                self._waits_for_room = row.id
                return False
            await self._fail(row, str(error))
            return True
        leader = ranks[0].pid
        run = RunProcess(
            row=row,
            devices=devices,
            directory=directory,
            pid=leader,
            pid_started=start_time(leader) or 0.0,
            task_ids=_task_ids(row.settings),
            ranks=ranks,
            offset=row.progress_offset,
            launched=bool(training.hostfile),
            kills=kills,
        )
        self._processes[row.id] = run
        await self._share_threads()
        start = RunStart(
            run_id=row.id,
            directory=self._shown(directory),
            device=",".join(device.name for device in devices),
            pid=leader,
            pid_started=run.pid_started,
            boot_id=self._boot_id,
            tries=row.tries + 1,
            started_at=row.started_at or now_ms(),
        )
        await self._writer.do(start_run, start)
        run.row = replace(row, tries=start.tries)
        self._log_started(run, "started" if start.tries == 1 else "resumed")
        return True

    def _shown(self, directory: Path) -> str:
        """A path relative to the database where it is below its folder, so both can be moved together."""
        folder = self._config.database.parent
        return str(directory.relative_to(folder) if directory.is_relative_to(folder) else directory)

    async def _follow(self, run: RunProcess) -> None:
        alive = run.alive()  # asked first: what it wrote before it ended is read below
        await self._read(run)
        if alive:
            grown = self._clock.monotonic() - run.stop_since
            if run.stop and grown > TERM_GRACE_S:
                run.kill()
            return
        if run.launched:
            await anyio.to_thread.run_sync(send_command, run.directory, "end")
        if not run.ranks and not run.ending.kind:
            # Adopted: the previous daemon may have read how it ended, and died.
            run.ending = await anyio.to_thread.run_sync(last_ending, run.directory)
        del self._processes[run.row.id]
        await self._share_threads()
        self.changed.notify()
        await self._ended(run)

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
                self._note(run.row, note)

    async def _ended(self, run: RunProcess) -> None:
        row = run.row
        if run.ending.kind == "done":
            await self._finish(run)
        elif run.stop == "user":
            await self._writer.do(end_run, RunEnd(run_id=row.id, state=RunState.STOPPED))
            self._bus.emit(events.RunStopped(run_id=row.id, student=row.student, scope=row.scope))
        elif await self._smaller(run):
            return
        elif run.ending.kind == "failed" and not run.ending.peer:
            await self._fail(row, run.ending.message)
        elif run.ending.kind == "stopped" or run.stop == "daemon":
            # A stop in order does not use up a try.
            await self._requeue(row, tries=max(0, row.tries - 1))
            self._bus.emit(events.RunStopped(run_id=row.id, student=row.student, scope=row.scope))
        elif row.tries < self._config.daemon.max_run_tries:
            await self._requeue(row, tries=row.tries)
            self.queued += 1
        else:
            said = run.ending.message or tail(run.directory / "log.txt")
            codes = ", ".join(str(code) for code in run.codes()) or "unknown"
            await self._fail(row, f"its process died {row.tries} times (exit {codes}); log: {said}")

    async def _smaller(self, run: RunProcess) -> bool:
        """Queues a run that ran out of memory, its micro-batches split further; False where it ended for another reason.

        It uses up no try: it ends when there is nothing left to split.
        """
        killed = -signal.SIGKILL in run.codes() and run.kills is not None
        killed = killed and (killed_for_memory() or 0) > (run.kills or 0)
        if not (run.ending.memory or (killed and not run.ending.kind)):
            return False
        row, training = run.row, run.row.settings.student["training"]
        splits = 2 * row.settings.splits
        if splits > MOST_SPLITS:
            return False
        await self._requeue(row, tries=max(0, row.tries - 1), settings=replace(row.settings, splits=splits))
        self.queued += 1
        why = run.ending.message or "out of memory: the kernel killed its process"
        size = "batch_rows" if training.get("batch_rows") else "batch_tokens"
        self._note(
            row,
            f"{why}; it is resumed with each micro-batch in {splits} parts, as with {size} = "
            f"{max(1, training[size] // splits)} and accumulation = {training['accumulation'] * splits}: "
            "rows and tokens of a step stay the same",
        )
        return True

    def _note(self, row: RunRow, note: str) -> None:
        self._bus.emit(events.RunNoted(run_id=row.id, student=row.student, scope=row.scope, note=note))

    async def _finish(self, run: RunProcess) -> None:
        row = run.row
        try:
            predictions = await anyio.to_thread.run_sync(read_predictions, row.id, run.directory)
        except (OSError, ValueError, KeyError) as error:  # this run's fault, not the daemon's
            await self._fail(row, f"its predictions.jsonl cannot be read: {error}")
            return
        await self._writer.do(store_predictions, predictions)
        await self._writer.do(end_run, RunEnd(run_id=row.id, state=RunState.DONE, early=run.ending.early))
        result = await anyio.to_thread.run_sync(self._result, row.id)
        self._bus.emit(events.RunFinished(run_id=row.id, student=row.student, scope=row.scope, result=result))

    def _result(self, run_id: int) -> str:
        with closing(open_reader(self._config.database)) as connection:
            results = results_on_test(connection, run_id)
        said = [
            (f"{each.task} " if len(results) > 1 else "")
            + f"{100 * each.accuracy:.1f} % ({100 * each.low:.1f}–{100 * each.high:.1f}) on test, n = {each.n:,}"
            for each in results
        ]
        return "; ".join(said) or "no test questions"

    async def _fail(self, row: RunRow, reason: str) -> None:
        await self._writer.do(end_run, RunEnd(run_id=row.id, state=RunState.FAILED, error=reason))
        self._bus.emit(events.RunFailed(run_id=row.id, student=row.student, scope=row.scope, reason=reason))

    async def _requeue(self, row: RunRow, *, tries: int, settings: RunSettings | None = None) -> None:
        await self._writer.do(requeue_run, RunRequeue(run_id=row.id, tries=tries, settings=settings))

    def _log_started(self, run: RunProcess, how: str) -> None:
        self._bus.emit(
            events.RunStarted(
                run_id=run.row.id, student=run.row.student, scope=run.row.scope, pid=run.pid, how=how
            )
        )


def _task_ids(settings: RunSettings) -> dict[str, int]:
    return {task.name: task.id for task in settings.tasks}
