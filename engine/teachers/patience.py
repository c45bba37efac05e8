"""How long an answer is waited for, counted only while this process runs.

A process that was stopped, or whose machine slept, wakes with every timer due at once, while the
answers, already paid for, lie unread in its sockets. So time does not count here while nothing ran.
"""

from __future__ import annotations

import asyncio
from types import TracebackType
from typing import Self

import anyio

TICK_S = 0.5


class Wait:
    """One answer that is waited for; as a context it ends what is inside when the patience is over."""

    __slots__ = ("_patience", "_scope", "begun", "heard")

    def __init__(self, patience: Patience) -> None:
        self._patience = patience
        self._scope = anyio.CancelScope()
        self.begun = self.heard = patience.now()

    @property
    def expired(self) -> bool:
        """Whether it was ended."""
        return self._scope.cancelled_caught

    def hear(self) -> None:
        """Something of the answer arrived."""
        self.heard = self._patience.now()

    def end(self) -> None:
        """The patience is over."""
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
    """The patience with all answers of a teacher; needs a running event loop."""

    def __init__(self, total_s: float, idle_s: float) -> None:
        """Waits for an answer `total_s` at most, and `idle_s` without a byte of it."""
        self._total_s, self._idle_s = total_s, idle_s
        self._tick_s = min(TICK_S, total_s / 5, idle_s / 5)
        self._loop = asyncio.get_running_loop()
        self._waits: set[Wait] = set()
        self._awake = 0.0
        self._stamp = self._loop.time()
        self._ticking = False

    def wait(self) -> Wait:
        """A new wait, to be entered."""
        return Wait(self)

    def now(self) -> float:
        """Seconds that this process ran and waited."""
        since = self._loop.time() - self._stamp if self._ticking else 0.0
        return self._awake + min(since, self._tick_s)

    def add(self, wait: Wait) -> None:
        """Begins to count for a wait."""
        self._waits.add(wait)
        if not self._ticking:
            self._ticking = True
            self._stamp = self._loop.time()
            self._loop.call_later(self._tick_s, self._tick)

    def remove(self, wait: Wait) -> None:
        """It has ended."""
        self._waits.discard(wait)

    def _tick(self) -> None:
        now = self._loop.time()
        late = now - self._stamp > 2 * self._tick_s
        self._awake += min(now - self._stamp, self._tick_s)
        self._stamp = now
        if not late:  # else: first read what has arrived meanwhile
            for wait in list(self._waits):
                if self._awake - wait.begun > self._total_s or self._awake - wait.heard > self._idle_s:
                    wait.end()
        self._ticking = bool(self._waits)
        if self._ticking:
            self._loop.call_later(self._tick_s, self._tick)
