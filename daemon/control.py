"""Applies what a person asked for (rows of `command`) and answers."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import anyio
import anyio.to_thread
from anyio.abc import TaskStatus

from daemon import events
from daemon.host.clock import Clock
from daemon.pipeline import Pipeline
from daemon.sampling.budget import Budget, micros
from daemon.training.planner import Planner
from daemon.training.trainer import Trainer
from state.budget import amount, note_budget
from state.commands import Pending, Reply, answer, pending
from state.database import open_reader
from state.views.format import money
from state.writer import Writer

POLL_S = 0.2
BUDGET_SET = "the budget is {usd} now, {used} of it is used; it holds until [daemon] budget_usd changes"


class Control:
    """The daemon's ear."""

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
    ) -> None:
        self._database = database
        self._writer = writer
        self._clock = clock
        self._bus = bus
        self._pipeline = pipeline
        self._planner = planner
        self._trainer = trainer
        self._stop = stop
        self._account = budget
        self._configured = configured
        self._kinds: dict[str, Callable[[Pending], Awaitable[str]]] = {
            "pause": self._pause,
            "resume": self._resume,
            "train": self._train,
            "stop": self._stop_daemon,
            "stop_run": self._stop_run,
            "budget": self._budget,
        }

    async def serve(self, *, task_status: TaskStatus[None] = anyio.TASK_STATUS_IGNORED) -> None:
        """Applies commands until cancelled; looks only when the database changed."""
        with closing(open_reader(self._database)) as connection:
            seen = None
            task_status.started()
            while True:
                version = connection.execute("PRAGMA data_version").fetchone()[0]
                if version != seen:
                    seen = version
                    for command in pending(connection):
                        await self._apply(command)
                await self._clock.sleep(POLL_S)

    async def _apply(self, command: Pending) -> None:
        try:
            apply = self._kinds.get(command.kind)
            if apply is None:
                raise ValueError(f"no such command: {command.kind}")
            reply = Reply(id=command.id, done=True, answer=await apply(command))
        except ValueError as error:
            reply = Reply(id=command.id, done=False, answer=str(error))
        await self._writer.do(answer, reply)

    async def _pause(self, command: Pending) -> str:
        return await self._switch(command.args, True)

    async def _resume(self, command: Pending) -> str:
        return await self._switch(command.args, False)

    async def _switch(self, args: dict[str, Any], paused: bool) -> str:
        task, teacher = args.get("task"), args.get("teacher")
        await self._pipeline.switch(task=task, teacher=teacher, paused=paused)
        what = f"task {task}" if task else f"teacher {teacher}" if teacher else "all sampling"
        return f"{what} is paused" if paused else f"{what} goes on"

    async def _train(self, command: Pending) -> str:
        args = command.args
        return await self._planner.train_now(str(args.get("task", "")), args.get("student"))

    async def _stop_daemon(self, command: Pending) -> str:
        now = bool(command.args.get("now"))
        self._stop("asked to by `coterie stop`", now)
        return "stopping at once" if now else "draining"

    async def _budget(self, command: Pending) -> str:
        usd, configured = amount(command.args.get("usd")), self._configured()
        await self._writer.do(note_budget, (command.id, usd, configured))
        total = self._account.total
        total.cap = micros(usd)
        self._pipeline.scheduler.look_again()
        self._bus.emit(events.BudgetSet(usd=usd, used=total.used / 1e6))
        return BUDGET_SET.format(usd=money(usd, None), used=money(total.used / 1e6, None))

    async def _stop_run(self, command: Pending) -> str:
        args = command.args
        try:
            run_id = int(args["run"])
        except (KeyError, TypeError, ValueError):
            raise ValueError(f"stop_run needs the number of a run, got {args!r}") from None
        if not await self._trainer.stop_run(run_id):
            raise ValueError(f"run {run_id} is not under way")
        return f"run {run_id} stops at its next step"
