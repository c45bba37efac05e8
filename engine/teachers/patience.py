"""Timeouts for responses: the time without a byte of one, as far as this process ran during it.

When a process resumes after being stopped, or its machine after sleeping, every timer is due at once, while responses
that were paid for are still unread in its sockets. So time in which the process did not run does not count.
"""

from __future__ import annotations

import asyncio
from types import TracebackType
from typing import Self

import anyio

TICK_S = 0.5


class Wait:
    """The wait for one response; a context manager that cancels its body on timeout."""

    __slots__ = ("_patience", "_scope", "heard")

    def __init__(self, patience: Patience) -> None:
        self._patience = patience
        self._scope = anyio.CancelScope()
        self.heard = patience.now()

    @property
    def expired(self) -> bool:
        """Whether it timed out."""
        return self._scope.cancelled_caught

    def hear(self) -> None:
        """Some bytes of the response arrived."""
        self.heard = self._patience.now()

    def end(self) -> None:
        """The wait timed out."""
        self._scope.cancel()

    def __enter__(self) -> Self:
        self._patience.add(self)
        self._scope.__enter__()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> bool:
        self._patience.remove(self)
        return bool(self._scope.__exit__(kind, error, trace))


class Patience:
    """The timeouts of all responses of a teacher; needs a running event loop."""

    def __init__(self, silent_s: float) -> None:
        """Waits at most `silent_s` without receiving a byte; the whole may take any time."""
        self.silent_s = silent_s
        self._tick_s = min(TICK_S, silent_s / 5)
        self._loop = asyncio.get_running_loop()
        self._waits: set[Wait] = set()
        self._awake = 0.0
        self._stamp = self._loop.time()
        self._ticking = False

    def wait(self) -> Wait:
        """A new wait; enter it as a context manager."""
        return Wait(self)

    def now(self) -> float:
        """Seconds during which this process ran and waited."""
        since = self._loop.time() - self._stamp if self._ticking else 0.0
        return self._awake + min(since, self._tick_s)

    def add(self, wait: Wait) -> None:
        """Starts counting for a wait."""
        self._waits.add(wait)
        if not self._ticking:
            self._ticking = True
            self._stamp = self._loop.time()
            self._loop.call_later(self._tick_s, self._tick)

    def remove(self, wait: Wait) -> None:
        """Stops counting for a wait."""
        self._waits.discard(wait)

    def _tick(self) -> None:
        now = self._loop.time()
        late = now - self._stamp > 2 * self._tick_s
        self._awake += min(now - self._stamp, self._tick_s)
        self._stamp = now
        if not late:  # else: first read what has arrived meanwhile
            for wait in list(self._waits):
                if self._awake - wait.heard > self.silent_s:
                    wait.end()
        self._ticking = bool(self._waits)
        if self._ticking:
            self._loop.call_later(self._tick_s, self._tick)
