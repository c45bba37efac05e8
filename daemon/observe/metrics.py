"""`/livez`, `/healthz` and Prometheus `/metrics`, read-only; off unless `[daemon] http` is set.

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
from state.views.readiness import Readiness, readiness
from state.views.status import Status, read_status


@asynccontextmanager
async def http_server(address: str, database: Path, runs: Path) -> AsyncIterator[None]:
    """Serves as long as it is entered; nothing where the address is empty.

    Raises:
        ConfigError: the address cannot be used, or is in use.
    """
    if not address:
        yield
        return
    host, _, port = address.rpartition(":")

    async def livez(request: web.Request) -> web.Response:
        found = await _found()
        live = found is None or found.live  # a daemon that starts is alive
        return web.json_response({"live": live}, status=200 if live else 503)

    async def healthz(request: web.Request) -> web.Response:
        found = await _found()
        if found is None:
            return web.json_response({"state": "starting", "live": True, "ready": False}, status=503)
        body = {
            "state": found.state,
            "live": found.live,
            "ready": found.ready,
            "reasons": list(found.reasons),
        }
        return web.json_response(body, status=200 if found.ready else 503)

    async def _found() -> Readiness | None:
        try:
            return readiness(await anyio.to_thread.run_sync(_status, database))
        except StateError:  # it is starting
            return None

    async def metrics(request: web.Request) -> web.Response:
        from daemon.observe.exposition import CONTENT_TYPE, exposition  # only where it is asked for

        def scrape() -> bytes:
            return exposition(_status(database), database, runs)

        try:
            text = await anyio.to_thread.run_sync(scrape)
        except StateError as error:
            return web.Response(text=error.message, status=503)
        return web.Response(body=text, headers={"Content-Type": CONTENT_TYPE})

    app = web.Application(client_max_size=1024)
    app.router.add_get("/livez", livez)
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
