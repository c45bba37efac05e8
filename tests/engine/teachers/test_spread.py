from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import anyio
import pytest
from aiohttp import web

from engine.config import TeacherConfig
from engine.errors import ConfigError
from engine.teachers.client import Answer
from engine.teachers.endpoint import endpoint
from engine.teachers.failures import Failure
from engine.teachers.spread import FIRST_REST_S, SpreadClient
from engine.teachers.transport import by_address, make_client, single_client
from tests.daemon.parts import until
from tests.engine.teachers.conftest import ASK
from tests.engine.teachers.test_client import GOOD

pytestmark = pytest.mark.anyio


class Server:
    """A real server on a port that it keeps: it can be killed and come back."""

    def __init__(self) -> None:
        self.seen: list[str] = []
        self.status = 200
        self.hold: anyio.Event | None = None
        self.port = 0
        self._runner: web.AppRunner | None = None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/v1"

    async def start(self) -> None:
        app = web.Application()
        app.router.add_post("/v1/chat/completions", self._answer)
        self._runner = web.AppRunner(app, shutdown_timeout=0.0)
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", self.port, reuse_address=True)
        await site.start()
        self.port = self._runner.addresses[0][1]

    async def kill(self) -> None:
        if self._runner is not None:
            await self._runner.cleanup()
            self._runner = None

    async def _answer(self, request: web.Request) -> web.Response:
        self.seen.append(request.headers["X-Request-Id"])
        if self.hold is not None:
            await self.hold.wait()
        return web.Response(status=self.status, text=json.dumps(GOOD), content_type="application/json")


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


@asynccontextmanager
async def pool(
    number: int, clock: Clock, said: list[str]
) -> AsyncIterator[tuple[SpreadClient, list[Server]]]:
    servers = [Server() for _ in range(number)]
    for each in servers:
        await each.start()
    config = TeacherConfig(model="m", base_urls=[each.url for each in servers])
    clients = [single_client(*each) for each in by_address(config, endpoint("t", config, {}))]
    try:
        async with SpreadClient(clients, say=said.append, clock=clock) as client:
            yield client, servers
    finally:
        for each in servers:
            await each.kill()


async def ask(client: SpreadClient, number: int) -> list[Answer | Failure]:
    """So many requests at once."""
    got: list[Answer | Failure] = []

    async def one(index: int) -> None:
        got.append(await client.send(ASK, request_id=f"r{index}", key=None))

    async with anyio.create_task_group() as group:
        for index in range(number):
            group.start_soon(one, index)
    return got


async def test_requests_go_where_the_fewest_are_in_flight() -> None:
    async with pool(3, Clock(), []) as (client, servers):
        await ask(client, 30)
        assert [len(each.seen) for each in servers] == [10, 10, 10]
        servers[0].hold = anyio.Event()  # a slow one fills up to the others, and gets no more
        async with anyio.create_task_group() as group:
            group.start_soon(ask, client, 1)
            group.start_soon(ask, client, 1)
            group.start_soon(ask, client, 1)
            await until(lambda: len(servers[0].seen) == 11)
            for _ in range(10):
                await ask(client, 1)
            held = len(servers[0].seen)
            servers[0].hold.set()
        assert held == 11 and len(servers[1].seen) + len(servers[2].seen) == 32


async def test_an_address_that_is_killed_rests_while_the_others_go_on_and_is_asked_again_when_it_is_back() -> (
    None
):
    clock, said = Clock(), list[str]()
    async with pool(3, clock, said) as (client, servers):
        dead, *others = servers
        await ask(client, 3)
        await dead.kill()
        got = await ask(client, 12)
        assert all(isinstance(each, Answer) for each in got), (
            "what did not reach it was sent to another at once"
        )
        assert said == [
            f"{dead.url} rests (no connection to 127.0.0.1:{dead.port}: Connection refused); 2 of its addresses go on"
        ]
        assert (
            client.note() == f"{dead.url} rests: no connection to 127.0.0.1:{dead.port}: Connection refused"
        )
        before = [len(each.seen) for each in others]
        clock.now += FIRST_REST_S  # one probe finds it still dead, and its rest is twice as long
        assert all(isinstance(each, Answer) for each in await ask(client, 12))
        clock.now += FIRST_REST_S
        assert client.note(), "it rests for two seconds"
        assert [len(each.seen) for each in others] != before and len(said) == 1
        await dead.start()
        clock.now += FIRST_REST_S
        await ask(client, 12)
        assert said[1:] == [f"{dead.url} answers again"] and not client.note()
        seen = len(dead.seen)
        await ask(client, 12)
        assert len(dead.seen) == seen + 4


async def test_what_may_have_been_billed_is_not_sent_again() -> None:
    clock, said = Clock(), list[str]()
    async with pool(2, clock, said) as (client, servers):
        servers[0].status = 500
        got = await ask(client, 10)
        failed = [each for each in got if isinstance(each, Failure)]
        assert failed and all(each.status == 500 for each in failed)
        assert len(servers[0].seen) == len(failed) and len(servers[0].seen) + len(servers[1].seen) == 10
        assert len(await ask(client, 6)) == 6 and len(servers[0].seen) == len(failed), "it rests"


async def test_where_all_are_dead_the_failure_is_that_of_one_address() -> None:
    async with pool(2, Clock(), []) as (client, servers):
        for each in servers:
            await each.kill()
        for _ in range(2):
            [failure] = await ask(client, 1)
            assert isinstance(failure, Failure) and not failure.reached and failure.kind == "transient"


async def test_a_wrong_address_is_passed_over() -> None:
    async with pool(2, Clock(), []) as (client, servers):
        servers[0].status = 404
        assert all(isinstance(each, Answer) for each in await ask(client, 8))


async def test_one_address_is_one_client_and_secrets_of_all_are_known() -> None:
    config = TeacherConfig(model="m", base_urls=["http://a/v1?key=env:ONE", "http://b/v1?key=env:TWO"])
    at = endpoint("t", config, {"ONE": "sk-secret-one-1", "TWO": "sk-secret-two-2"})
    assert (at.base_url, *at.more) == ("http://a/v1?key=sk-secret-one-1", "http://b/v1?key=sk-secret-two-2")
    assert set(at.secrets) == {"sk-secret-one-1", "sk-secret-two-2"}
    async with make_client(config, at=at) as client:
        assert isinstance(client, SpreadClient)
    with pytest.raises(ConfigError, match=r"teachers\.t: base_urls 'ftp://b' is not a valid URL"):
        endpoint("t", TeacherConfig(model="m", base_urls=["http://a", "ftp://b"]), {})


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"base_url": "http://a", "base_urls": ["http://b"]}, "only one of base_url and base_urls"),
        ({"base_urls": ["http://a", "http://a"]}, "an address twice"),
        ({"base_urls": ["http://a", "http://b"], "dialect": "openai-batch"}, "keeps a batch on one server"),
        ({"base_urls": ["http://a"], "builtin": True}, "has no base_url"),
        ({"base_urls": ["http://a/v1/chat/completions"]}, "ends in /chat/completions"),
    ],
)
def test_addresses_that_cannot_be_meant(settings: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        TeacherConfig(model="m", **settings)
