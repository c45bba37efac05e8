"""Fault injection: which fault a request gets, and how each fault is carried out."""

from __future__ import annotations

import asyncio
import json
import random
from collections.abc import Mapping, Sequence

from aiohttp import web

from engine.practice.apis.base import Api, Json, Provider, Refusal
from engine.practice.server_options import Fault

JSON = "application/json"
EVENTS = "text/event-stream"
HTML = b"<!doctype html><html><body><h1>502 Bad Gateway</h1></body></html>"
PIECES = 8
"""The most pieces of a slow response and of a stream."""


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


def status_fault(
    name: str, rng: random.Random, provider: Provider
) -> tuple[int, bytes, dict[str, str]] | None:
    """Status, body and headers of a fault that is an HTTP error; None for any other fault."""
    if name == "quota":
        return provider.quota.status, provider.error(provider.quota), {}
    if not name.isdigit():
        return None
    status = int(name)
    headers = {}
    if status == 429 and rng.random() < 0.5:
        headers = retry_after(0.25)
    code = {429: "rate_limit_exceeded", 401: "invalid_api_key", 404: "model_not_found"}.get(status)
    return status, provider.error(Refusal(status, f"Injected fault {status}.", code)), headers


def retry_after(seconds: float) -> dict[str, str]:
    """Headers that say when to retry, in whole seconds and in milliseconds."""
    milliseconds = max(1, -int(-seconds * 1000 // 1))
    return {"Retry-After": str(-(-milliseconds // 1000)), "retry-after-ms": str(milliseconds)}


def malformed(api: Api, answer: Json, body: bytes, rng: random.Random) -> tuple[bytes, str]:
    """A body for status 200 that is not a valid completion, and its content type."""
    kind = rng.choice(("html", "empty", "no-choices", "broken"))
    if kind == "html":
        return HTML, "text/html"
    if kind == "empty":
        return b"", JSON
    if kind == "no-choices":
        return json.dumps({**answer, api.contents_field: []}).encode(), JSON
    return body[: len(body) // 2], JSON


def malformed_stream(api: Api, events: Sequence[bytes], rng: random.Random) -> tuple[bytes, str]:
    """The same for a stream: the third kind is one that ends with an error, the fourth has an event with broken JSON."""
    kind = rng.choice(("html", "empty", "error", "broken"))
    if kind == "html":
        return HTML, "text/html"
    if kind == "empty":
        return b"", EVENTS
    middle = len(events) // 2
    begun, event = b"".join(events[:middle]), events[middle]
    if kind == "error":
        return begun + api.error_event(Refusal(500, "The server had an error while it answered.")), EVENTS
    return begun + event.strip()[: -len(event) // 4] + b"\n\n" + b"".join(events[middle + 1 :]), EVENTS


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
    request: web.Request,
    pieces: Sequence[bytes],
    headers: Mapping[str, str],
    seconds: float,
    content_type: str = JSON,
) -> tuple[web.StreamResponse, bool]:
    """Sends pieces of a body over `seconds`; returns the response, and whether all of it was written to the socket."""
    response = _begun(headers, sum(map(len, pieces)), content_type)
    try:
        await response.prepare(request)
        for piece in pieces:
            await asyncio.sleep(seconds / len(pieces))
            await response.write(piece)
        await response.write_eof()
    except ConnectionError:
        return response, False
    return response, _open(request)


async def truncate(
    request: web.Request, body: bytes, headers: Mapping[str, str], content_type: str, rng: random.Random
) -> web.StreamResponse:
    """Sends half of a body and closes the connection; every other stream ends as if it were whole, as behind a gateway."""
    response = _begun(headers, len(body), content_type)
    try:
        await response.prepare(request)
        await response.write(body[: len(body) // 2])
        if content_type == EVENTS and rng.random() < 0.5:
            await response.write_eof()
            return response
    except ConnectionError:
        return response
    if request.transport is not None:
        request.transport.close()
    return response


def bytewise(body: bytes) -> list[bytes]:
    """A body in pieces that end anywhere, also in the middle of an event or of a character."""
    size = max(1, -(-len(body) // PIECES))
    return [body[start : start + size] for start in range(0, len(body), size)]


def eventwise(events: Sequence[bytes]) -> list[bytes]:
    """A stream in pieces of whole events."""
    size = max(1, -(-len(events) // PIECES))
    return [b"".join(events[start : start + size]) for start in range(0, len(events), size)]


def _begun(headers: Mapping[str, str], length: int, content_type: str) -> web.StreamResponse:
    """A response to write to. The length of a stream is not announced."""
    known = {"Cache-Control": "no-cache"} if content_type == EVENTS else {"Content-Length": str(length)}
    return web.StreamResponse(headers={**headers, **known, "Content-Type": content_type})


def reset(request: web.Request) -> web.StreamResponse:
    """Resets the connection without sending anything."""
    if request.transport is not None:
        request.transport.abort()
    return web.Response(status=500)


def _open(request: web.Request) -> bool:
    return request.transport is not None and not request.transport.is_closing()
