"""The daemon's clock: monotonic, for durations and waits."""

from __future__ import annotations

import time
from typing import Protocol

import anyio


class Clock(Protocol):
    """The clock that the daemon's parts are given."""

    def monotonic(self) -> float:
        """Monotonic seconds."""
        ...

    async def sleep(self, seconds: float) -> None:
        """Waits."""
        ...


class SystemClock:
    """The machine's clock."""

    def monotonic(self) -> float:
        """Monotonic seconds."""
        return time.monotonic()

    async def sleep(self, seconds: float) -> None:
        """Waits."""
        await anyio.sleep(seconds)
