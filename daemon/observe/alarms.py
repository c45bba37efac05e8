"""Tells a command and a webhook of events that need someone (`[notify]`).

The bus hands events over at once and goes on; a task of its own delivers them, one after another, each within a time limit. So a
slow or broken receiver holds nobody up. Alarms are not stored: what they are about is an event of `state.db`.
"""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, datetime

import anyio
import orjson
from aiohttp import ClientError, ClientSession, ClientTimeout
from anyio.abc import TaskStatus

from daemon.events import Bus, Event, Noted
from daemon.host.clock import Clock
from engine.config import Config
from engine.errors import CoterieError
from engine.teachers.keys import environment
from state.events import EventRow
from state.safe import safe

PATIENCE_S = 30.0
"""How long a receiver may take for one alarm."""
LAST_S = 5.0
"""How long an ending daemon waits for its last alarms."""
PASSED = (
    "PATH",
    "HOME",
    "USER",
    "LOGNAME",
    "LANG",
    "LC_ALL",
    "TZ",
    "TMPDIR",
    "DISPLAY",
    "DBUS_SESSION_BUS_ADDRESS",
)
"""Variables that the command gets of the daemon's: the others may be keys."""
QUEUE = 100
"""Alarms that wait at most; the oldest go first."""


class Alarms:
    """Listens to the bus and delivers what the configuration asks for."""

    def __init__(self, config: Callable[[], Config], *, bus: Bus, clock: Clock) -> None:
        """Reads the configuration for each event, so a reload is in force at once."""
        self._config = config
        self._bus = bus
        self._clock = clock
        self._waiting: deque[dict[str, object]] = deque(maxlen=QUEUE)
        self._arrived = anyio.Event()
        self._closing = False
        self._done = anyio.Event()
        self._last: dict[tuple[str, str], float] = {}
        self._held: dict[tuple[str, str], int] = {}
        self._failing: set[str] = set()  # receivers whose failure was told
        bus.listen(self._on_event)

    async def serve(self, *, task_status: TaskStatus[None] = anyio.TASK_STATUS_IGNORED) -> None:
        """Delivers alarms until `close` was called and none is left."""
        task_status.started()
        try:
            while not (self._closing and not self._waiting):
                if self._waiting:
                    await self._deliver(self._waiting.popleft())
                    continue
                await self._arrived.wait()
                if not self._closing:
                    self._arrived = anyio.Event()
        finally:
            self._done.set()

    async def close(self) -> None:
        """Lets `serve` end, and waits a little for what is left."""
        self._closing = True
        self._arrived.set()
        with anyio.move_on_after(LAST_S, shield=True):
            await self._done.wait()

    def _on_event(self, event: Event) -> None:
        notify = self._config().notify
        if not (notify.command or notify.webhook):
            return
        wanted = event.alarm in notify.kinds if event.alarm else event.level in notify.levels
        row = event.row() if wanted else None
        if row is None or (isinstance(event, Noted) and event.what.startswith(TOLD)):
            return
        key, now = (row.kind, row.subject), self._clock.monotonic()
        if now - self._last.get(key, -1e9) < 60 * notify.repeat_minutes:
            self._held[key] = self._held.get(key, 0) + 1
            return
        self._last[key] = now
        self._waiting.append(self._alarm(row, event.alarm, self._held.pop(key, 0)))
        self._arrived.set()

    def _alarm(self, row: EventRow, kind: str, held: int) -> dict[str, object]:
        message = safe(row.message) + (f" ({held:,} more since the last one)" if held else "")
        text = f"coterie on {socket.gethostname()}: {message}"
        return {
            "kind": kind or "event",
            "event": row.kind,
            "level": row.level,
            "subject": row.subject,
            "message": message,
            "host": socket.gethostname(),
            "database": str(self._config().database),
            "at": datetime.now(UTC).isoformat(timespec="seconds"),
            "text": text,
            "content": text[:2000],
        }

    async def _deliver(self, alarm: dict[str, object]) -> None:
        notify = self._config().notify
        if notify.command:
            self._told("command", await _run(notify.command, alarm))
        if notify.webhook:
            self._told("webhook", await self._post(notify.webhook, alarm))

    def _told(self, receiver: str, failure: str) -> None:
        """Says once that a receiver fails, and again only after it worked."""
        if not failure:
            self._failing.discard(receiver)
        elif receiver not in self._failing:
            self._failing.add(receiver)
            self._bus.emit(Noted(what=f"{TOLD} {receiver} fails: {failure}; this is said once"))

    async def _post(self, webhook: str, alarm: dict[str, object]) -> str:
        config = self._config()
        name = webhook.removeprefix("env:")
        try:
            url = environment(config.daemon.env_file, config.folder).get(name, "")
        except CoterieError as error:
            return error.message
        if not url:
            return f"the environment variable {name} is not set"
        try:
            async with (
                ClientSession(timeout=ClientTimeout(total=PATIENCE_S)) as session,
                session.post(
                    url, data=orjson.dumps(alarm), headers={"Content-Type": "application/json"}
                ) as answer,
            ):
                return "" if answer.status < 300 else f"HTTP {answer.status}"
        except TimeoutError:
            return f"no answer within {PATIENCE_S:.0f} s"
        except (
            ClientError,
            OSError,
            ValueError,
        ) as error:  # the text of some names the URL, which is a secret
            return type(error).__name__


TOLD = "[notify]:"


async def _run(command: list[str], alarm: dict[str, object]) -> str:
    """Runs the command with the alarm; what went wrong, empty if nothing did."""
    named = {f"COTERIE_{name.upper()}": str(alarm[name]) for name in ("message", "level", "kind", "subject")}
    process = None
    try:
        with anyio.fail_after(PATIENCE_S):
            process = await anyio.open_process(
                command,
                stdin=subprocess.PIPE,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                env={**{name: os.environ[name] for name in PASSED if name in os.environ}, **named},
                start_new_session=True,
            )
            assert process.stdin is not None
            with suppress(anyio.BrokenResourceError, anyio.ClosedResourceError, OSError):  # it need not read
                await process.stdin.send(json.dumps(alarm).encode())
                await process.stdin.aclose()
            code = await process.wait()
            return "" if code == 0 else f"{command[0]} ended with code {code}"
    except TimeoutError:
        return f"{command[0]} did not end within {PATIENCE_S:.0f} s"
    except (OSError, ValueError) as error:
        return f"{command[0]}: {getattr(error, 'strerror', None) or error}"
    finally:
        if process is not None:
            if process.returncode is None:
                with suppress(ProcessLookupError):
                    os.killpg(process.pid, signal.SIGKILL)
            with anyio.CancelScope(shield=True):
                await process.aclose()
