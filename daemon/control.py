"""Applies what a person asked for (rows of `command`) and answers."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import anyio
import anyio.to_thread
from anyio.abc import TaskStatus

from daemon.clock import Clock
from daemon.pipeline import Pipeline
from daemon.planner import Planner
from daemon.trainer import Trainer
from state.commands import Pending, Reply, answer, pending
from state.database import open_reader
from state.writer import Writer

POLL_S = 0.2


class Control:
    """The daemon's ear."""

    def __init__(
        self,
        database: Path,
        *,
        writer: Writer,
        clock: Clock,
        pipeline: Pipeline,
        planner: Planner,
        trainer: Trainer,
        stop: Callable[[str, bool], None],
    ) -> None:
        self._database = database
        self._writer = writer
        self._clock = clock
        self._pipeline = pipeline
        self._planner = planner
        self._trainer = trainer
        self._stop = stop
        self._kinds: dict[str, Callable[[dict[str, Any]], Awaitable[str]]] = {
            "pause": self._pause,
            "resume": self._resume,
            "train": self._train,
            "stop": self._stop_daemon,
            "stop_run": self._stop_run,
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
            reply = Reply(id=command.id, done=True, answer=await apply(command.args))
        except ValueError as error:
            reply = Reply(id=command.id, done=False, answer=str(error))
        await self._writer.do(answer, reply)

    async def _pause(self, args: dict[str, Any]) -> str:
        return await self._switch(args, True)

    async def _resume(self, args: dict[str, Any]) -> str:
        return await self._switch(args, False)

    async def _switch(self, args: dict[str, Any], paused: bool) -> str:
        task, teacher = args.get("task"), args.get("teacher")
        await self._pipeline.switch(task=task, teacher=teacher, paused=paused)
        what = f"task {task}" if task else f"teacher {teacher}" if teacher else "all sampling"
        return f"{what} is paused" if paused else f"{what} goes on"

    async def _train(self, args: dict[str, Any]) -> str:
        return await self._planner.train_now(str(args.get("task", "")), args.get("student"))

    async def _stop_daemon(self, args: dict[str, Any]) -> str:
        now = bool(args.get("now"))
        self._stop("asked to by `coterie stop`", now)
        return "stopping at once" if now else "draining"

    async def _stop_run(self, args: dict[str, Any]) -> str:
        try:
            run_id = int(args["run"])
        except (KeyError, TypeError, ValueError):
            raise ValueError(f"stop_run needs the number of a run, got {args!r}") from None
        if not await self._trainer.stop_run(run_id):
            raise ValueError(f"run {run_id} is not under way")
        return f"run {run_id} stops at its next step"
