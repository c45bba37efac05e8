"""The one writer: a bounded queue in front of a thread that commits groups of operations.

An operation is a batch function `(connection, items) -> results` and one item for it. Items of the
same function that arrive together are handed to it together, so a group of 500 costs a few
statements, not 500. `do` returns when its group is on disk (WAL, synchronous FULL).

Invariants: groups commit in order of arrival; an item's result is delivered exactly once; an item
that fails does not affect others (the group is retried item by item); the writer waits for a full or failing disk
or a locked database and keeps what was received in the bounded queue, so a slow disk slows down sending. Nothing is
written to a database that was overwritten or is damaged: results go to a file (`state/rescue.py`), all else fails.

Batch functions use one statement for many rows (`state/bulk.py`): with a saturated event loop,
`executemany` in this thread has stalled for seconds on hand-offs of the interpreter lock.
"""

from __future__ import annotations

import asyncio
import sqlite3
import time
from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from typing import Any, TypeVar, cast

import anyio
import anyio.to_thread
from anyio.abc import TaskStatus
from tenacity import AsyncRetrying, RetryCallState, retry_if_exception, wait_fixed

from state import sqlite
from state.database import told
from state.database_file import DatabaseFile
from state.errors import StateDamaged, StateError, StateReadOnly
from state.rescue import Rescue
from state.sqlite import Connection

T = TypeVar("T")
R = TypeVar("R")
Batch = Callable[[Connection, Sequence[T]], Sequence[R]]
Run = Callable[[Callable[[], None]], Awaitable[None]]
"""Runs a transaction off the event loop; only one at a time."""

LINGER_S = 0.02
GROUP_ROWS = 500
CAPACITY = 4000
RETRY_S = 1.0


class _Ticket:
    __slots__ = ("batch", "done", "error", "item", "result", "settled")

    def __init__(self, batch: Batch[Any, Any], item: Any) -> None:
        self.batch = batch
        self.item = item
        self.done: asyncio.Future[None] = asyncio.get_running_loop().create_future()  # cheaper than an event
        self.result: Any = None
        self.error: BaseException | None = None
        self.settled = False  # committed, or failed for good: never applied again

    def tell(self) -> None:
        """Wakes the waiting task, unless it was cancelled."""
        if not self.done.done():
            self.done.set_result(None)


class Writer:
    """Group commit on a writing connection; `serve` must run for `do` to return."""

    def __init__(
        self,
        connection: Connection,
        *,
        linger_s: float = LINGER_S,
        group_rows: int = GROUP_ROWS,
        capacity: int = CAPACITY,
        run: Run | None = None,
        file: DatabaseFile | None = None,
    ) -> None:
        self._connection = connection
        self._file = file
        self.rescue = Rescue(file.path) if file is not None else None
        self.lost: StateError | None = None
        """Why nothing is written any more; None while all is well."""
        self.on_lost: Callable[[StateError], None] = lambda _: None
        """Called once when a commit found that the database is lost."""
        self._linger_s = linger_s
        self._group_rows = group_rows
        self._room = anyio.Semaphore(capacity, fast_acquire=True)
        self._pending: list[_Ticket] = []
        self._arrived = anyio.Event()
        self._full = anyio.Event()
        self._closing = False
        self._ended = False
        self._thread = anyio.CapacityLimiter(1)
        self._run = run or partial(anyio.to_thread.run_sync, limiter=self._thread)
        self._until_it_works = AsyncRetrying(
            retry=retry_if_exception(_passing),
            wait=wait_fixed(RETRY_S),
            sleep=anyio.sleep,
            before_sleep=self._waits,
            reraise=True,
        )
        self._waits_since = 0.0
        self.trouble = ""
        """Why commits wait (disk full, database locked); empty when all is well."""
        self.on_trouble: Callable[[str], None] = lambda _: None
        """Called with a message when commits begin to wait, and when they resume."""
        self.lag_ms = 0.0
        """Time from arrival of the oldest item of the last group to its commit."""
        self.commits = 0

    async def do(self, batch: Batch[T, R], item: T) -> R:
        """The result of `batch` for `item`, once its transaction is on disk.

        Raises:
            RuntimeError: `serve` has ended.
            StateError: the database is lost.
            Exception: whatever the batch raised for this item.
        """
        async with self._room:
            if self._ended:
                raise RuntimeError("the writer has ended; nothing can be written")
            ticket = _Ticket(batch, item)
            self._pending.append(ticket)
            if len(self._pending) == 1:
                self._arrived.set()
            if len(self._pending) == self._group_rows:
                self._full.set()
            await ticket.done
        if ticket.error is not None:
            raise ticket.error
        return cast(R, ticket.result)

    async def serve(self, *, task_status: TaskStatus[None] = anyio.TASK_STATUS_IGNORED) -> None:
        """Commits groups until `close` was called and the queue is empty; if cancelled, it commits what has arrived."""
        task_status.started()
        try:
            while not (self._closing and not self._pending):
                await self._arrived.wait()
                if not self._pending:
                    continue  # woken by close
                arrived = time.monotonic()
                if not self._closing:
                    with anyio.move_on_after(self._linger_s):
                        await self._full.wait()
                await self._flush()
                self.lag_ms = (time.monotonic() - arrived) * 1000
        finally:
            try:
                while self._pending:
                    await self._flush()
            finally:
                self._ended = True
                self._give_up(self._pending)

    async def _flush(self) -> None:
        """Commits what has arrived, even while the daemon ends."""
        group, self._pending = self._pending, []
        if not self._closing:
            self._arrived = anyio.Event()
        self._full = anyio.Event()
        with anyio.CancelScope(shield=True):
            await self._commit(group)

    def close(self) -> None:
        """Lets `serve` end once everything is committed."""
        self._closing = True
        self._arrived.set()
        self._full.set()

    def lose(self, error: StateError) -> None:
        """Writes nothing from now on."""
        self.lost = self.lost or error

    async def _commit(self, group: list[_Ticket]) -> None:
        before = self.lost
        try:
            await self._until_it_works(self._run, partial(self._transact, group))
            if self.lost is not None and before is None:
                self.on_lost(self.lost)
            if self.trouble:
                self.trouble = ""
                seconds = time.monotonic() - self._waits_since
                self.on_trouble(f"state.db is writable again, after {seconds:.0f} s")
        finally:
            self._give_up([ticket for ticket in group if not ticket.settled])
            for ticket in group:
                ticket.tell()

    def _waits(self, state: RetryCallState) -> None:
        """A commit failed for a passing cause and is tried again: reported once."""
        if not self.trouble and state.outcome is not None:
            self._waits_since = time.monotonic()
            self.trouble = f"state.db: {state.outcome.exception()}; waiting, nothing received is lost"
            self.on_trouble(self.trouble)

    def _give_up(self, tickets: list[_Ticket]) -> None:
        """Fails the waiting tasks when the writer dies; shielded ones would keep the daemon from ending otherwise."""
        for ticket in tickets:
            ticket.error = RuntimeError("the writer died before this was stored")
            ticket.tell()

    def _transact(self, tickets: list[_Ticket]) -> None:
        group = [ticket for ticket in tickets if not ticket.settled]
        by_batch: dict[Batch[Any, Any], list[_Ticket]] = {}
        for ticket in group:
            by_batch.setdefault(ticket.batch, []).append(ticket)
        if self.lost is None and self._file is not None:
            self.lost = self._file.foreign()
        try:
            if self.lost is None:
                self._apply(by_batch)
        except sqlite.DatabaseError as error:
            if _passing(error):
                raise
            if not self._loses(error):
                self._one_by_one(group)
        except Exception:
            self._one_by_one(group)
        if self.lost is not None:
            self._rescue([ticket for ticket in group if not ticket.settled])

    def _loses(self, error: sqlite3.DatabaseError) -> bool:
        """Whether an error says that the database is damaged or can never be written again."""
        if self._file is not None and isinstance(
            found := told(error, self._file.path), StateDamaged | StateReadOnly
        ):
            self.lost = found
        return self.lost is not None

    def _rescue(self, tickets: list[_Ticket]) -> None:
        """Keeps results in a file; all else fails."""
        for ticket in tickets:
            kept = self.rescue is not None and self.rescue.take(ticket.batch, ticket.item)
            ticket.error, ticket.settled = None if kept else self.lost, True

    def _apply(self, by_batch: dict[Batch[Any, Any], list[_Ticket]]) -> None:
        self._connection.execute("BEGIN IMMEDIATE")
        try:
            for batch, tickets in by_batch.items():
                results = batch(self._connection, [ticket.item for ticket in tickets])
                for ticket, result in zip(tickets, results, strict=True):
                    ticket.result = result
            self._connection.execute("COMMIT")
        except BaseException:
            if self._connection.in_transaction:
                self._connection.execute("ROLLBACK")
            raise
        for tickets in by_batch.values():
            for ticket in tickets:
                ticket.settled = True
        self.commits += 1

    def _one_by_one(self, group: list[_Ticket]) -> None:
        for ticket in group:
            try:
                self._apply({ticket.batch: [ticket]})
            except sqlite.DatabaseError as error:
                if _passing(error):
                    raise
                if self._loses(error):
                    return
                ticket.error, ticket.settled = error, True
            except Exception as error:
                ticket.error, ticket.settled = error, True


def _passing(error: BaseException) -> bool:
    """Whether waiting may help: disk full or failing, database locked, out of file descriptors.

    SQLite reports an exhausted quota or a file size limit as an input/output error. The writer also waits for a disk
    that really fails: the transaction was rolled back and is retried as a whole, so nothing is acknowledged that is
    not on disk, and giving up would lose what was received.
    """
    return isinstance(error, sqlite.OperationalError) and getattr(error, "sqlite_errorcode", 0) & 0xFF in (
        sqlite3.SQLITE_BUSY,
        sqlite3.SQLITE_LOCKED,
        sqlite3.SQLITE_FULL,
        sqlite3.SQLITE_IOERR,
        sqlite3.SQLITE_CANTOPEN,
    )
