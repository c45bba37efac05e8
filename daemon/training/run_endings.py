"""How runs end: done, failed, stopped, or to be started again."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path

import anyio.to_thread

from daemon import events
from daemon.training.disk_room import lacks_room
from daemon.training.out_of_memory import in_smaller_parts
from daemon.training.progress_reader import read_predictions
from daemon.training.run_process import RunProcess
from engine.students.progress_file import has_progress
from state.database import open_reader
from state.enums import RunState
from state.run_reports import store_predictions, words_on_test
from state.runs import RunEnd, RunRequeue, RunRow, RunSettings, end_run, requeue_run
from state.writer import Writer


class RunEndings:
    """Books how runs ended, and says it."""

    def __init__(self, database: Path, writer: Writer, bus: events.Bus) -> None:
        self._database = database
        self._writer = writer
        self._bus = bus
        self._waits: dict[int, str] = {}  # what a run was last said to wait for

    async def ended(self, run: RunProcess, max_tries: int) -> bool:
        """Books how a run ended; returns whether it is queued again."""
        row = run.row
        if run.ending.kind == "done":
            await self._finish(run)
            return False
        if run.stop == "user" or run.cancelled():
            await self._writer.do(end_run, RunEnd(run_id=row.id, state=RunState.STOPPED))
            self._bus.emit(events.RunStopped(run_id=row.id, student=row.student, scope=row.scope))
            if run.stop != "user":
                self.note(row, f"{run.why_gone()}: it is not submitted again unless you ask for it")
            return False
        if (smaller := in_smaller_parts(run)) is not None:
            settings, said = smaller
            await self.requeue(
                row, tries=max(0, row.tries - 1), settings=settings
            )  # uses up no try: it ends some day
            self.note(row, said)
        elif await anyio.to_thread.run_sync(lacks_room, run.directory):  # whatever it said, if it could
            await self.requeue(row, tries=max(0, row.tries - 1))
        elif run.ending.kind == "failed" and not run.ending.peer:
            await self.fail(row, run.ending.message)
            return False
        elif (run.ending.kind == "stopped" and run.stopped_in_order()) or run.stop == "daemon":
            # A stop in order does not use up a try.
            await self.requeue(row, tries=max(0, row.tries - 1))
            self._bus.emit(events.RunStopped(run_id=row.id, student=row.student, scope=row.scope))
        elif await anyio.to_thread.run_sync(has_progress, run.directory, run.began):
            await self._again(run, tries=0)
        elif row.tries < max_tries:
            await self._again(run, tries=row.tries)
        else:
            said = run.ending.message or run.last_lines()
            gone = (
                f"its process died {row.tries} times without a new checkpoint ({run.why_gone()}); log: {said}"
            )
            await self.fail(row, gone)
            return False
        return True

    async def _again(self, run: RunProcess, tries: int) -> None:
        await self.requeue(run.row, tries=tries)
        if not run.local:
            self.note(run.row, f"{run.why_gone()}: it is submitted again")

    def note(self, row: RunRow, note: str) -> None:
        """Says something of a run."""
        self._bus.emit(events.RunNoted(run_id=row.id, student=row.student, scope=row.scope, note=note))

    def waits(self, row: RunRow, why: str) -> None:
        """Says once what a run waits for: another process, room on the disk, Slurm."""
        if self._waits.get(row.id) != why:
            self._waits[row.id] = why
            self.note(row, why)

    def waits_no_longer(self, row: RunRow) -> None:
        """What it waits for next is said again."""
        self._waits.pop(row.id, None)

    async def _finish(self, run: RunProcess) -> None:
        row = run.row
        try:
            predictions = await anyio.to_thread.run_sync(read_predictions, row.id, run.directory)
        except (OSError, ValueError, KeyError) as error:  # this run's fault, not the daemon's
            await self.fail(row, f"its predictions.jsonl cannot be read: {error}")
            return
        await self._writer.do(store_predictions, predictions)
        await self._writer.do(end_run, RunEnd(run_id=row.id, state=RunState.DONE, early=run.ending.early))
        with closing(open_reader(self._database)) as connection:
            result = await anyio.to_thread.run_sync(words_on_test, connection, row.id)
        self._bus.emit(events.RunFinished(run_id=row.id, student=row.student, scope=row.scope, result=result))

    async def fail(self, row: RunRow, reason: str) -> None:
        """Ends a run as failed."""
        await self._writer.do(end_run, RunEnd(run_id=row.id, state=RunState.FAILED, error=reason))
        self._bus.emit(events.RunFailed(run_id=row.id, student=row.student, scope=row.scope, reason=reason))

    async def requeue(self, row: RunRow, *, tries: int, settings: RunSettings | None = None) -> None:
        """Has a run wait to be started again."""
        await self._writer.do(requeue_run, RunRequeue(run_id=row.id, tries=tries, settings=settings))
