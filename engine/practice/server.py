"""The server: OpenAI's chat and text completions over HTTP, with rate limits, delays, faults and a ledger.

    POST /v1/chat/completions, /v1/completions    GET /v1/models, /healthz, /ledger[?since=N]
    and the Batch API (batch_api.py)

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
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import asdict, dataclass

from aiohttp import web

from engine.errors import UsageError
from engine.practice import fault_injection as faults
from engine.practice.batch_api import BatchServer
from engine.practice.ledger import Ledger
from engine.practice.openai_json import Body, Choice, Refusal, read_body, write_answer
from engine.practice.rate_limits import Limits, Refused
from engine.practice.recorded_model import RecordedModel
from engine.practice.server_options import BATCH_BEHAVIOURS, PracticeOptions
from engine.practice.simulated_model import (
    MODELS,
    CompletionRequest,
    Respond,
    SimulatedModel,
    UnknownQuestion,
)
from engine.practice.tokens import count_tokens, cut

LARGEST_BODY = 4 * 1024 * 1024
PROMPTS_COUNTED = 1_000_000
MOST = 10**9
SPREAD = 0.35
"""Standard deviation of the logarithm of the delay."""


@dataclass(slots=True)
class Call:
    """A request in progress, with the data of its ledger entry."""

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
            UsageError: the ledger cannot be written, or the replay file is not a JSON lines file.
            TaskDataError: a line of the replay file is wrong.
        """
        self.options = options
        self.respond: Respond = (
            RecordedModel(options.replay).reply
            if options.replay
            else SimulatedModel(options.seed, options.error_rate).reply
        )
        self.ledger = Ledger(options.ledger)
        self.limits = Limits(options)
        single = tuple(fault for fault in options.faults if fault.name not in BATCH_BEHAVIOURS)
        self.fault_plan = faults.FaultPlan(single, options.seed)
        self.batches = BatchServer(options, self.ledger, self._authorize, self._answer, self._count)
        self.started = 0
        self.in_flight = 0
        self._given: OrderedDict[tuple[str, str], int] = OrderedDict()

    async def complete(self, request: web.Request) -> web.StreamResponse:
        """POST: completions."""
        call = Call(
            number=self.started,
            request_id=request.headers.get("X-Request-Id", "")[:200] or uuid.uuid4().hex,
            received_at=time.time_ns() // 1_000_000,
            path=request.path,
        )
        self.started += 1
        try:
            key = self._authorize(request)
            body = read_body(await request.read(), chat=request.path.endswith("/chat/completions"))
            call.model = body.model
            if self.options.replay is None and body.model not in MODELS:
                message = (
                    f"The model '{body.model[:100]}' does not exist; the models are {' and '.join(MODELS)}."
                )
                raise Refusal(404, message, "model_not_found", "model")
            choices, prompt_tokens = self._answer(body)
        except Refusal as refusal:
            return await self._refuse(request, call, refusal.status, refusal.body, {})
        except web.HTTPRequestEntityTooLarge:
            large = Refusal(413, f"The body is larger than {LARGEST_BODY} bytes.")
            return await self._refuse(request, call, 413, large.body, {"Connection": "close"})
        if self.options.concurrency is not None and self.in_flight >= self.options.concurrency:
            message = f"Too many requests in flight: the limit is {self.options.concurrency}."
            full = Refusal(429, message, "concurrency_limit_exceeded")
            return await self._refuse(request, call, 429, full.body, {})
        now = time.monotonic()
        tokens = prompt_tokens, sum(choice.tokens for choice in choices)
        refused = self.limits.take(key, sum(tokens), now)
        headers = {**self.limits.headers(key, now), "x-request-id": _header(call.request_id)}
        if refused is not None:
            headers |= faults.retry_after(refused.wait)
            return await self._refuse(request, call, 429, _too_many(body, refused), headers)
        self._count(body)
        self.in_flight += 1
        try:
            return await self._deliver(request, call, body, choices, tokens, headers)
        finally:
            self.in_flight -= 1

    async def _deliver(
        self,
        request: web.Request,
        call: Call,
        body: Body,
        choices: list[Choice],
        tokens: tuple[int, int],
        headers: dict[str, str],
    ) -> web.StreamResponse:
        """Waits, bills and sends, or carries out the fault."""
        call.fault, rng = self.fault_plan.draw(call.number)
        error = faults.status_fault(call.fault, rng)
        if error is not None:
            status, text, more = error
            return await self._refuse(request, call, status, text, headers | more)
        if call.fault == "reset" and rng.random() < 0.5:
            response = faults.reset(request)
            self._enter(call, 0, answered=False)
            return response
        try:
            await asyncio.sleep(self._delay(call.number))
        except asyncio.CancelledError:
            self._enter(call, 0, answered=False)
            raise
        answer = write_answer(body, choices, tokens[0], call.number)
        raw = json.dumps(answer).encode()
        response, answered, content_type = web.StreamResponse(), False, faults.JSON
        if call.fault == "malformed":
            raw, content_type = faults.malformed(answer, raw, rng)
        try:
            if call.fault == "reset":
                response = faults.reset(request)
            elif call.fault == "truncate":
                response = await faults.truncate(request, raw, headers)
            elif call.fault == "slow":
                response, answered = await faults.trickle(request, raw, headers, self.options.slow_seconds)
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
        self, request: web.Request, call: Call, status: int, body: bytes, headers: dict[str, str]
    ) -> web.StreamResponse:
        headers = {**headers, "x-request-id": _header(call.request_id)}
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
        key = request.headers.get("Authorization", "").removeprefix("Bearer ").strip()
        if self.options.keys and not any(
            hmac.compare_digest(key.encode("utf-8", "surrogateescape"), known.encode())
            for known in self.options.keys
        ):
            raise Refusal(401, "Incorrect API key provided.", "invalid_api_key")
        return key

    def _answer(self, body: Body) -> tuple[list[Choice], int]:
        """The completions after limits and stop strings, and the number of prompt tokens."""
        choices: list[Choice] = []
        for prompt in body.prompts:
            seen = self._given.get((body.model, prompt), 0)
            for index in range(body.n):
                if body.seed is None:
                    replicate, turn = f"count {seen + index}", seen + index
                else:
                    replicate, turn = f"seed {body.seed} {index}", body.seed + index
                wanted = CompletionRequest(
                    prompt=prompt,
                    model=body.model,
                    temperature=body.temperature,
                    replicate=replicate,
                    turn=turn,
                    chat=body.chat,
                )
                try:
                    reply = self.respond(wanted)
                except UnknownQuestion:
                    known = "recorded questions" if self.options.replay else "questions of the builtin tasks"
                    message = (
                        f"The prompt contains no question that this teacher knows; it answers only {known}."
                    )
                    raise Refusal(
                        404, message, "unknown_question", "messages" if body.chat else "prompt"
                    ) from None
                text, tokens, reason = cut(reply.text, MOST if reply.whole else body.max_tokens, body.stop)
                if reason == "stop" and text == reply.text:
                    reason = reply.finish_reason
                choices.append(Choice(text, tokens, reason))
        return choices, sum(map(count_tokens, body.prompts))

    def _count(self, body: Body) -> None:
        """Records that these prompts were answered, so that their next completions differ."""
        if body.seed is not None or body.temperature == 0:
            return
        for prompt in body.prompts:
            key = body.model, prompt
            self._given[key] = self._given.get(key, 0) + body.n
            self._given.move_to_end(key)
        while len(self._given) > PROMPTS_COUNTED:
            self._given.popitem(last=False)

    def _delay(self, number: int) -> float:
        """Seconds of delay: log-normal around the mean `latency_ms`."""
        if not self.options.latency_ms:
            return 0.0
        rng = random.Random(f"{self.options.seed}|delay|{number}")
        return self.options.latency_ms / 1000 * math.exp(rng.gauss(-SPREAD * SPREAD / 2, SPREAD))

    async def models(self, request: web.Request) -> web.Response:
        """GET: the models."""
        rows = [{"id": name, "object": "model", "created": 0, "owned_by": "coterie"} for name in MODELS]
        return web.json_response({"object": "list", "data": rows})

    async def health(self, request: web.Request) -> web.Response:
        """GET: that the server runs, and its counts of requests."""
        return web.json_response({"status": "ok", "requests": self.started, "in_flight": self.in_flight})

    async def show_ledger(self, request: web.Request) -> web.Response:
        """GET: the entries whose number is at least `since`."""
        since = request.query.get("since", "0")
        if not since.isascii() or not since.isdigit():
            body = Refusal(400, "'since' must be a whole number from 0.", param="since").body
            return web.Response(status=400, body=body, content_type=faults.JSON)
        return web.json_response([asdict(entry) for entry in self.ledger.since(int(since[:18]))])

    async def close(self, app: web.Application) -> None:
        """Stops the running batches and closes the ledger's file."""
        await self.batches.close()
        self.ledger.close()


def _too_many(body: Body, refused: Refused) -> bytes:
    short = "RPM" if refused.kind == "requests" else "TPM"
    message = (
        f"Rate limit reached for {body.model} on {refused.kind} per min ({short}): Limit {refused.per_minute}. "
        f"Please try again in {refused.wait:.3f}s."
    )
    return Refusal(429, message, "rate_limit_exceeded").body


def _header(text: str) -> str:
    """A client's id without characters that a header cannot contain."""
    return "".join(char for char in text if char.isascii() and char.isprintable())


SERVER = web.AppKey("server", TeacherServer)


def make_app(options: PracticeOptions) -> web.Application:
    """The server as an aiohttp application.

    Raises:
        UsageError: the ledger cannot be written, or the replay file cannot be used.
    """
    server = TeacherServer(options)
    app = web.Application(client_max_size=LARGEST_BODY)
    app[SERVER] = server
    app.router.add_post("/v1/chat/completions", server.complete)
    app.router.add_post("/v1/completions", server.complete)
    app.router.add_get("/v1/models", server.models)
    app.router.add_get("/healthz", server.health)
    app.router.add_get("/ledger", server.show_ledger)
    server.batches.add_routes(app)
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
