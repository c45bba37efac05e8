"""A condition between tasks: waiters wake at the next `notify`, or after a time limit."""

from __future__ import annotations

import anyio


class Notifier:
    """Wakes all tasks that wait now; a `notify` without waiters has no effect."""

    def __init__(self) -> None:
        self._event: anyio.Event | None = (
            None  # exists while a task waits: `notify` without waiters costs nothing
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
