"""Tells systemd how the daemon is (`sd_notify`): ready, stopping, a line of status, and that its event loop runs.

Nothing happens where no service manager asked for it (`NOTIFY_SOCKET`).
"""

from __future__ import annotations

import os
import socket
from collections.abc import Callable, Mapping

import anyio
from anyio.abc import TaskStatus

from daemon.events import Bus, ConfigRefused, ConfigReloaded, DaemonStopping, Event
from daemon.host.clock import Clock
from state.safe import safe_line

MOST_S = 20.0
"""Seconds between two messages; less where the watchdog is shorter."""


class ServiceManager:
    """Sends messages to the socket of the service manager."""

    def __init__(
        self, status: Callable[[], str], *, bus: Bus, clock: Clock, environ: Mapping[str, str] = os.environ
    ) -> None:
        self._status = status
        self._clock = clock
        self._address = environ.get("NOTIFY_SOCKET", "")
        self._every = min(MOST_S, _watchdog_s(environ) / 3)
        if self._address:
            bus.listen(self._on_event)

    async def serve(self, *, task_status: TaskStatus[None] = anyio.TASK_STATUS_IGNORED) -> None:
        """Says that the daemon is ready, and then that it is alive, until cancelled."""
        task_status.started()
        if not self._address:
            return
        self._send("READY=1")
        while True:
            self._send(f"WATCHDOG=1\nSTATUS={safe_line(self._status(), 200)}")
            await self._clock.sleep(self._every)

    def _on_event(self, event: Event) -> None:
        if isinstance(event, DaemonStopping):
            self._send(f"STOPPING=1\nSTATUS={safe_line(event.message(), 200)}")
        elif isinstance(event, ConfigReloaded | ConfigRefused):
            self._send(f"STATUS={safe_line(event.message(), 200)}")

    def _send(self, message: str) -> None:
        """A socket that is gone or full changes nothing."""
        address = "\0" + self._address[1:] if self._address.startswith("@") else self._address
        try:
            with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as out:
                out.setblocking(False)
                out.sendto(message.encode(), address)
        except (OSError, ValueError):
            return


def _watchdog_s(environ: Mapping[str, str]) -> float:
    """Seconds after which the service manager takes the daemon for dead; infinite if it does not look."""
    if environ.get("WATCHDOG_PID", str(os.getpid())) != str(os.getpid()):
        return float("inf")
    try:
        return max(0.3, int(environ["WATCHDOG_USEC"]) / 1e6)
    except (KeyError, ValueError):
        return float("inf")
