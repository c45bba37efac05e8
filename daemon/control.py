"""Applies pending rows of the `command` table, and answers them.

Each is applied once, however the daemon dies between applying and answering. What changes the database (a retry, a run, a
budget) stores in the same transaction that it was done, with its answer. The others say what shall be (paused, stopped), so that to
apply them again changes nothing.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from contextlib import closing
from functools import partial
from pathlib import Path

import anyio
import anyio.to_thread
from anyio.abc import TaskStatus

from daemon import events
from daemon.host.clock import Clock
from daemon.pipeline import Pipeline
from daemon.sampling.budget import Budget, micros
from daemon.training.planner import Planner
from daemon.training.trainer import Trainer
from state.budget import note_budget
from state.commands import (
    Command,
    Effect,
    Pause,
    Pending,
    Reply,
    Resume,
    Retry,
    SetBudget,
    StopDaemon,
    StopRun,
    Train,
    answer,
    apply_once,
    pending,
)
from state.database import data_version, open_reader
from state.given_up import MOST, Retried, retry
from state.notes import SetNote, set_notes
from state.views.format import money
from state.writer import Writer

POLL_S = 0.2
BUDGET_SET = "budget set to {usd}, {used} of it used; it holds until [daemon] budget_usd changes"


class Control:
    """Applies the user's commands to the daemon's parts."""

    def __init__(
        self,
        database: Path,
        *,
        writer: Writer,
        clock: Clock,
        bus: events.Bus,
        pipeline: Pipeline,
        planner: Planner,
        trainer: Trainer,
        stop: Callable[[str, bool], None],
        budget: Budget,
        configured: Callable[[], float | None],
        beat: Callable[[], Awaitable[None]],
    ) -> None:
        self._database = database
        self._writer = writer
        self._clock = clock
        self._bus = bus
        self._pipeline = pipeline
        self._planner = planner
        self._trainer = trainer
        self._stop = stop
        self._budget = budget
        self._configured = configured
        self._beat = beat
        self.idle = False
        """Whether no command waits to be applied; a daemon that has just started has not looked yet."""

    async def serve(self, *, task_status: TaskStatus[None] = anyio.TASK_STATUS_IGNORED) -> None:
        """Applies commands until cancelled; looks only when the database changed."""
        with closing(open_reader(self._database)) as connection:
            seen = None
            task_status.started()
            while True:
                version = data_version(connection)
                if version != seen:
                    seen = version
                    while found := pending(connection):
                        self.idle = False
                        for item in found:
                            await self._answer(item)
                self.idle = True
                await self._clock.sleep(POLL_S)

    async def _answer(self, item: Pending) -> None:
        try:
            if item.command is None:
                raise ValueError(item.fault)
            said = item.applied or await self._apply(item.command, item.id)
            reply = Reply(id=item.id, done=True, answer=said)
            await self._beat()  # `coterie status` after the answer shows what the command did
        except (ValueError, OSError) as error:
            reply = Reply(id=item.id, done=False, answer=str(error))
        await self._writer.do(answer, reply)
        self._bus.emit(events.Commanded(command=item.id, by=item.by, answer=reply.answer, done=reply.done))

    async def _apply(self, command: Command, number: int) -> str:
        """Does what a command says, and returns the answer.

        Raises:
            ValueError: it is refused; the message says why.
        """
        match command:
            case Pause() | Resume():
                return await self._switch(command)
            case Retry():
                return await self._retry(command, number)
            case Train():
                return await self._planner.train_now(command.task, command.student, number)
            case StopDaemon():
                self._stop("asked to by `coterie stop`", command.now)
                return "stopping at once" if command.now else "draining"
            case StopRun(finish=True):
                if not await self._trainer.finish_run(command.run):
                    raise ValueError(f"run {command.run} is not training: there is nothing to finish")
                return (
                    f"run {command.run} finishes at its next step: its best weights are exported and tested"
                )
            case StopRun():
                if not await self._trainer.stop_run(command.run):
                    raise ValueError(f"run {command.run} is not running")
                return f"run {command.run} stops at its next step"
            case SetBudget():
                return await self._set_budget(command, number)
            case SetNote():
                effect = Effect(id=number, batch=set_notes, item=command, words=str)
                return str(await self._writer.do(apply_once, effect))

    async def _switch(self, command: Pause | Resume) -> str:
        task, teacher, paused = command.task, command.teacher, isinstance(command, Pause)
        await self._pipeline.switch(task=task, teacher=teacher, paused=paused)
        what = f"task {task}" if task else f"teacher {teacher}" if teacher else "all sampling"
        return f"{what} {'paused' if paused else 'resumed'}"

    async def _retry(self, command: Retry, number: int) -> str:
        found = await self._pipeline.retry(self._database, command, partial(_retry_effect, number))
        if found.count:
            self._bus.emit(events.SamplesRetried(samples=found.count))
        return _retried(found)

    async def _set_budget(self, command: SetBudget, number: int) -> str:
        usd, total = command.usd, self._budget.total
        said = BUDGET_SET.format(usd=money(usd, None), used=money(total.used / 1e6, None))
        item = number, usd, self._configured()
        effect = Effect(id=number, batch=note_budget, item=item, words=lambda _: said)
        await self._writer.do(apply_once, effect)
        total.cap = micros(usd)
        self._pipeline.scheduler.look_again()
        self._bus.emit(events.BudgetSet(usd=usd, used=total.used / 1e6))
        return said


def _retry_effect(number: int, request: Retry) -> Effect:
    return Effect(id=number, batch=retry, item=request, words=_retried)


def _retried(found: Retried) -> str:
    rest = f"; {found.left:,} more were given up, and are not needed for now" if found.left else ""
    if found.left and found.count >= MOST:
        rest = f"; {found.left:,} more were given up: run the command again once these have ended"
    return f"{found.count:,} {'sample is' if found.count == 1 else 'samples are'} asked again{rest}"
