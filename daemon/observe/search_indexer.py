"""Builds the search index of the samples, and checksums that an earlier version did not store, in the background: a little at a time, and less while there is work.

It takes a small share of one core: 1 % while requests are in flight, a quarter while the daemon has nothing to
do. Each batch is one operation of the writer, of about ten milliseconds, so no commit waits for it for long.
Nothing waits for the index: rows that are not in it yet are searched one by one.
"""

from __future__ import annotations

from collections.abc import Callable

import anyio
from anyio.abc import TaskStatus

from daemon import events
from daemon.host.clock import Clock
from state.checksums import fill
from state.search import index_words
from state.writer import Writer

BATCH_S = 0.01
BUSY_SHARE = 0.01
QUIET_SHARE = 0.25
LOOK_S = 2.0
"""Seconds between looks for new rows."""
LEAST, MOST = 20, 2_000
CHECKSUMS = 300
"""Rows of each table that get their checksum in one step."""
FILL_S = 0.1
"""Seconds between such steps while the daemon has nothing else to do; otherwise one follows each look."""
YOUNG = 1_000
"""While samples come in, the newest rows wait: many are still open and would have to be indexed again."""


class Indexer:
    """Indexes samples as the daemon's load allows."""

    def __init__(
        self, *, writer: Writer, clock: Clock, bus: events.Bus, busy: Callable[[], bool], size: int = 100
    ) -> None:
        self._writer = writer
        self._clock = clock
        self._bus = bus
        self._busy = busy
        self._size = size

    async def serve(self, *, task_status: TaskStatus[None] = anyio.TASK_STATUS_IGNORED) -> None:
        """Indexes until cancelled, or until it turns out that this SQLite cannot."""
        task_status.started()
        await self._clock.sleep(LOOK_S)
        filled = False
        while True:
            done = await self._writer.do(index_words, self._size)
            if not done.able:
                self._bus.emit(
                    events.Noted(what="this SQLite has no FTS5: searching for words reads every sample")
                )
                return
            if done.looked:
                self._adapt(done.looked, done.seconds)
            busy = self._busy()
            enough = done.left < (YOUNG if busy else 1)
            if enough and not filled:  # of a database of an earlier version
                filled = await self._writer.do(fill, CHECKSUMS) == 0
                if not filled and not busy:
                    await self._clock.sleep(FILL_S)
                    continue
            share = BUSY_SHARE if busy else QUIET_SHARE
            await self._clock.sleep(LOOK_S if enough else max(0.02, done.seconds * (1 / share - 1)))

    def _adapt(self, looked: int, seconds: float) -> None:
        """Sizes the next batch by how long the last one took."""
        fitting = looked * BATCH_S / max(seconds, 1e-6)
        self._size = round(max(LEAST, min(MOST, (self._size + fitting) / 2)))
