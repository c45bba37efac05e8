"""A fault server: a teacher on loopback that answers each request as the test says, and records every request.

It runs on an event loop in a thread of its own, so a test can watch a real daemon process talk to it. One server is several
teachers: the first part of the path names one, `URL/NAME/v1`.
"""

from __future__ import annotations

import asyncio
import json
import ssl
import threading
import time
from collections.abc import Awaitable, Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from aiohttp import web

ANSWER = "2 and 2 make 4.\nAnswer: 4"


@dataclass(frozen=True)
class Asked:
    """One request as it arrived; `number` counts the requests of its teacher from 1."""

    teacher: str
    at: float
    number: int
    request_id: str
    key: str
    question: str


Behaviour = Callable[[web.Request, Asked], Awaitable[web.StreamResponse]]


def body(text: str = ANSWER, finish: str = "stop", **more: Any) -> dict[str, Any]:
    """A complete answer in OpenAI's form."""
    message = {"role": "assistant", "content": text, **more.pop("message", {})}
    return {
        "id": "x",
        "choices": [{"index": 0, "finish_reason": finish, "message": message}],
        "usage": {"prompt_tokens": 40, "completion_tokens": 10},
        **more,
    }


def says(
    raw: bytes | dict[str, Any] | list[Any], status: int = 200, headers: Mapping[str, str] | None = None
) -> Behaviour:
    """Answers every request with these bytes."""
    content = raw if isinstance(raw, bytes) else json.dumps(raw).encode()

    async def answer(request: web.Request, asked: Asked) -> web.StreamResponse:
        return web.Response(body=content, status=status, headers=headers, content_type="application/json")

    return answer


def refuses(status: int, message: str, code: str = "", **headers: str) -> Behaviour:
    """An error in OpenAI's form; header names are written with underscores."""
    error = {"error": {"message": message, "code": code or None}}
    return says(error, status, {name.replace("_", "-"): value for name, value in headers.items()})


def first(times: int, fault: Behaviour, then: Behaviour | None = None) -> Behaviour:
    """A fault for the first requests, then correct answers (or `then`)."""

    async def answer(request: web.Request, asked: Asked) -> web.StreamResponse:
        return await (fault if asked.number <= times else then or GOOD)(request, asked)

    return answer


def nth(number: int, fault: Behaviour) -> Behaviour:
    """A fault for one request; the others are answered."""

    async def answer(request: web.Request, asked: Asked) -> web.StreamResponse:
        return await (fault if asked.number == number else GOOD)(request, asked)

    return answer


def on(word: str, fault: Behaviour) -> Behaviour:
    """A fault for every question that contains a word; the others are answered."""

    async def answer(request: web.Request, asked: Asked) -> web.StreamResponse:
        return await (fault if word in asked.question else GOOD)(request, asked)

    return answer


GOOD = says(body())


def cut(request: web.Request) -> web.StreamResponse:
    """Resets the connection."""
    assert isinstance(request.transport, asyncio.Transport)
    request.transport.abort()
    return web.Response()


@dataclass
class FaultServer:
    """The server, its teachers' behaviours (a test may change them at any time), and the requests it received."""

    url: str = ""
    does: dict[str, Behaviour] = field(default_factory=dict)
    asked: list[Asked] = field(default_factory=list)
    answered: dict[str, bytes] = field(default_factory=dict)
    """Bodies sent completely with status 200, by request id."""
    over: asyncio.Event = field(default_factory=asyncio.Event)
    """Set when the server ends, so that hanging handlers return."""

    def of(self, teacher: str) -> list[Asked]:
        """Requests of one teacher, in order."""
        return [asked for asked in list(self.asked) if asked.teacher == teacher]

    async def handle(self, request: web.Request) -> web.StreamResponse:
        """Handles any request."""
        teacher = request.path.split("/")[1]
        text = (await request.read()).decode()
        asked = Asked(
            teacher=teacher,
            at=time.monotonic(),
            number=len(self.of(teacher)) + 1,
            request_id=request.headers.get("X-Request-Id", ""),
            key=request.headers.get("Authorization", "").removeprefix("Bearer "),
            question=json.loads(text)["messages"][0]["content"] if text else "",
        )
        self.asked.append(asked)
        response = await self.does.get(teacher, GOOD)(request, asked)
        if isinstance(response, web.Response) and response.status == 200 and isinstance(response.body, bytes):
            self.answered[asked.request_id] = response.body
        return response


@contextmanager
def fault_server(context: ssl.SSLContext | None = None) -> Iterator[FaultServer]:
    """Runs a server; with TLS if a context is given."""
    started = threading.Event()
    server = FaultServer()
    loop = asyncio.new_event_loop()

    async def serve() -> None:
        app = web.Application()
        app.router.add_route("*", "/{path:.*}", server.handle)
        runner = web.AppRunner(app, shutdown_timeout=0.1, access_log=None)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0, ssl_context=context).start()
        server.url = f"http{'s' if context else ''}://127.0.0.1:{runner.addresses[0][1]}"
        started.set()
        await server.over.wait()
        await runner.cleanup()

    thread = threading.Thread(target=lambda: loop.run_until_complete(serve()), name="fault server")
    thread.start()
    try:
        assert started.wait(10)
        yield server
    finally:
        loop.call_soon_threadsafe(server.over.set)
        thread.join(10)
        loop.close()
