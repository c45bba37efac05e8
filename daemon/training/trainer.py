"""Starts, follows, adopts and stops student runs: one at a time on each device.

A run's process outlives the daemon: it is found again by pid and start time, and everything it
reported stands in its directory. One that died goes on from its checkpoint, up to `max_run_tries`
times; one that did not fit into the memory goes on with its micro-batches computed in more parts.
The trainer never imports what the process imports.
"""

from __future__ import annotations

import json
import signal
from contextlib import closing
from pathlib import Path
from typing import Any

import anyio
import anyio.to_thread
from anyio.abc import TaskStatus

from daemon import events
from daemon.host.clock import Clock
from daemon.host.notify import Notifier
from daemon.host.oom import killed_for_memory
from daemon.host.processes import is_alive, start_time
from daemon.training.devices import Device
from daemon.training.placement import free_devices, named_devices, spawn, training_now
from daemon.training.progress_reader import follow, last_words, read_predictions, tail
from daemon.training.run_process import RunProcess
from engine.config import Config, TrainingConfig
from engine.errors import ConfigError, JobFailed
from engine.students.run_commands import read_launch, send_command
from state.database import now_ms, open_reader
from state.enums import RunState
from state.runs import RunChange, change_run, report_run, store_predictions, unfinished
from state.writer import Writer

TICK_S = 0.25
TERM_GRACE_S = 60.0
MOST_PIECES = 64


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
        self._underway: dict[int, RunProcess] = {}
        self._stopping = False
        self.queued = 0
        self.changed = Notifier()

    @property
    def idle(self) -> bool:
        """Whether no run is queued or under way."""
        return not self._underway and self.queued == 0

    @property
    def active(self) -> list[int]:
        """Ids of the runs under way."""
        return list(self._underway)

    def configure(self, config: Config, devices: list[Device]) -> None:
        """Another configuration; `devices` where there were none, since nobody was to be trained."""
        self._config = config
        self._devices = self._devices or devices
        self.changed.notify()

    @property
    def has_devices(self) -> bool:
        """Whether something can be trained."""
        return bool(self._devices)

    async def serve(self, *, task_status: TaskStatus[None] = anyio.TASK_STATUS_IGNORED) -> None:
        """Adopts what an earlier daemon left, then starts what is queued, until cancelled."""
        await self._adopt()
        task_status.started()
        while True:
            if not self._stopping:
                await self._start_queued()
            for run in list(self._underway.values()):
                await self._follow(run)
            await self.changed.wait(TICK_S if self._underway or self.queued else 2.0)

    async def stop_run(self, run_id: int) -> bool:
        """Stops a run at its next step, for good; False where it is not under way or queued."""
        if run := self._underway.get(run_id):
            self._ask_to_stop(run, "person")
            return True
        rows = await anyio.to_thread.run_sync(self._unfinished)
        if any(row["id"] == run_id for row in rows):
            await self._change(run_id, state=RunState.STOPPED.value, ended_at=now_ms())
            self.changed.notify()
            return True
        return False

    async def drain(self, seconds: float) -> None:
        """Asks every run for a checkpoint and waits until they ended; those that did not go on alone."""
        self._stopping = True
        for run in self._underway.values():
            self._ask_to_stop(run, "daemon")
        self.changed.notify()
        with anyio.move_on_after(seconds):
            while self._underway:
                await self._clock.sleep(0.1)

    def _ask_to_stop(self, run: RunProcess, who: str) -> None:
        run.stop = who
        run.stop_since = self._clock.monotonic()
        run.ask_to_stop()

    async def _adopt(self) -> None:
        for row in await anyio.to_thread.run_sync(self._unfinished):
            if row["state"] == RunState.QUEUED:
                continue
            if is_alive(row["pid"], row["pid_started"]):
                spec = json.loads(row["spec"])
                wanted = int(spec["student"]["training"]["devices"])
                run = RunProcess(
                    row=row,
                    devices=named_devices(row["device"], wanted, self._devices),
                    directory=self._config.runs / str(row["id"]),
                    pid=row["pid"],
                    pid_started=row["pid_started"],
                    task_ids=_task_ids(spec),
                    offset=row["progress_offset"],
                    launched=read_launch(self._config.runs / str(row["id"])) is not None,
                )
                self._underway[row["id"]] = run
                self._tell_started(run, "was found alive")
            else:
                # It may have ended in order while no daemon was there: its last words decide.
                run = self._gone(row)
                await self._follow(run)

    def _gone(self, row: dict[str, Any]) -> RunProcess:
        run = RunProcess(
            row=row,
            devices=(),
            directory=self._config.runs / str(row["id"]),
            pid=0,
            pid_started=0.0,
            task_ids=_task_ids(json.loads(row["spec"])),
            offset=row["progress_offset"],
        )
        self._underway[row["id"]] = run
        return run

    def _unfinished(self) -> list[dict[str, Any]]:
        with closing(open_reader(self._config.database)) as connection:
            return unfinished(connection)

    async def _start_queued(self) -> None:
        rows = [
            row for row in await anyio.to_thread.run_sync(self._unfinished) if row["state"] == RunState.QUEUED
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
            await self._start(row, training, devices)
            self.queued -= 1

    def _waits(self, row: dict[str, Any], queued: list[dict[str, Any]]) -> bool:
        """Whether it starts from what an earlier run becomes that has not ended."""
        if json.loads(row["spec"])["student"].get("start_from") != "previous":
            return False
        others = [*queued, *(run.row for run in self._underway.values())]
        who = row["student"], row["scope"]
        return any((each["student"], each["scope"]) == who and each["id"] < row["id"] for each in others)

    def _busy(self) -> set[str]:
        return {device.name for run in self._underway.values() for device in run.devices}

    async def _start(
        self, row: dict[str, Any], training: TrainingConfig, devices: tuple[Device, ...]
    ) -> None:
        spec = json.loads(row["spec"])
        kills = killed_for_memory()
        try:
            directory, ranks = await anyio.to_thread.run_sync(spawn, row, self._config, training, devices)
        except (JobFailed, ConfigError, OSError) as error:
            await self._fail(row, str(error))
            return
        leader = ranks[0].pid
        run = RunProcess(
            row=row,
            devices=devices,
            directory=directory,
            pid=leader,
            pid_started=start_time(leader) or 0.0,
            task_ids=_task_ids(spec),
            ranks=ranks,
            offset=row["progress_offset"],
            launched=bool(training.hostfile),
            kills=kills,
        )
        self._underway[row["id"]] = run
        await self._change(
            row["id"],
            state=RunState.STARTING.value,
            phase="starting",
            directory=self._shown(directory),
            device=",".join(device.name for device in devices),
            pid=leader,
            pid_started=run.pid_started,
            boot_id=self._boot_id,
            tries=row["tries"] + 1,
            started_at=row["started_at"] or now_ms(),
            error=None,
        )
        row["tries"] += 1
        self._tell_started(run, "started" if row["tries"] == 1 else "goes on")

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
            # Adopted: the daemon before may have read how it ended, and died.
            run.ending = await anyio.to_thread.run_sync(last_words, run.directory)
        del self._underway[run.row["id"]]
        self.changed.notify()
        await self._ended(run)

    async def _read(self, run: RunProcess) -> None:
        while True:
            followed = await anyio.to_thread.run_sync(
                follow, run.row["id"], run.directory, run.offset, run.task_ids
            )
            if followed is None:
                return
            run.offset = followed.report.values["progress_offset"]
            run.ending = followed.ending
            await self._writer.do(report_run, followed.report)
            for note in followed.notes:
                self._note(run.row, note)

    async def _ended(self, run: RunProcess) -> None:
        row = run.row
        if run.ending.kind == "done":
            await self._finish(run)
        elif run.stop == "person":
            await self._change(row["id"], state=RunState.STOPPED.value, pid=None, ended_at=now_ms())
            self._bus.emit(events.RunStopped(run_id=row["id"], student=row["student"], scope=row["scope"]))
        elif await self._smaller(run):
            return
        elif run.ending.kind == "failed" and not run.ending.peer:
            await self._fail(row, run.ending.message)
        elif run.ending.kind == "stopped" or run.stop == "daemon":
            # A stop in order does not use up a try.
            await self._change(
                row["id"], state=RunState.QUEUED.value, pid=None, tries=max(0, row["tries"] - 1)
            )
            self._bus.emit(events.RunStopped(run_id=row["id"], student=row["student"], scope=row["scope"]))
        elif row["tries"] < self._config.daemon.max_run_tries:
            await self._change(row["id"], state=RunState.QUEUED.value, pid=None)
            self.queued += 1
        else:
            said = run.ending.message or tail(run.directory / "log.txt")
            codes = ", ".join(str(code) for code in run.codes()) or "unknown"
            await self._fail(row, f"its process died {row['tries']} times (exit {codes}); log: {said}")

    async def _smaller(self, run: RunProcess) -> bool:
        """Queues a run that did not fit into the memory, with smaller passes; false where that is not why it ended.

        It uses up no try: it ends when there is nothing left to divide.
        """
        killed = -signal.SIGKILL in run.codes() and run.kills is not None
        killed = killed and (killed_for_memory() or 0) > (run.kills or 0)
        if not (run.ending.memory or (killed and not run.ending.kind)):
            return False
        row, spec = run.row, json.loads(run.row["spec"])
        training = spec["student"]["training"]
        pieces = 2 * spec.get("pieces", 1)
        if pieces > MOST_PIECES:
            return False
        await self._change(
            row["id"],
            state=RunState.QUEUED.value,
            pid=None,
            tries=max(0, row["tries"] - 1),
            spec=json.dumps({**spec, "pieces": pieces}),
        )
        self.queued += 1
        why = run.ending.message or "out of memory: the kernel killed its process"
        self._note(
            row,
            f"{why}; it goes on with each micro-batch in {pieces} parts, as with batch_tokens = "
            f"{max(1, training['batch_tokens'] // pieces)} and accumulation = {training['accumulation'] * pieces}: "
            "a step's rows and tokens stay",
        )
        return True

    def _note(self, row: dict[str, Any], note: str) -> None:
        self._bus.emit(
            events.RunNoted(run_id=row["id"], student=row["student"], scope=row["scope"], note=note)
        )

    async def _finish(self, run: RunProcess) -> None:
        row = run.row
        try:
            predictions = await anyio.to_thread.run_sync(read_predictions, row["id"], run.directory)
        except (OSError, ValueError, KeyError) as error:  # one run's trouble, not the daemon's
            await self._fail(row, f"its predictions.jsonl cannot be read: {error}")
            return
        await self._writer.do(store_predictions, predictions)
        await self._change(
            row["id"], state=RunState.DONE.value, phase="", pid=None, eta_s=0.0, ended_at=now_ms()
        )
        result = await anyio.to_thread.run_sync(self._result, row["id"])
        self._bus.emit(
            events.RunFinished(run_id=row["id"], student=row["student"], scope=row["scope"], result=result)
        )

    def _result(self, run_id: int) -> str:
        with closing(open_reader(self._config.database)) as connection:
            rows = connection.execute(
                "SELECT t.name, e.accuracy, e.low, e.high, e.n FROM evaluation e JOIN task t ON t.id = e.task_id"
                " WHERE e.run_id = ? AND e.split = 'test'",
                (run_id,),
            ).fetchall()
        said = [
            f"{100 * accuracy:.1f} % on test (95 %: {100 * low:.1f} to {100 * high:.1f}, n = {n})"
            + (f" of {name}" if len(rows) > 1 else "")
            for name, accuracy, low, high, n in rows
        ]
        return ", ".join(said) or "no test questions"

    async def _fail(self, row: dict[str, Any], reason: str) -> None:
        await self._change(
            row["id"], state=RunState.FAILED.value, error=reason, pid=None, eta_s=None, ended_at=now_ms()
        )
        self._bus.emit(
            events.RunFailed(run_id=row["id"], student=row["student"], scope=row["scope"], reason=reason)
        )

    async def _change(self, run_id: int, **values: Any) -> None:
        await self._writer.do(change_run, RunChange(run_id=run_id, values=values))

    def _tell_started(self, run: RunProcess, how: str) -> None:
        self._bus.emit(
            events.RunStarted(
                run_id=run.row["id"], student=run.row["student"], scope=run.row["scope"], pid=run.pid, how=how
            )
        )


def _task_ids(spec: dict[str, Any]) -> dict[str, int]:
    return {name: key for key, name, _ in spec["tasks"]}
