"""An event loop in virtual time: idle time passes at once, and waiting for nothing at all is an error."""

from __future__ import annotations

import asyncio
import selectors
from collections.abc import Callable
from typing import Any


class Deadlock(RuntimeError):
    """Everything waits, no timer is set: nothing can ever happen."""


class VirtualSelector(selectors.BaseSelector):
    """Advances the clock by what the loop would have waited; there are no sockets to look at."""

    def __init__(self, now: float) -> None:
        self.now = now
        self._keys: dict[int, selectors.SelectorKey] = {}  # the loop's own wake-up pipe, never written to

    def register(self, fileobj: int, events: int, data: Any = None) -> selectors.SelectorKey:
        key = self._keys[fileobj] = selectors.SelectorKey(fileobj, fileobj, events, data)
        return key

    def unregister(self, fileobj: int) -> selectors.SelectorKey:
        return self._keys.pop(fileobj)

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        if timeout is None:
            raise Deadlock("nothing can ever happen: every task waits, and no timer is set")
        self.now += max(0.0, timeout)
        return []

    def get_map(self) -> Any:
        return self._keys


class VirtualLoop(asyncio.SelectorEventLoop):
    """A loop whose time is its selector's; what is given to an executor runs at once."""

    def __init__(self, now: float = 0.0) -> None:
        self._virtual = VirtualSelector(now)
        super().__init__(self._virtual)

    def time(self) -> float:
        return self._virtual.now

    def run_in_executor(self, executor: Any, func: Callable[..., Any], *args: Any) -> asyncio.Future[Any]:
        future = self.create_future()
        try:
            future.set_result(func(*args))
        except Exception as error:
            future.set_exception(error)
        return future
