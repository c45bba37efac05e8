"""Each dialect over the real client: paths, key headers, proxies, errors and redirects."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator

import aiohttp
import pytest
from aiohttp import web
from pydantic import SecretStr

from engine.errors import ConfigError
from engine.teachers.client import Answer
from engine.teachers.failures import Failure
from tests.engine.teachers.conftest import ASK, make_client

pytestmark = pytest.mark.anyio

KEY = SecretStr("sk-canary-0123456789")
ANSWERS = {
    "openai-chat": {"choices": [{"message": {"content": "Four."}, "finish_reason": "stop"}]},
    "openai-completions": {"choices": [{"text": "Four.", "finish_reason": "stop"}]},
    "openai-responses": {
        "status": "completed",
        "output": [{"type": "message", "content": [{"type": "output_text", "text": "Four."}]}],
    },
    "anthropic-messages": {"content": [{"type": "text", "text": "Four."}], "stop_reason": "end_turn"},
}
PATHS = {
    "openai-chat": "/chat/completions",
    "openai-completions": "/completions",
    "openai-responses": "/responses",
    "anthropic-messages": "/messages",
}
KEYS = {name: ("Authorization", f"Bearer {KEY.get_secret_value()}") for name in PATHS}
KEYS["anthropic-messages"] = ("x-api-key", KEY.get_secret_value())


async def ask(faults, name: str = "openai-chat", url: str = "", **settings: object) -> Answer | Failure:
    async with make_client(url or faults.url, dialect=name, **settings) as client:
        return await client.send(ASK, request_id="a-1", key=KEY)


@pytest.mark.parametrize("name", PATHS)
async def test_path_key_and_answer(faults, name) -> None:
    faults.says(json.dumps({"id": "x-1", "model": "m-2", **ANSWERS[name]}))
    answer = await ask(faults, name)
    assert isinstance(answer, Answer)
    completion = answer.completions[0]
    assert (completion.text, completion.finish_reason, completion.model) == ("Four.", "stop", "m-2")
    assert completion.usage.estimated
    assert answer.provider_id == "x-1"
    headers, body = faults.seen[0]
    assert faults.paths == [f"/v1{PATHS[name]}"]
    where, value = KEYS[name]
    assert headers[where] == value
    assert [header for header in headers if KEY.get_secret_value() in headers[header]] == [where]
    assert headers.get("anthropic-version") == ("2023-06-01" if name == "anthropic-messages" else None)
    assert json.loads(body)["model"] == "m"


@pytest.mark.parametrize("name", ["openai-responses", "anthropic-messages"])
@pytest.mark.parametrize(
    ("body", "reason"),
    [
        ("<html>", "HTML"),
        ("null", "null"),
        ("{}", "no "),
        ('{"output": 7, "content": 7}', "not a list"),
        ('{"output": [null], "content": [null], "stop_reason": "end_turn"}', "not a list"),
        ('{"type": "error", "status": "failed", "error": {"code": "odd", "message": "m"}}', "an error: m"),
    ],
)  # fmt: skip
async def test_what_is_no_completion_is_malformed(faults, name, body, reason) -> None:
    faults.says(body)
    failure = await ask(faults, name)
    assert isinstance(failure, Failure)
    assert (failure.kind, failure.raw) == ("malformed", body.encode())
    assert reason in failure.reason


async def test_an_unfinished_response_is_malformed(faults) -> None:
    faults.says('{"status": "queued", "output": []}')
    failure = await ask(faults, "openai-responses")
    assert isinstance(failure, Failure)
    assert (failure.kind, failure.reason) == ("malformed", "the response is not finished: queued")


@pytest.mark.parametrize("name", PATHS)
async def test_no_dialect_s_key_follows_a_redirect(faults, elsewhere, name) -> None:
    elsewhere.says(json.dumps(ANSWERS[name]))
    faults.says("", 307, location=elsewhere.url)
    failure = await ask(faults, name)
    assert isinstance(failure, Failure)
    assert failure.kind == "parked"
    assert elsewhere.seen == []


async def test_errors_of_anthropic_over_the_wire(faults) -> None:
    secret = KEY.get_secret_value()
    error = {"type": "error", "error": {"type": "rate_limit_error", "message": f"key {secret}: slow"}}
    faults.says(
        json.dumps(error),
        429,
        retry_after="3",
        request_id="req_9",
        anthropic_ratelimit_requests_remaining="0",
    )
    failure = await ask(faults, "anthropic-messages")
    assert isinstance(failure, Failure)
    assert (failure.kind, failure.retry_after_s, failure.provider_id) == ("limited", 3.0, "req_9")
    assert failure.headers is not None and failure.headers.requests_remaining == 0
    assert secret not in repr(failure)


async def test_azure_s_address_and_key(faults) -> None:
    faults.says(json.dumps(ANSWERS["openai-chat"]))
    base = faults.url.removesuffix("/v1") + "/openai/deployments/D?api-version=2024-10-21"
    assert isinstance(await ask(faults, url=base, api_key_header="api-key"), Answer)
    assert faults.paths == ["/openai/deployments/D/chat/completions?api-version=2024-10-21"]
    headers, _ = faults.seen[0]
    assert headers["api-key"] == KEY.get_secret_value()
    assert "Authorization" not in headers


@pytest.mark.parametrize(("tail", "path"), [("", "/v1/responses"), ("/", "/v1/responses")])
async def test_a_slash_at_the_end_of_the_address_is_no_matter(faults, tail, path) -> None:
    faults.says(json.dumps(ANSWERS["openai-responses"]))
    assert isinstance(await ask(faults, "openai-responses", faults.url + tail), Answer)
    assert faults.paths == [path]


async def test_configured_headers_take_the_place_of_the_dialect_s(faults) -> None:
    faults.says(json.dumps(ANSWERS["anthropic-messages"]))
    given = {"Anthropic-Version": "2026-10-21", "user-agent": "mine"}
    assert isinstance(await ask(faults, "anthropic-messages", headers=given), Answer)
    headers, _ = faults.seen[0]
    assert headers.getall("anthropic-version") == ["2026-10-21"]
    assert headers.getall("User-Agent") == ["mine"]


async def test_nested_fields_are_sent_and_omitted_ones_are_not(faults) -> None:
    faults.says(json.dumps(ANSWERS["anthropic-messages"]))
    extra = {"thinking": {"type": "enabled", "budget_tokens": 1024}, "tools": [{"name": "t"}]}
    assert isinstance(
        await ask(faults, "anthropic-messages", extra_body=extra, omit=["temperature", "seed"]), Answer
    )
    assert json.loads(faults.seen[0][1]) == {
        "model": "m",
        "max_tokens": 64,
        "messages": [{"role": "user", "content": "What is 2 + 2?"}],
        **extra,
    }


async def test_a_configured_proxy_is_used(faults) -> None:
    faults.says(json.dumps(ANSWERS["openai-chat"]))
    proxy = faults.url.removesuffix("/v1")
    assert isinstance(await ask(faults, url="http://teacher.invalid/v1", proxy=proxy), Answer)
    assert faults.seen[0][0]["Host"] == "teacher.invalid"


@pytest.fixture
async def proxy() -> AsyncIterator[tuple[str, list[str]]]:
    """A forward proxy on loopback, and the addresses it was asked for."""
    asked: list[str] = []

    async def forward(request: web.BaseRequest) -> web.Response:
        asked.append(str(request.url))
        headers = {k: v for k, v in request.headers.items() if k.lower() not in ("host", "content-length")}
        async with (
            aiohttp.ClientSession() as session,
            session.post(request.url, data=await request.read(), headers=headers) as answer,
        ):
            return web.Response(body=await answer.read(), status=answer.status)

    runner = web.ServerRunner(web.Server(forward), shutdown_timeout=0.1)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    yield f"http://127.0.0.1:{runner.addresses[0][1]}", asked
    await runner.cleanup()


async def test_a_configured_proxy_forwards_and_the_environment_s_is_not_asked(
    faults, proxy, monkeypatch
) -> None:
    address, asked = proxy
    for name in ("HTTP_PROXY", "http_proxy", "HTTPS_PROXY", "ALL_PROXY", "all_proxy"):
        monkeypatch.setenv(name, address)
    faults.says(json.dumps(ANSWERS["openai-chat"]))
    assert isinstance(await ask(faults), Answer)
    assert asked == [], "a proxy of the environment was used"
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:1")
    monkeypatch.setenv("NO_PROXY", "*")
    assert isinstance(await ask(faults, proxy=address), Answer)
    assert asked == [f"{faults.url}/chat/completions"], "the configured one was not"
    headers, _ = faults.seen[1]
    assert headers["Authorization"] == f"Bearer {KEY.get_secret_value()}"


async def test_an_organisation_s_headers_go_with_every_request(faults) -> None:
    faults.says(json.dumps(ANSWERS["openai-chat"]))
    given = {"OpenAI-Organization": "org-1", "OpenAI-Project": "proj_2"}
    assert isinstance(await ask(faults, headers=given), Answer)
    headers, _ = faults.seen[0]
    assert {name: headers[name] for name in given} == given
    assert headers["Content-Type"] == "application/json"


@pytest.mark.parametrize("base", ["/v1", "/v1/", "/some/path/v1", "/openai/v1?api-version=preview", ""])
async def test_base_addresses_as_servers_have_them(faults, base) -> None:
    """vLLM and llama.cpp (/v1), gateways (a path before it), Azure's newer form, and none at all."""
    faults.says(json.dumps(ANSWERS["openai-completions"]))
    root = faults.url.removesuffix("/v1")
    assert isinstance(await ask(faults, "openai-completions", url=root + base), Answer)
    path, _, search = base.partition("?")
    assert faults.paths == [f"{path.rstrip('/')}/completions" + (f"?{search}" if search else "")]


@pytest.mark.parametrize(
    ("status", "kind"), [("407 No", "parked"), ("403 No", "parked"), ("502 No", "transient")]
)
async def test_a_proxy_that_does_not_connect(faults, status, kind) -> None:
    asked = []

    async def refuse(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        asked.append(await reader.readuntil(b"\r\n\r\n"))
        writer.write(f"HTTP/1.1 {status}\r\nContent-Length: 0\r\n\r\n".encode())
        await writer.drain()
        writer.close()

    async with await asyncio.start_server(refuse, "127.0.0.1", 0) as server:
        proxy = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        failure = await ask(faults, url="https://teacher.invalid/v1", proxy=proxy)
    assert isinstance(failure, Failure)
    assert (failure.kind, failure.reached) == (kind, False)
    assert "proxy" in failure.reason
    assert asked[0].startswith(b"CONNECT teacher.invalid:443 ")
    assert KEY.get_secret_value().encode() not in asked[0]
    failure = await ask(faults, url="https://teacher.invalid/v1", proxy=proxy)  # it is gone
    assert isinstance(failure, Failure)
    assert (failure.kind, failure.reached) == ("transient", False)
    assert "no connection to the proxy" in failure.reason


def test_a_password_in_the_address_is_refused() -> None:
    with pytest.raises(ConfigError, match="would be stored"):
        make_client("https://me:secret@teacher.example/v1")
