"""The server: completions over HTTP in the forms of several APIs, with rate limits, delays, faults and a ledger.

    POST /v1/chat/completions, /v1/completions, /v1/responses, /v1/messages (each is a module of apis/)
    POST /v1/messages/count_tokens
    GET  /v1/models[/ID], /healthz, /ledger[?since=N]
    and files and batches (files_api.py, batch_api.py), all of them also without `/v1`

The completions are made, the rate limits are charged, the delay passes, and the response is billed and sent. Every POST
request is an entry of the ledger, even if it is refused.
"""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import json
import math
import random
import time
import uuid
from collections.abc import Awaitable, Callable
from dataclasses import asdict, dataclass, replace

from aiohttp import web

from engine.errors import UsageError
from engine.practice import fault_injection as faults
from engine.practice.apis import APIS, Api, messages
from engine.practice.apis.base import Body, Choice, Provider, Refusal, parse_object
from engine.practice.apis.openai import OPENAI
from engine.practice.batch_api import BatchServer
from engine.practice.completer import Completer
from engine.practice.ledger import Ledger
from engine.practice.rate_limits import Limits, Refused
from engine.practice.server_options import BATCH_BEHAVIOURS, PracticeOptions
from engine.practice.simulated_model import MODELS

LARGEST_BODY = 4 * 1024 * 1024
SPREAD = 0.35
"""Standard deviation of the logarithm of the delay."""
KEY_HEADERS = ("x-api-key", "api-key")
"""Headers of the API key, besides `Authorization`."""

PREFIXES = ("/v1", "")
"""Clients differ in whether `/v1` belongs to the base URL."""

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


@dataclass(slots=True)
class Call:
    """A request in progress, with the data of its ledger entry."""

    api: Api
    number: int
    request_id: str
    received_at: int
    path: str
    model: str = ""
    fault: str = ""


class TeacherServer:
    """The handlers and their shared state, on one event loop."""

    def __init__(self, options: PracticeOptions) -> None:
        """Prepares a server.

        Raises:
            UsageError: the ledger cannot be written, or a replay file is not a JSON lines file.
            TaskDataError: a line of a replay file is wrong.
        """
        self.options = options
        self.completer = Completer(options)
        self.ledger = Ledger(options.ledger)
        self.limits = Limits(options)
        single = tuple(fault for fault in options.faults if fault.name not in BATCH_BEHAVIOURS)
        self.fault_plan = faults.FaultPlan(single, options.seed)
        self.batches = BatchServer(options, self.ledger, self._authorize, self.completer)
        self.started = 0
        self.in_flight = 0

    def handler(self, api: Api) -> Handler:
        """The handler of an API's requests."""

        async def handle(request: web.Request) -> web.StreamResponse:
            return await self._complete(request, api)

        return handle

    async def _complete(self, request: web.Request, api: Api) -> web.StreamResponse:
        call = self._begin(request, api)
        try:
            key = self._authorize(request)
            body = api.read(parse_object(await request.read()))
            body = replace(body, replicates=_replicates(request.headers.get("X-Replicates", "")))
            call.model = body.model
            choices, prompt_tokens = self.completer.complete(api, body)
        except Refusal as refusal:
            return await self._refuse(request, call, refusal, {})
        except web.HTTPRequestEntityTooLarge:
            large = Refusal(413, f"The body is larger than {LARGEST_BODY} bytes.")
            return await self._refuse(request, call, large, {"Connection": "close"})
        if self.options.concurrency is not None and self.in_flight >= self.options.concurrency:
            message = f"Too many requests in flight: the limit is {self.options.concurrency}."
            return await self._refuse(request, call, Refusal(429, message, "concurrency_limit_exceeded"), {})
        now = time.monotonic()
        tokens = prompt_tokens, sum(choice.tokens for choice in choices)
        refused = self.limits.take(key, sum(tokens), now)
        headers = api.provider.limit_headers(self.limits.levels(key, now))
        headers[api.provider.request_id_header] = _header(call.request_id)
        if refused is not None:
            headers |= faults.retry_after(refused.wait)
            return await self._refuse(request, call, _too_many(body, refused), headers)
        self.completer.count(body)
        self.in_flight += 1
        try:
            return await self._deliver(request, call, body, choices, tokens, headers)
        finally:
            self.in_flight -= 1

    def _begin(self, request: web.Request, api: Api) -> Call:
        self.started += 1
        return Call(
            api=api,
            number=self.started - 1,
            request_id=request.headers.get("X-Request-Id", "")[:200] or uuid.uuid4().hex,
            received_at=time.time_ns() // 1_000_000,
            path=request.path,
        )

    async def count_tokens(self, request: web.Request) -> web.StreamResponse:
        """POST: the tokens of a prompt of Anthropic's messages, which cost nothing to count."""
        call = self._begin(request, messages.API)
        try:
            self._authorize(request)
            body = messages.API.read({"max_tokens": 1, **parse_object(await request.read())})
            call.model = body.model
            self.completer.check_model(body.model)
        except Refusal as refusal:
            return await self._refuse(request, call, refusal, {})
        counted = json.dumps({"input_tokens": self.completer.prompt_tokens(body)}).encode()
        return await self._answer_unbilled(request, call, 200, counted, {})

    async def _deliver(
        self,
        request: web.Request,
        call: Call,
        body: Body,
        choices: list[Choice],
        tokens: tuple[int, int],
        headers: dict[str, str],
    ) -> web.StreamResponse:
        """Waits, bills and sends, or carries out the fault. A stream begins after half of the delay, and takes the other half."""
        api = call.api
        call.fault, rng = self.fault_plan.draw(call.number)
        error = faults.status_fault(call.fault, rng, api.provider)
        if error is not None:
            status, text, more = error
            return await self._answer_unbilled(request, call, status, text, headers | more)
        if call.fault == "reset" and rng.random() < 0.5:
            response = faults.reset(request)
            self._enter(call, 0, answered=False)
            return response
        delay = self._delay(call.number)
        try:
            await asyncio.sleep(delay / 2 if body.stream else delay)
        except asyncio.CancelledError:
            self._enter(call, 0, answered=False)
            raise
        if body.stream:
            events = api.stream(body, choices, tokens[0], call.number)
            raw, content_type = b"".join(events), faults.EVENTS
            if call.fault == "malformed":
                raw, content_type = faults.malformed_stream(api, events, rng)
        else:
            events = []
            answer = api.write(body, choices, tokens[0], call.number)
            raw, content_type = json.dumps(answer).encode(), faults.JSON
            if call.fault == "malformed":
                raw, content_type = faults.malformed(api, answer, raw, rng)
        response, answered = web.StreamResponse(), False
        try:
            if call.fault == "reset":
                response = faults.reset(request)
            elif call.fault == "truncate":
                response = await faults.truncate(request, raw, headers, content_type, rng)
            elif call.fault == "slow":
                pieces, seconds = faults.bytewise(raw), self.options.slow_seconds
                response, answered = await faults.trickle(request, pieces, headers, seconds, content_type)
            elif events and call.fault != "malformed":
                pieces = faults.eventwise(events)
                response, answered = await faults.trickle(request, pieces, headers, delay / 2, content_type)
            else:
                response, answered = await faults.send(request, 200, raw, headers, content_type)
        finally:  # the completion was made, so it is billed, even if the server is stopped while it sends
            digest = hashlib.sha256(raw).hexdigest()
            self._enter(
                call,
                200,
                answered=answered,
                billed=True,
                tokens=tokens,
                sha256=digest,
                choices=len(choices),
            )
        return response

    async def _refuse(
        self, request: web.Request, call: Call, refusal: Refusal, headers: dict[str, str]
    ) -> web.StreamResponse:
        body = call.api.provider.error(refusal)
        return await self._answer_unbilled(request, call, refusal.status, body, headers)

    async def _answer_unbilled(
        self, request: web.Request, call: Call, status: int, body: bytes, headers: dict[str, str]
    ) -> web.StreamResponse:
        headers = {**headers, call.api.provider.request_id_header: _header(call.request_id)}
        response, answered = await faults.send(request, status, body, headers)
        self._enter(call, status, answered=answered, sha256=hashlib.sha256(body).hexdigest())
        return response

    def _enter(
        self,
        call: Call,
        status: int,
        *,
        answered: bool,
        billed: bool = False,
        tokens: tuple[int, int] = (0, 0),
        sha256: str = "",
        choices: int = 0,
    ) -> None:
        self.ledger.add(
            request_id=call.request_id,
            received_at=call.received_at,
            model=call.model,
            path=call.path,
            status=status,
            answered=answered,
            billed=billed,
            tokens=tokens,
            sha256=sha256,
            fault=call.fault,
            choices=choices,
        )

    def _authorize(self, request: web.Request) -> str:
        """The request's API key.

        Raises:
            Refusal: keys are required, and this is not one of them.
        """
        given = request.headers
        key = given.get("Authorization", "").removeprefix("Bearer ").strip()
        key = key or next((given[name] for name in KEY_HEADERS if name in given), "")
        if self.options.keys and not any(
            hmac.compare_digest(key.encode("utf-8", "surrogateescape"), known.encode())
            for known in self.options.keys
        ):
            raise Refusal(401, "Incorrect API key provided.", "invalid_api_key")
        return key

    def _delay(self, number: int) -> float:
        """Seconds of delay: log-normal around the mean `latency_ms`."""
        if not self.options.latency_ms:
            return 0.0
        rng = random.Random(f"{self.options.seed}|delay|{number}")
        return self.options.latency_ms / 1000 * math.exp(rng.gauss(-SPREAD * SPREAD / 2, SPREAD))

    async def models(self, request: web.Request) -> web.Response:
        """GET: the models, or one of them by its id."""
        provider = _provider(request)
        try:
            self._authorize(request)
            wanted = request.match_info.get("id")
            if wanted is not None:
                self.completer.check_model(wanted)
            shown = provider.models(MODELS) if wanted is None else provider.model(wanted)
        except Refusal as refusal:
            return _refused(provider, refusal)
        return web.json_response(shown)

    async def unknown(self, request: web.Request) -> web.Response:
        """Any other request."""
        path = request.path.removeprefix("/v1")
        asked = f"{request.method} {request.path}"
        if path.removeprefix("/") in APIS:
            refusal = Refusal(405, f"Not allowed: {asked}. Use POST.", "method_not_supported")
        else:
            refusal = Refusal(404, f"Unknown request URL: {asked}.", "unknown_url")
        return _refused(_provider(request), refusal)

    async def health(self, request: web.Request) -> web.Response:
        """GET: that the server runs, and its counts of requests."""
        return web.json_response({"status": "ok", "requests": self.started, "in_flight": self.in_flight})

    async def show_ledger(self, request: web.Request) -> web.Response:
        """GET: the entries whose number is at least `since`."""
        since = request.query.get("since", "0")
        if not since.isascii() or not since.isdigit():
            return _refused(OPENAI, Refusal(400, "'since' must be a whole number from 0.", param="since"))
        return web.json_response([asdict(entry) for entry in self.ledger.since(int(since[:18]))])

    async def close(self, app: web.Application) -> None:
        """Stops the running batches and closes the ledger's file."""
        await self.batches.close()
        self.ledger.close()


def _provider(request: web.Request) -> Provider:
    """Whose client asks for what several providers have under one path."""
    return messages.ANTHROPIC if "anthropic-version" in request.headers else OPENAI


def _refused(provider: Provider, refusal: Refusal) -> web.Response:
    return web.Response(status=refusal.status, body=provider.error(refusal), content_type="application/json")


def _too_many(body: Body, refused: Refused) -> Refusal:
    short = "RPM" if refused.kind == "requests" else "TPM"
    message = (
        f"Rate limit reached for {body.model} on {refused.kind} per min ({short}): Limit {refused.per_minute}. "
        f"Please try again in {refused.wait:.3f}s."
    )
    return Refusal(429, message, "rate_limit_exceeded")


def _replicates(text: str) -> tuple[int, ...]:
    """The replicates that a daemon asks for; none if the header is no list of numbers."""
    numbers = text.split(",")
    good = all(each.isascii() and each.isdigit() and len(each) < 16 for each in numbers)
    return tuple(map(int, numbers)) if good else ()


def _header(text: str) -> str:
    """A client's id without characters that a header cannot contain."""
    return "".join(char for char in text if char.isascii() and char.isprintable())


SERVER = web.AppKey("server", TeacherServer)


def make_app(options: PracticeOptions) -> web.Application:
    """The server as an aiohttp application.

    Raises:
        UsageError: the ledger cannot be written, or a replay file cannot be used.
    """
    server = TeacherServer(options)
    app = web.Application(client_max_size=LARGEST_BODY)
    app[SERVER] = server
    for prefix in PREFIXES:
        for api in APIS.values():
            app.router.add_post(f"{prefix}{api.path}", server.handler(api))
        app.router.add_get(f"{prefix}/models", server.models)
        app.router.add_get(f"{prefix}/models/{{id:.+}}", server.models)
        app.router.add_post(f"{prefix}{messages.API.path}/count_tokens", server.count_tokens)
        server.batches.add_routes(app, prefix)
    app.router.add_get("/healthz", server.health)
    app.router.add_get("/ledger", server.show_ledger)
    app.router.add_route("*", "/{path:.*}", server.unknown)
    app.on_cleanup.append(server.close)
    return app


async def serve(options: PracticeOptions, *, ready: Callable[[str], None]) -> None:
    """Serves until cancelled; calls `ready` once with the base URL (`http://127.0.0.1:PORT/v1`).

    Raises:
        UsageError: the address cannot be used, or `make_app` raises it.
    """
    runner = web.AppRunner(make_app(options), access_log=None, shutdown_timeout=1.0)
    await runner.setup()
    try:
        site = web.TCPSite(runner, options.host, options.port, backlog=4096)
        try:
            await site.start()
        except OSError as error:
            raise UsageError(
                f"cannot listen on {options.host}:{options.port}: {error.strerror or error}"
            ) from None
        host, port = runner.addresses[0][:2]
        ready(f"http://[{host}]:{port}/v1" if ":" in host else f"http://{host}:{port}/v1")
        await asyncio.Event().wait()
    finally:
        await runner.cleanup()
