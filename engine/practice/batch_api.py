"""OpenAI's Batch API: batches that run in the background, and their faults. Its files are in files_api.py.

    POST /v1/batches    GET /v1/batches[/ID]    POST /v1/batches/ID/cancel

A batch's rows are executed one by one over `batch_seconds`; each executed row is an entry of the ledger under its
`custom_id`. Files and batches are kept in memory and are lost when the server ends.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import random
import time
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from aiohttp import web

from engine.practice import fault_injection
from engine.practice.apis import APIS, Api
from engine.practice.apis.base import Choice, Refusal, parse_object
from engine.practice.apis.openai import OPENAI
from engine.practice.batch_objects import Batch, check_line
from engine.practice.completer import Completer
from engine.practice.files_api import FileStore, page
from engine.practice.ledger import Ledger
from engine.practice.server_options import BATCH_BEHAVIOURS, PracticeOptions

MOST_REQUESTS = 50_000
TICK_S = 0.02
PAGE = 20
ENDPOINTS: dict[str, Api] = {f"/v1{api.path}": api for api in APIS.values() if api.provider is OPENAI}
"""The APIs that a batch can be for."""


class BatchServer:
    """The handlers, with the files and batches."""

    def __init__(
        self,
        options: PracticeOptions,
        ledger: Ledger,
        authorize: Callable[[web.Request], str],
        completer: Completer,
    ) -> None:
        """Prepares the handlers; no batch runs yet.

        Args:
            options: the server's options.
            ledger: records what is answered and billed.
            authorize: raises a `Refusal` for a wrong API key.
            completer: makes a request's completions.
        """
        self._options = options
        self._ledger = ledger
        self._authorize = authorize
        self._completer = completer
        self._files = FileStore(options.seed)
        self._batches: dict[str, Batch] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._calls = 0
        chosen = tuple(fault for fault in options.faults if fault.name in BATCH_BEHAVIOURS)
        rows = tuple(fault for fault in options.faults if fault.name not in BATCH_BEHAVIOURS)
        self._batch_faults = fault_injection.FaultPlan(chosen, options.seed)
        self._row_faults = fault_injection.FaultPlan(rows, options.seed)
        self._numbers = 0

    def add_routes(self, app: web.Application, prefix: str) -> None:
        """Adds the handlers of files and batches to the application."""
        for method, path, handler in (
            *self._files.routes(),
            ("POST", "/batches", self._create),
            ("GET", "/batches", self._list),
            ("GET", "/batches/{id}", self._show),
            ("POST", "/batches/{id}/cancel", self._cancel),
        ):
            app.router.add_route(method, prefix + path, self._guarded(handler))

    async def close(self) -> None:
        """Stops the running batches."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def _guarded(self, handler: Callable[[web.Request], Any]) -> Callable[[web.Request], Any]:
        """A handler that refuses wrong API keys and reports errors in OpenAI's form; POSTs are entered into the ledger."""

        async def handle(request: web.Request) -> web.StreamResponse:
            received, number = time.time_ns() // 1_000_000, self._calls
            self._calls += 1
            try:
                self._authorize(request)
                if request.method == "POST" and (fault := self._management_fault(number)) is not None:
                    response: web.StreamResponse = fault
                else:
                    response = await handler(request)
            except Refusal as refusal:
                response = web.Response(
                    status=refusal.status, body=OPENAI.error(refusal), content_type="application/json"
                )
            if request.method == "POST":
                self._ledger.add(
                    request_id=request.headers.get("X-Request-Id", f"batch-call-{number}")[:200],
                    received_at=received,
                    model="",
                    path=request.path,
                    status=response.status,
                    answered=True,
                )
            return response

        return handle

    def _management_fault(self, number: int) -> web.Response | None:
        name, rng = self._batch_faults.draw(number)
        if name != "batch-429":
            return None
        status, body, headers = fault_injection.status_fault("429", rng, OPENAI) or (429, b"", {})
        return web.Response(status=status, body=body, headers=headers, content_type="application/json")

    async def _create(self, request: web.Request) -> web.StreamResponse:
        data = parse_object(await request.read())
        file_id, endpoint = data.get("input_file_id"), data.get("endpoint")
        file = self._files.get(file_id)
        if file is None:
            raise Refusal(400, "The input file does not exist.", param="input_file_id")
        if not isinstance(endpoint, str) or endpoint not in ENDPOINTS:
            raise Refusal(400, f"'endpoint' must be one of {', '.join(ENDPOINTS)}.", param="endpoint")
        if data.get("completion_window") != "24h":
            raise Refusal(400, "'completion_window' must be '24h'.", param="completion_window")
        number = self._numbers
        self._numbers += 1
        name, _ = self._batch_faults.draw(number)
        batch = Batch(
            id=f"batch_{number:06d}",
            number=number,
            input_file_id=file.id,
            endpoint=endpoint,
            metadata=data.get("metadata") or {},
            times={"created": int(time.time())},
            fault=name,
        )
        self._batches[batch.id] = batch
        task = asyncio.create_task(self._run(batch))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        if name == "batch-lost":
            return fault_injection.reset(request)
        return web.json_response(batch.as_json())

    async def _list(self, request: web.Request) -> web.Response:
        return web.json_response(page(request, list(reversed(self._batches.values())), PAGE))

    def _batch(self, request: web.Request) -> Batch:
        key = request.match_info["id"]
        if key not in self._batches:
            raise Refusal(404, f"No batch found with id '{key[:100]}'.", param="id")
        return self._batches[key]

    async def _show(self, request: web.Request) -> web.Response:
        return web.json_response(self._batch(request).as_json())

    async def _cancel(self, request: web.Request) -> web.Response:
        batch = self._batch(request)
        if batch.status in ("validating", "in_progress"):
            self._enter(batch, "cancelling")
        return web.json_response(batch.as_json())

    # Running a batch

    async def _run(self, batch: Batch) -> None:
        await asyncio.sleep(0)
        rows = self._validated(batch)
        if rows is None:
            self._enter(batch, "failed")
            return
        batch.total = len(rows)
        self._enter(batch, "in_progress")
        stop_at = len(rows) // 2 if batch.fault in ("batch-expire", "batch-cancel") else len(rows)
        started = time.monotonic()
        for index, row in enumerate(rows):
            if index >= stop_at or batch.status == "cancelling":
                break
            due = started + self._options.batch_seconds * index / len(rows)
            if due - time.monotonic() > TICK_S or index % 200 == 199:
                await asyncio.sleep(max(0.0, due - time.monotonic()))
            self._answer(batch, row, index)
        await asyncio.sleep(max(0.0, started + self._options.batch_seconds - time.monotonic()))
        self._conclude(batch, rows, stop_at)

    def _validated(self, batch: Batch) -> list[dict[str, Any]] | None:
        """The rows of the input file; None if the batch is refused (its `errors` say why)."""
        file = self._files.get(batch.input_file_id)
        lines = file.content.splitlines() if file is not None else []
        rows: list[dict[str, Any]] = []
        seen: set[str] = set()
        refusal = {
            "batch-queue": (
                "token_limit_exceeded",
                "Enqueued token limit reached for practice-large. Limit: 2,000 enqueued tokens.",
            ),
            "batch-fail": (
                "billing_hard_limit_reached",
                "Billing hard limit has been reached.",
            ),
        }.get(batch.fault)
        limit = self._options.batch_queue_tokens
        if refusal is None and limit is not None and sum(map(len, lines)) // 4 > limit:
            message = f"Enqueued token limit reached for practice-large. Limit: {limit:,} enqueued tokens."
            refusal = ("token_limit_exceeded", message)
        if refusal is not None:
            batch.errors.append({"code": refusal[0], "message": refusal[1], "line": None, "param": None})
            return None
        for number, line in enumerate(lines, start=1):
            wrong = check_line(line, batch.endpoint, seen, rows)
            if wrong:
                batch.errors.append(
                    {"code": wrong[0], "message": wrong[1], "line": number, "param": wrong[2]}
                )
        if not rows and not batch.errors:
            batch.errors.append(
                {"code": "empty_file", "message": "The file is empty.", "line": None, "param": None}
            )
        if len(rows) > MOST_REQUESTS:
            message = f"The file holds more than {MOST_REQUESTS} requests."
            batch.errors.append({"code": "too_many_tasks", "message": message, "line": None, "param": None})
        return None if batch.errors else rows

    def _answer(self, batch: Batch, row: dict[str, Any], index: int) -> None:
        """Executes one row."""
        key = f"{batch.number}-{index}"
        custom_id, model = row["custom_id"], ""
        name, rng = self._row_faults.draw(batch.number * MOST_REQUESTS + index)
        api = ENDPOINTS[batch.endpoint]
        billed, tokens = False, (0, 0)
        choices: list[Choice] = []
        try:
            body = replace(api.read(row["body"]), replicates=_replicates(row.get("replicates")))
            model = body.model
            if body.stream:
                raise Refusal(400, "A batch does not stream; remove 'stream'.", param="stream")
            choices, prompt_tokens = self._completer.complete(api, body)
            error = fault_injection.status_fault(name, rng, api.provider)
            if error is not None:
                status, answer = error[0], json.loads(error[1])
            else:
                tokens = prompt_tokens, sum(choice.tokens for choice in choices)
                status, answer, billed = 200, api.write(body, choices, prompt_tokens, index), True
                self._completer.count(body)
                if name == "malformed":
                    answer[api.contents_field] = []
        except Refusal as refusal:
            status, answer = refusal.status, json.loads(OPENAI.error(refusal))
        line = json.dumps(
            {
                "id": f"batch_req_{key}",
                "custom_id": custom_id,
                "response": {"status_code": status, "request_id": f"req_{key}", "body": answer},
                "error": None,
            }
        ).encode()
        (batch.output if status == 200 else batch.error_lines).append(line)
        batch.completed += status == 200
        batch.failed += status != 200
        self._ledger.add(
            request_id=custom_id,
            received_at=time.time_ns() // 1_000_000,
            model=model,
            path="/v1/batches row",
            status=status,
            answered=True,
            billed=billed,
            tokens=tokens,
            sha256=hashlib.sha256(line).hexdigest(),
            fault=name if _took_effect(name, status) else "",
            choices=len(choices),
        )

    def _conclude(self, batch: Batch, rows: list[dict[str, Any]], stop_at: int) -> None:
        """Writes the result files and ends the batch."""
        status = "completed"
        if batch.status == "cancelling" or batch.fault == "batch-cancel":
            status = "cancelled"
        elif stop_at < len(rows):
            status = "expired"
            message = "This request could not be executed before the completion window expired."
            done = batch.completed + batch.failed
            for number, row in enumerate(rows[done:], start=done):
                line = {
                    "id": f"batch_req_{batch.number}-{number}",
                    "custom_id": row["custom_id"],
                    "response": None,
                    "error": {"code": "batch_expired", "message": message},
                }
                batch.error_lines.append(json.dumps(line).encode())
        self._enter(batch, "finalizing")
        if batch.fault == "batch-hole":
            del batch.output[::4]
        rng = random.Random(f"{self._options.seed}|order|{batch.number}")
        rng.shuffle(batch.output)
        if batch.output:
            batch.output_file_id = self._files.keep(
                f"{batch.id}_output.jsonl", "batch_output", _joined(batch.output)
            ).id
        if batch.error_lines:
            batch.error_file_id = self._files.keep(
                f"{batch.id}_error.jsonl", "batch_output", _joined(batch.error_lines)
            ).id
        self._enter(batch, status)

    def _enter(self, batch: Batch, status: str) -> None:
        batch.status = status
        batch.times[status] = int(time.time())


def _took_effect(name: str, status: int) -> bool:
    """Whether a fault applied to a row; faults of a connection do not apply to rows."""
    return name == "malformed" or (name == "quota" and status == 429) or name == str(status)


def _joined(lines: list[bytes]) -> bytes:
    return b"\n".join(lines) + b"\n"


def _replicates(value: object) -> tuple[int, ...]:
    """The replicates that a daemon asks for in a row; none if they are no list of numbers."""
    if isinstance(value, list) and all(type(each) is int and each >= 0 for each in value):
        return tuple(value)
    return ()
