"""A wake-up call between tasks: whoever waits is woken by the next `notify`, or by a time limit."""

from __future__ import annotations

import anyio


class Notifier:
    """Wakes everyone who waits; forgets nothing that happened before a wait began but the wait itself."""

    def __init__(self) -> None:
        self._event: anyio.Event | None = (
            None  # there while someone waits: a call that nobody hears costs nothing
        )

    def notify(self) -> None:
        """Wakes all who wait now."""
        if self._event is not None:
            self._event.set()
            self._event = None

    async def wait(self, timeout: float | None = None) -> None:
        """Returns at the next `notify`, or after `timeout` seconds."""
        if self._event is None:
            self._event = anyio.Event()
        event = self._event
        if timeout is None:
            await event.wait()
        else:
            with anyio.move_on_after(max(0.0, timeout)):
                await event.wait()
