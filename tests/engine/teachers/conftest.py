from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from dataclasses import dataclass, field

import pytest
from aiohttp import web

from engine.config import TeacherConfig
from engine.teachers.client import TeacherClient
from engine.teachers.messages import Message, Request

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]

ASK = Request(messages=(Message("user", "What is 2 + 2?"),), temperature=0.7, max_tokens=64)


@dataclass
class FaultServer:
    """A real server on loopback that answers as `handler` says, and remembers what reached it."""

    url: str = ""
    handler: Handler | None = None
    seen: list[tuple[Mapping[str, str], bytes]] = field(default_factory=list)
    paths: list[str] = field(default_factory=list)

    async def handle(self, request: web.Request) -> web.StreamResponse:
        self.paths.append(str(request.rel_url))
        self.seen.append((request.headers, await request.read()))
        assert self.handler is not None
        return await self.handler(request)

    def says(self, body: bytes | str, status: int = 200, **headers: str) -> None:
        """Answers with these bytes; header names are written with underscores."""
        raw = body.encode("utf-8", "surrogatepass") if isinstance(body, str) else body

        async def handler(request: web.Request) -> web.Response:
            named = {name.replace("_", "-"): value for name, value in headers.items()}
            return web.Response(body=raw, status=status, headers=named, content_type="application/json")

        self.handler = handler


@pytest.fixture
async def faults() -> AsyncIterator[FaultServer]:
    server = FaultServer()
    async for url in _serve(server):
        server.url = url
        yield server


@pytest.fixture
async def elsewhere() -> AsyncIterator[FaultServer]:
    server = FaultServer()
    async for url in _serve(server):
        server.url = url
        yield server


async def _serve(server: FaultServer) -> AsyncIterator[str]:
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", server.handle)
    runner = web.AppRunner(app, shutdown_timeout=0.1, access_log=None)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    yield f"http://127.0.0.1:{runner.addresses[0][1]}/v1"
    await runner.cleanup()


@pytest.fixture
async def client(faults: FaultServer) -> AsyncIterator[TeacherClient]:
    async with make_client(faults.url) as client:
        yield client


def make_client(url: str, *, max_body: int = 1024 * 1024, **settings: object) -> TeacherClient:
    config = TeacherConfig.model_validate({"model": "m", "base_url": url, **settings})
    return TeacherClient(config, max_body=max_body, wall=lambda: 1_700_000_000.0)
