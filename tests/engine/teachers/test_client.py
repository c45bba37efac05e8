from __future__ import annotations

import asyncio
import gzip
import json
import ssl
import subprocess
import threading
from dataclasses import replace

import anyio
import anyio.to_thread
import pytest
from aiohttp import web
from pydantic import SecretStr

from engine.errors import ConfigError
from engine.teachers.client import Answer
from engine.teachers.failures import Failure
from engine.teachers.messages import Completion, Request
from tests.engine.teachers.conftest import ASK, FaultServer, make_client

pytestmark = pytest.mark.anyio

KEY = SecretStr("sk-canary-0123456789")
GOOD = {
    "id": "chatcmpl-1",
    "model": "m-2024",
    "choices": [{"index": 0, "finish_reason": "stop", "message": {"role": "assistant", "content": "Four."}}],
    "usage": {"prompt_tokens": 12, "completion_tokens": 3},
}


async def ask(client, key=None) -> Answer | Failure:
    return await client.send(ASK, request_id="a-1", key=key)


async def test_an_answer(faults, client) -> None:
    faults.says(json.dumps(GOOD), x_ratelimit_limit_requests="500", x_ratelimit_remaining_requests="499")
    answer = await ask(client, KEY)
    assert isinstance(answer, Answer)
    assert answer.raw == json.dumps(GOOD).encode()
    assert answer.completions[0].text == "Four."
    assert answer.completions[0].usage.completion_tokens == 3
    assert answer.provider_id == "chatcmpl-1"
    assert answer.headers is not None
    assert answer.headers.requests_remaining == 499
    headers, body = faults.seen[0]
    assert headers["Authorization"] == "Bearer sk-canary-0123456789"
    assert headers["X-Request-Id"] == headers["Idempotency-Key"] == "a-1"
    assert json.loads(body) == {
        "model": "m",
        "messages": [{"role": "user", "content": "What is 2 + 2?"}],
        "max_tokens": 64,
        "temperature": 0.7,
    }


DEEP = b"[" * 100_000 + b"]" * 100_000


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        (b"<html><body>Bad gateway</body></html>", "HTML"),
        (b"", "empty"),
        (b"null", "null"),
        (b'{"choices": []}', "no choices"),
        (b'{"choices": [null]}', "not an object"),
        (b'{"choices": [{"message": null}]}', "no message"),
        (b'{"choices": [{"message": {"content": null}}]}', "no text"),
        (b'{"choices": [{"message": {"content": 7}}]}', "not text"),
        (b'{"choices": NaN}', "NaN"),
        (b'{"choices": Infinity}', "Infinity"),
        (b'{"choices": ' + b"9" * 5000 + b"}", "too long"),
        (DEEP, "deep"),
        (b'{"choices": "\xff\xfe"}', "UTF-8"),
        (b'{"choices": [{"message": {"cont', "cut off"),
        (b'{"error": {"message": "no luck"}}', "reports an error: no luck"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
async def test_a_200_that_is_no_completion_is_malformed_and_kept(faults, client, body, reason) -> None:
    faults.says(body)
    failure = await ask(client)
    assert isinstance(failure, Failure)
    assert failure.kind == "malformed"
    assert reason in failure.reason
    assert failure.raw == body
    faults.says(json.dumps(GOOD))  # and the next one works
    assert isinstance(await ask(client), Answer)


async def test_lone_surrogates_are_replaced(faults, client) -> None:
    faults.says(b'{"choices": [{"message": {"content": "a\\ud800b \\ud83d\\ude00"}}]}')
    answer = await ask(client)
    assert isinstance(answer, Answer)
    assert answer.completions[0].text == "a\N{REPLACEMENT CHARACTER}b \N{GRINNING FACE}"
    answer.completions[0].text.encode()


@pytest.mark.parametrize(
    "usage", ["{}", "null", '"x"', '{"prompt_tokens": -1, "completion_tokens": 5}',
              '{"prompt_tokens": 1e300, "completion_tokens": 5}',
              '{"prompt_tokens": true, "completion_tokens": 5}',
              '{"prompt_tokens": 5, "completion_tokens": 1e999}'],
)  # fmt: skip
async def test_usage_that_cannot_be_is_estimated(faults, client, usage) -> None:
    faults.says('{"choices": [{"message": {"content": "abcdefgh"}}], "usage": ' + usage + "}")
    answer = await ask(client)
    assert isinstance(answer, Answer)
    used = answer.completions[0].usage
    assert used.estimated
    assert (used.prompt_tokens, used.completion_tokens) == (8, 2)


async def test_a_gzip_bomb_is_refused(faults, client) -> None:
    bomb = gzip.compress(bytes(64 * 1024 * 1024))

    async def handler(request: web.Request) -> web.Response:
        return web.Response(body=bomb, headers={"Content-Encoding": "gzip"}, content_type="application/json")

    faults.handler = handler
    failure = await ask(client)
    assert isinstance(failure, Failure)
    assert (failure.kind, failure.raw) == ("malformed", b"")
    assert "larger than" in failure.reason


async def test_a_header_of_100_kb_is_refused(faults, client) -> None:
    faults.says(json.dumps(GOOD), x_much="a" * 100_000)
    failure = await ask(client)
    assert isinstance(failure, Failure)
    assert failure.kind == "malformed"


async def test_a_redirect_is_not_followed_and_the_key_stays(faults, elsewhere, client) -> None:
    elsewhere.says(json.dumps(GOOD))
    for status in (301, 302, 307, 308):
        faults.says("", status, location=elsewhere.url)
        failure = await ask(client, KEY)
        assert isinstance(failure, Failure)
        assert failure.kind == "parked"
        assert "127.0.0.1" in failure.reason
    assert elsewhere.seen == []


def _transport(request: web.Request) -> asyncio.Transport:
    assert isinstance(request.transport, asyncio.Transport)
    return request.transport


async def test_a_reset_before_the_answer_is_ambiguous(faults, client) -> None:
    async def handler(request: web.Request) -> web.Response:
        _transport(request).abort()
        return web.Response()

    faults.handler = handler
    failure = await ask(client)
    assert isinstance(failure, Failure)
    assert (failure.kind, failure.reached) == ("ambiguous", True)


async def test_a_reset_in_the_middle_of_the_answer_is_ambiguous(faults, client) -> None:
    async def handler(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Length": "1000"})
        await response.prepare(request)
        await response.write(b'{"choices"')
        _transport(request).abort()
        return response

    faults.handler = handler
    failure = await ask(client)
    assert isinstance(failure, Failure)
    assert failure.kind == "ambiguous"
    assert "middle" in failure.reason


@pytest.mark.parametrize("trickle", [False, True])
async def test_silence_ends_at_the_deadline_and_bytes_prolong_it(faults, trickle) -> None:
    release = asyncio.Event()

    async def handler(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        if trickle:
            await response.prepare(request)
            for _ in range(12):  # 0.6 s, one byte each 0.05 s
                await response.write(b" ")
                await asyncio.sleep(0.05)
            await response.write(json.dumps(GOOD).encode())
            return response
        await release.wait()
        return response

    faults.handler = handler
    async with make_client(faults.url, timeout_seconds=0.3) as client:
        result = await ask(client)
        release.set()
    if trickle:
        assert isinstance(result, Answer) and result.completions[0].text == "Four."
        return
    assert isinstance(result, Failure)
    assert result.kind == "ambiguous"
    assert "timed out" in result.reason


async def test_no_server_is_transient_and_nothing_was_sent(unused_port) -> None:
    async with make_client(f"http://127.0.0.1:{unused_port}/v1") as client:
        failure = await ask(client)
    assert isinstance(failure, Failure)
    assert (failure.kind, failure.reached) == ("transient", False)


async def test_a_name_that_does_not_exist_is_transient() -> None:
    async with make_client("http://no-such-host.invalid/v1") as client:
        failure = await ask(client)
    assert isinstance(failure, Failure)
    assert (failure.kind, failure.reached) == ("transient", False)


@pytest.fixture
async def unused_port(faults: FaultServer) -> int:
    server = await asyncio.start_server(lambda *_: None, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    server.close()
    await server.wait_closed()
    return port


async def test_an_echoed_key_is_stored_nowhere(faults, client) -> None:
    secret = KEY.get_secret_value()
    faults.says(json.dumps({"error": {"message": f"Incorrect API key provided: {secret}"}}), 401)
    failure = await ask(client, KEY)
    assert isinstance(failure, Failure)
    assert failure.kind == "parked"
    assert secret not in repr(failure)
    assert "[redacted]" in failure.reason
    echo = {**GOOD, "choices": [{"message": {"content": f"your key is {secret}"}}]}
    faults.says(json.dumps(echo), x_request_id=f"id-{secret}")
    answer = await ask(client, KEY)
    assert secret not in repr(answer)
    assert isinstance(answer, Answer)
    assert answer.completions[0].text == "your key is [redacted]"


@pytest.mark.parametrize("spell", [r"\u002d", r"\u002D"])
async def test_an_echoed_key_is_found_however_json_writes_it(faults, client, spell) -> None:
    secret = KEY.get_secret_value()
    faults.says(json.dumps(GOOD).replace("Four.", f"key {secret.replace('-', spell)}, caf\\u00e9."))
    answer = await ask(client, KEY)
    assert isinstance(answer, Answer)
    assert answer.completions[0].text == "key [redacted], caf\N{LATIN SMALL LETTER E WITH ACUTE}."
    assert secret not in json.dumps(json.loads(answer.raw))


async def test_a_429_with_its_headers(faults, client) -> None:
    faults.says(
        '{"error": {"message": "Rate limit reached on requests per min (RPM)"}}', 429, Retry_After="7",
        x_ratelimit_limit_requests="60", x_ratelimit_remaining_requests="0", x_ratelimit_reset_requests="6s",
    )  # fmt: skip
    failure = await ask(client)
    assert isinstance(failure, Failure)
    assert (failure.kind, failure.retry_after_s, failure.status) == ("limited", 7.0, 429)
    assert failure.scope == "requests"
    assert failure.headers is not None
    assert failure.headers.requests_reset_s == 6.0


@pytest.fixture
def certificate(tmp_path) -> ssl.SSLContext:
    made = subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=localhost",
         "-keyout", str(tmp_path / "key.pem"), "-out", str(tmp_path / "cert.pem")],
        capture_output=True, check=False,
    )  # fmt: skip
    if made.returncode:
        pytest.skip("openssl cannot make a certificate here")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(tmp_path / "cert.pem", tmp_path / "key.pem")
    return context


async def test_a_wrong_certificate_is_refused(certificate) -> None:
    seen = []

    async def handler(request: web.Request) -> web.Response:
        seen.append(request)
        return web.Response()

    app = web.Application()
    app.router.add_post("/v1/chat/completions", handler)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0, ssl_context=certificate).start()
    async with make_client(f"https://127.0.0.1:{runner.addresses[0][1]}/v1") as client:
        failure = await ask(client, KEY)
    await runner.cleanup()
    assert isinstance(failure, Failure)
    assert failure.kind == "parked"
    assert "certificate" in failure.reason
    assert seen == []


async def test_a_host_that_can_be_no_name_is_parked() -> None:
    async with make_client(f"http://{'a' * 100}.example/v1") as client:
        failure = await ask(client)
    assert isinstance(failure, Failure)
    assert (failure.kind, failure.reached) == ("parked", False)


def test_wrong_addresses_are_configuration_errors() -> None:
    with pytest.raises(ConfigError, match="not a valid URL"):
        make_client("localhost:8000")
    with pytest.raises(ConfigError, match="line breaks"):
        make_client("http://localhost/v1", headers={"X-Org": "a\r\nX-Evil: b"})


async def test_the_environment_s_proxy_is_not_used(faults, client, monkeypatch) -> None:
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:1")
    faults.says(json.dumps(GOOD))
    assert isinstance(await ask(client), Answer)


@pytest.mark.parametrize(
    ("error", "kind", "reason"),
    [
        ({"code": 402, "message": "Insufficient credits."}, "parked", "payment required (402)"),
        ({"code": "401", "message": "No auth"}, "parked", "the API key was rejected (401): No auth"),
        ({"code": 429, "message": "Slow down"}, "limited", "rate limited (429): Slow down"),
        (
            {"code": "insufficient_quota", "message": "You exceeded your current quota"},
            "parked",
            "quota or billing (429)",
        ),
        ({"type": "rate_limit_error", "message": "x"}, "limited", "rate limited (429)"),
        ({"code": 400, "message": "This model's maximum context length is 9"}, "permanent", "too long"),
        ({"code": 502, "message": "upstream"}, "transient", "server error (502): upstream"),
        ({"message": "internal error"}, "transient", "server error (502)"),
        ("internal server error", "transient", "server error (502)"),
        ({"message": "no luck"}, "malformed", "the response reports an error: no luck"),
        ({"code": 10**400}, "malformed", "the response reports an error"),
    ],
)
async def test_an_error_under_a_200_is_what_it_would_be_by_its_status(
    faults, client, error, kind, reason
) -> None:
    faults.says(json.dumps({"error": error}), retry_after="7")
    failure = await ask(client, KEY)
    assert isinstance(failure, Failure)
    assert failure.kind == kind and reason in failure.reason
    assert failure.retry_after_s == (7.0 if kind in ("limited", "transient") else None)
    assert bool(failure.raw) == (kind == "malformed"), "what may have been billed is kept"
    assert failure.charged == "none"


async def test_a_large_answer_that_was_received_is_not_lost_to_an_end_of_the_daemon(faults) -> None:
    faults.says(json.dumps({**GOOD, "padding": "x" * 2_000_000}))
    parsing, go_on = threading.Event(), threading.Event()
    received: list[Answer | Failure] = []
    async with make_client(faults.url, max_body=4_000_000) as client, anyio.create_task_group() as group:
        parse = client.dialect.parse

        def slow(payload: object, request: Request) -> list[Completion]:
            parsing.set()
            assert go_on.wait(20)
            return parse(payload, request)

        client.dialect = replace(client.dialect, parse=slow)

        async def send() -> None:
            received.append(await ask(client))

        group.start_soon(send)
        await anyio.to_thread.run_sync(parsing.wait, 20)
        group.cancel_scope.cancel()  # a second signal
        go_on.set()
    (answer,) = received
    assert isinstance(answer, Answer) and answer.completions[0].text == "Four."
