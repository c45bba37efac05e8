"""`/healthz` and Prometheus `/metrics`, read-only; off unless `[daemon] http` is set.

The server reads `state.db` like any other reader, so a scrape never touches the pipeline.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, closing
from pathlib import Path

import anyio
import anyio.to_thread
from aiohttp import web

from engine.errors import ConfigError
from state.database import now_ms, open_reader
from state.errors import StateError
from state.views.status import Status, read_status


@asynccontextmanager
async def http_server(address: str, database: Path) -> AsyncIterator[None]:
    """Serves as long as it is entered; nothing where the address is empty.

    Raises:
        ConfigError: the address cannot be used, or is in use.
    """
    if not address:
        yield
        return
    host, _, port = address.rpartition(":")

    async def healthz(request: web.Request) -> web.Response:
        try:
            status = await anyio.to_thread.run_sync(_status, database)
        except StateError:  # it is starting
            return web.json_response({"state": "starting"}, status=503)
        return web.json_response({"state": status.daemon.state}, status=200 if status.daemon.alive else 503)

    async def metrics(request: web.Request) -> web.Response:
        try:
            status = await anyio.to_thread.run_sync(_status, database)
        except StateError as error:
            return web.Response(text=error.message, status=503)
        return web.Response(text=exposition(status), content_type="text/plain")

    app = web.Application(client_max_size=1024)
    app.router.add_get("/healthz", healthz)
    app.router.add_get("/metrics", metrics)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    try:
        try:
            await web.TCPSite(runner, host.strip("[]"), int(port)).start()
        except (OSError, UnicodeError) as error:  # also a host that is no name
            why = error.strerror if isinstance(error, OSError) else "not a host name"
            raise ConfigError(f"daemon.http: {address}: {why}") from None
        yield
    finally:
        with anyio.CancelScope(shield=True):
            await runner.cleanup()


def _status(database: Path) -> Status:
    with closing(open_reader(database)) as connection:
        return read_status(connection, now_ms())


def exposition(status: Status) -> str:
    """The status in the Prometheus text format."""
    lines = [
        "# TYPE coterie_spend_usd gauge",
        f"coterie_spend_usd {status.spend.usd}",
        "# TYPE coterie_reserved_usd gauge",
        f"coterie_reserved_usd {status.spend.reserved_usd}",
        "# TYPE coterie_unknown_usd gauge",
        f"coterie_unknown_usd {status.spend.unknown_usd}",
        "# TYPE coterie_unknown_attempts counter",
        f"coterie_unknown_attempts {status.spend.unknown_attempts}",
        "# TYPE coterie_tokens counter",
        f'coterie_tokens{{kind="prompt"}} {status.spend.prompt_tokens}',
        f'coterie_tokens{{kind="completion"}} {status.spend.completion_tokens}',
        "# TYPE coterie_loop_lag_seconds gauge",
        f"coterie_loop_lag_seconds {(status.daemon.loop_lag_ms or 0) / 1000}",
        "# TYPE coterie_samples gauge",
    ]
    for plan in status.plans:
        for what in ("wanted", "stored", "accepted", "rejected", "failed"):
            labels = f'plan="{plan.name}",task="{plan.task}",what="{what}"'
            lines.append(f"coterie_samples{{{labels}}} {getattr(plan, what)}")
    lines.append("# TYPE coterie_teacher_in_flight gauge")
    lines += [
        f'coterie_teacher_in_flight{{teacher="{each.name}"}} {each.in_flight}' for each in status.teachers
    ]
    lines.append("# TYPE coterie_teacher_429 counter")
    lines += [f'coterie_teacher_429{{teacher="{each.name}"}} {each.status_429}' for each in status.teachers]
    return "\n".join(lines) + "\n"
