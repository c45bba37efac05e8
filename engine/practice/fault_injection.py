"""Fault injection: which fault a request gets, and how each fault is carried out."""

from __future__ import annotations

import asyncio
import json
import random
from collections.abc import Mapping
from typing import Any

from aiohttp import web

from engine.practice.openai_json import KINDS, error_body
from engine.practice.server_options import Fault

JSON = "application/json"


class FaultPlan:
    """Draws a fault for each request from the seed and the request's number, so a retry draws again."""

    def __init__(self, faults: tuple[Fault, ...], seed: int) -> None:
        self._faults = faults
        self._seed = seed

    def draw(self, number: int) -> tuple[str, random.Random]:
        """The fault's name (empty for none), and a random generator for its details."""
        rng = random.Random(f"{self._seed}|fault|{number}")
        left = rng.random()
        for fault in self._faults:
            if left < fault.rate:
                return fault.name, rng
            left -= fault.rate
        return "", rng


def status_fault(name: str, rng: random.Random) -> tuple[int, bytes, dict[str, str]] | None:
    """Status, body and headers of a fault that is an HTTP error; None for any other fault."""
    if name == "quota":
        message = "You exceeded your current quota, please check your plan and billing details."
        return 429, error_body(message, "insufficient_quota", "insufficient_quota"), {}
    if not name.isdigit():
        return None
    status = int(name)
    headers = {}
    if status == 429 and rng.random() < 0.5:
        headers = retry_after(0.25)
    code = {429: "rate_limit_exceeded", 401: "invalid_api_key", 404: "model_not_found"}.get(status)
    return status, error_body(f"Injected fault {status}.", KINDS.get(status, "server_error"), code), headers


def retry_after(seconds: float) -> dict[str, str]:
    """Headers that say when to retry, in whole seconds and in milliseconds."""
    milliseconds = max(1, -int(-seconds * 1000 // 1))
    return {"Retry-After": str(-(-milliseconds // 1000)), "retry-after-ms": str(milliseconds)}


def malformed(answer: dict[str, Any], body: bytes, rng: random.Random) -> tuple[bytes, str]:
    """A body for status 200 that is not a valid completion, and its content type."""
    kind = rng.choice(("html", "empty", "no-choices", "broken"))
    if kind == "html":
        return b"<!doctype html><html><body><h1>502 Bad Gateway</h1></body></html>", "text/html"
    if kind == "empty":
        return b"", JSON
    if kind == "no-choices":
        return json.dumps({**answer, "choices": []}).encode(), JSON
    return body[: len(body) // 2], JSON


async def send(
    request: web.Request, status: int, body: bytes, headers: Mapping[str, str], content_type: str = JSON
) -> tuple[web.StreamResponse, bool]:
    """Sends a whole body; returns the response, and whether it was written to the socket."""
    response = web.Response(status=status, body=body, headers=headers, content_type=content_type)
    if not _open(request):
        return response, False
    try:
        await response.prepare(request)
        await response.write_eof()
    except ConnectionError:
        return response, False
    return response, _open(request)


async def trickle(
    request: web.Request, body: bytes, headers: Mapping[str, str], seconds: float
) -> tuple[web.StreamResponse, bool]:
    """Sends a body in chunks over `seconds`; returns the response, and whether all of it was written to the socket."""
    response = web.StreamResponse(headers={**headers, "Content-Length": str(len(body)), "Content-Type": JSON})
    chunks = 8
    size = -(-len(body) // chunks)
    try:
        await response.prepare(request)
        for start in range(0, len(body), size):
            await asyncio.sleep(seconds / chunks)
            await response.write(body[start : start + size])
        await response.write_eof()
    except ConnectionError:
        return response, False
    return response, _open(request)


async def truncate(request: web.Request, body: bytes, headers: Mapping[str, str]) -> web.StreamResponse:
    """Announces a whole body, sends half of it, and closes the connection."""
    response = web.StreamResponse(headers={**headers, "Content-Length": str(len(body)), "Content-Type": JSON})
    try:
        await response.prepare(request)
        await response.write(body[: len(body) // 2])
    except ConnectionError:
        return response
    if request.transport is not None:
        request.transport.close()
    return response


def reset(request: web.Request) -> web.StreamResponse:
    """Resets the connection without sending anything."""
    if request.transport is not None:
        request.transport.abort()
    return web.Response(status=500)


def _open(request: web.Request) -> bool:
    return request.transport is not None and not request.transport.is_closing()
