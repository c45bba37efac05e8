"""Ends the daemon when its database is moved, replaced, overwritten, made read-only or damaged while it runs.

Nothing more is sent then. What is in flight is awaited and stored; where nothing may be written any more, it is kept in a file.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any

import anyio
import anyio.to_thread
from anyio.abc import TaskStatus

from daemon.host.clock import Clock
from state.database import lose
from state.database_file import DatabaseFile, FileTrouble
from state.errors import CoterieError
from state.sqlite import Connection
from state.writer import Writer

LOOK_S = 1.0
"""Seconds between looks at the file."""


class DatabaseWatch:
    """Looks at the file of a session, and calls `stop` once when it is lost."""

    def __init__(self, file: DatabaseFile, writer: Writer, clock: Clock, stop: Callable[[str], None]) -> None:
        self.lost: FileTrouble | None = None
        """What happened to the database; None while all is well."""
        self._file = file
        self._writer = writer
        self._clock = clock
        self._stop = stop
        writer.on_lost = lambda error: self._lose(file.trouble or FileTrouble(error, whole=False))

    @property
    def inode(self) -> int:
        """The inode of the file."""
        return self._file.inode

    @property
    def writable(self) -> bool:
        """Whether what the daemon has open may still be written."""
        return self.lost is None or self.lost.whole

    async def serve(self, *, task_status: TaskStatus[None] = anyio.TASK_STATUS_IGNORED) -> None:
        """Looks once a second until the database is lost."""
        task_status.started()
        while self.lost is None:
            await self._clock.sleep(LOOK_S)
            if (trouble := await anyio.to_thread.run_sync(self._file.look)) is not None:
                self._lose(trouble)

    async def guard(self, part: Callable[[], Awaitable[Any]], *, waits: bool = True) -> None:
        """Runs a part. If it fails because the database is lost, it waits for the daemon's end instead of hastening it."""
        try:
            await part()
        except Exception:  # whatever it is: it may have read another database, or none
            trouble = self.lost or await anyio.to_thread.run_sync(self._file.look)
            if trouble is None:
                raise
            self._lose(trouble)
            if waits:
                await anyio.sleep_forever()

    async def named(
        self,
        name: str,
        serve: Callable[..., Awaitable[None]],
        *,
        task_status: TaskStatus[None] = anyio.TASK_STATUS_IGNORED,
    ) -> None:
        """Guards a part; an error that ends it carries its name."""
        try:
            await self.guard(partial(serve, task_status=task_status))
        except CoterieError:
            raise
        except Exception as error:
            error.add_note(f"(in the daemon's {name})")
            raise

    def lost_now(self) -> bool:
        """Whether the database is lost, looked at once more: asked when the daemon failed."""
        self.lost = self.lost or self._file.look()
        return self.lost is not None

    def settle(self, connection: Connection) -> CoterieError | None:
        """Leaves what is stored in order; the error that the daemon ends with, None if all is well.

        Call it before the writing connection is closed.
        """
        if self.lost is None:
            return None
        said = self._file.settle(connection, self.lost)
        rescue = self._writer.rescue
        if rescue is not None and rescue.kept:
            results = "1 result" if rescue.kept == 1 else f"{rescue.kept:,} results"
            said += f" {results} that came after that: {rescue.file}."
        return type(self.lost.error)(self.lost.error.message + said)

    def _lose(self, trouble: FileTrouble) -> None:
        if self.lost is None:
            self.lost = trouble
            lose(self._file.path, trouble.error)
            if not trouble.whole:
                self._writer.lose(trouble.error)
            self._stop(trouble.error.message)
