"""A fault server in memory: it replaces the HTTP client, has limits and fault periods, and keeps its own account of its bills.

Answers pass through the real dialects and the real error classification. Whether a request is billed is decided when it
arrives, whatever happens to the daemon that sent it.
"""

from __future__ import annotations

import errno
import hashlib
import json
import math
import random
import zlib
from collections import deque
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field, replace
from email.utils import formatdate
from typing import Any

import aiohttp
import anyio
from aiohttp.client_reqrep import ConnectionKey
from multidict import CIMultiDict
from pydantic import SecretStr

from daemon.catalog.plan_fingerprint import model_of
from daemon.sampling.budget import Price
from engine.config import TeacherConfig
from engine.teachers.classify import classify_exception, classify_status
from engine.teachers.client import Answer
from engine.teachers.decode import decode_json
from engine.teachers.dialects import dialect
from engine.teachers.event_stream import EventStream
from engine.teachers.failures import Failure, MalformedAnswer
from engine.teachers.headers import rate_headers
from engine.teachers.messages import Request
from engine.teachers.tokens import estimate_prompt, estimate_tokens

WALL = 1_700_000_000.0
WINDOW_S = 60.0

BURNS = ("5xx", "503-told", "malformed")
"""Faults that use up an attempt of a sample."""
FULL = {
    "429": (429, b'{"error": {"message": "slow down"}}'),
    "busy": (503, b'{"error": "server busy, please try again.  maximum pending requests exceeded"}'),
    "503": (503, b""),
}
"""How servers refuse what is more than they take at once."""
AMBIGUOUS = ("reset-before", "reset-after", "truncate", "timeout", "late")
PERMANENT = ("400", "filter")
FAULTS = (
    *("429", "429-told", "refused", "dns", "slow", "quota", "402", "401"),
    *(BURNS + AMBIGUOUS + PERMANENT),
)
BILLED = ("ok", "slow", "reset-after", "truncate", "timeout", "malformed", "late")
OWN = {
    "400": b'{"error": {"message": "not this one"}}',
    "403": b'{"error": {"message": "you may not ask this"}}',
    "429": b'{"error": {"message": "slow down"}}',
}
"""Refusals that a teacher has for some questions for ever, by status; nothing in their words says so."""
OWN_IN = 11
"""One question in this many is refused."""

_HOST = ConnectionKey("teacher.invalid", 443, True, True, None, None, None)
_MALFORMED = (b"", b"<html>busy</html>", b'{"choices": []}', b"null", b'{"choices": [{"message"', b"\xff\xfe")


@dataclass(frozen=True)
class FaultPeriod:
    """A period in which a share of the requests gets a fault."""

    start: float
    end: float
    fault: str
    share: float


@dataclass
class Behaviour:
    """How a teacher behaves."""

    requests_per_minute: int | None
    concurrency: int | None
    tells: str  # how a refusal says when to retry: "", "seconds", "ms", "date", "headers"
    latency_s: float
    token_ratio: float  # billed prompt tokens to estimated ones
    correct: float  # share of correct answers
    no_usage: float  # share of answers without usage
    fault_periods: list[FaultPeriod]
    streams: bool = False
    """Whether answers come as events, and are cut off within them."""
    full: str = "429"  # how it refuses more than `concurrency`, of FULL
    slots: int | None = None  # works on this many at once; the others wait in order
    own: str = ""  # the status with which some questions are refused for themselves, for ever


@dataclass
class Entry:
    """One request as the teacher recorded it."""

    at: float
    boot: int
    epoch: int  # of the daemon: its life, and the configuration in it
    key: str
    request_id: str
    level: int  # how many of this key were at work when it came
    model: tuple[str, ...] = ()  # what was asked
    settings: str = ""  # and how
    prompt: str = ""
    fault: str = "ok"
    billed: bool = False
    parts: int = 0  # what it billed, in parts of a micro-dollar
    range: tuple[int, int] = (0, 0)  # the same at the lowest and the highest price until it was answered
    stated: bool = True  # whether the answer says what was used
    digest: str = ""
    delivered: bool = False


@dataclass(frozen=True)
class Link:
    """What replaces `TeacherClient`: it sends as its configuration says, which may not be the newest."""

    server: FaultServer
    config: TeacherConfig

    async def send(self, request: Request, *, request_id: str, key: SecretStr | None) -> Answer | Failure:
        return await self.server.send(self.config, request, request_id=request_id, key=key)


@dataclass
class FaultServer:
    """One teacher."""

    name: str
    config: TeacherConfig
    behaviour: Behaviour
    rng: random.Random
    now: Callable[[], float]
    boot: Callable[[], int]
    epoch: Callable[[], int]
    moment: Callable[[str], Awaitable[None]]
    entries: list[Entry] = field(default_factory=list)
    _windows: dict[str, deque[float]] = field(default_factory=dict)
    _in_flight: dict[tuple[int, str], int] = field(default_factory=dict)
    _open: dict[str, tuple[Entry, int, int]] = field(default_factory=dict)
    billed_parts: int = 0
    """What all entries bill."""
    _asked: tuple[TeacherConfig, tuple[str, ...]] | None = None

    def __post_init__(self) -> None:
        slots = self.behaviour.slots
        self._slots = None if slots is None else anyio.Semaphore(slots)
        self.price = _price(self.config)
        self._prices = [self.price]

    def announce(self, config: TeacherConfig) -> None:
        """The prices of a configuration are about to be in force: until `charge`, an answer may be booked at either."""
        self._prices = [self.price, _price(config)]
        for entry, prompt, completion in self._open.values():
            entry.range = self._range(prompt, completion, *entry.range)

    def charge(self, config: TeacherConfig) -> None:
        """Takes the prices of a configuration from now on; what is in flight was billed at the old ones."""
        self.announce(config)
        self.config, self.price = config, _price(config)
        self._prices = [self.price]

    def _model(self, config: TeacherConfig) -> tuple[str, ...]:
        if self._asked is None or self._asked[0] is not config:
            self._asked = config, model_of(config)
        return self._asked[1]

    def _range(self, prompt: int, completion: int, *besides: int) -> tuple[int, int]:
        parts = [*besides, *(price.parts(prompt, completion) for price in self._prices)]
        return min(parts), max(parts)

    async def send(
        self, config: TeacherConfig, request: Request, *, request_id: str, key: SecretStr | None
    ) -> Answer | Failure:
        await self.moment("sent")
        started = self.now()
        await anyio.sleep(self.rng.uniform(0.001, 0.02))
        await self.moment("arrived")
        label = key.get_secret_value() if key is not None else ""
        place = self.epoch(), label
        entry = Entry(self.now(), self.boot(), *place, request_id, self._in_flight.get(place, 0))
        entry.model = self._model(config)
        entry.settings = f"{request.temperature} {request.top_p} {request.stop} {request.max_tokens}"
        entry.prompt = request.messages[-1].content
        self.entries.append(entry)
        entry.fault, headers = self._fate(place, request)
        if entry.fault in BILLED:
            entry.billed = True
            raw, prompt, completion, entry.stated = self._body(config, request)
            entry.parts = self.price.parts(prompt, completion)
            self.billed_parts += entry.parts
            entry.range = self._range(prompt, completion)
            self._open[request_id] = entry, prompt, completion
            if entry.fault == "malformed":
                raw = self.rng.choice(_MALFORMED)
            elif self.behaviour.streams:
                raw = self._streamed(config, raw, random.Random(request_id), cut=entry.fault == "truncate")
            entry.digest = hashlib.sha256(raw).hexdigest()
        else:
            raw = b""
        self._in_flight[place] = self._in_flight.get(place, 0) + 1
        try:
            if self._slots is not None and entry.billed:
                async with self._slots:
                    await anyio.sleep(self._latency(config, entry.fault))
            else:
                await anyio.sleep(self._latency(config, entry.fault))
        finally:
            self._in_flight[place] -= 1
        await self.moment("answered")
        entry.delivered = True
        self._open.pop(request_id, None)
        return self._result(config, entry, request, raw, headers, self.now() - started)

    def _fate(self, place: tuple[int, str], request: Request) -> tuple[str, CIMultiDict[str]]:
        """What becomes of a request that arrives now, and the answer's headers."""
        now, behaviour = self.now(), self.behaviour
        headers: CIMultiDict[str] = CIMultiDict()
        if behaviour.own and zlib.crc32(_asked(request).encode()) % OWN_IN == 0:
            return "own", headers
        for fault_periods in behaviour.fault_periods:
            if fault_periods.start <= now < fault_periods.end and self.rng.random() < fault_periods.share:
                if fault_periods.fault in ("429-told", "503-told"):
                    headers["retry-after"] = str(self.rng.choice((1, 2, 5, 20)))
                return fault_periods.fault, headers
        window = self._windows.setdefault(place[1], deque())
        while window and window[0] <= now - WINDOW_S:
            window.popleft()
        limit = behaviour.requests_per_minute
        if limit is not None and len(window) >= limit:
            self._tell(headers, window[0] + WINDOW_S - now)
            return "limit", headers
        if behaviour.concurrency is not None and self._in_flight.get(place, 0) >= behaviour.concurrency:
            return ("limit" if behaviour.full == "429" else "full"), headers
        window.append(now)
        if limit is not None and behaviour.tells == "headers":
            headers["x-ratelimit-limit-requests"] = str(limit)
            headers["x-ratelimit-remaining-requests"] = str(limit - len(window))
        return "ok", headers

    def _tell(self, headers: CIMultiDict[str], wait: float) -> None:
        match self.behaviour.tells:
            case "seconds":
                headers["retry-after"] = str(math.ceil(wait))
            case "ms":
                headers["retry-after-ms"] = str(math.ceil(wait * 1000))
            case "date":
                headers["retry-after"] = formatdate(WALL + self.now() + wait + 1, usegmt=True)
            case "headers":
                headers["x-ratelimit-limit-requests"] = str(self.behaviour.requests_per_minute)
                headers["x-ratelimit-remaining-requests"] = "0"
                headers["x-ratelimit-reset-requests"] = f"{wait:.3f}s"

    def _latency(self, config: TeacherConfig, fault: str) -> float:
        if fault == "slow":
            return self.rng.uniform(30, 600)
        if fault == "timeout":
            return config.timeout_seconds
        if fault == "late":
            return self.rng.uniform(20, 120)
        if fault in ("ok", "malformed", "reset-after", "truncate"):
            return self.behaviour.latency_s * self.rng.uniform(0.3, 3)
        return self.rng.uniform(0.001, 0.1)

    def _body(self, config: TeacherConfig, request: Request) -> tuple[bytes, int, int, bool]:
        """An answer, its tokens and whether it says how many; now and then it has fewer choices than were asked for."""
        if request.n > 1:
            return self._several(config, request)
        choice, completion = self._choice(config, request)
        return self._written(request, [choice], completion)

    def _streamed(self, config: TeacherConfig, raw: bytes, rng: random.Random, *, cut: bool) -> bytes:
        """What the client puts together of an answer that comes as events, in pieces of any size."""
        payload = json.loads(raw)
        chat = config.dialect == "openai-chat"
        events: list[dict[str, Any]] = []
        for choice in payload["choices"]:
            text = choice["message"]["content"] if chat else choice["text"]
            at = 0
            while at < len(text):
                piece, at = text[at : (end := at + rng.randint(1, 20))], end
                said = {"delta": {"content": piece}} if chat else {"text": piece}
                events.append(
                    {"id": "x", "choices": [{"index": choice["index"], **said, "finish_reason": None}]}
                )
        for choice in payload["choices"]:
            end_of = {"delta": {}} if chat else {"text": ""}
            finish = {"index": choice["index"], "finish_reason": choice["finish_reason"], **end_of}
            events.append({"id": "x", "choices": [finish]})
        if "usage" in payload:
            events.append({"id": "x", "choices": [], "usage": payload["usage"]})
        ending = rng.choice(("\n\n", "\r\n\r\n"))
        body = b"".join(f"data: {json.dumps(event)}{ending}".encode() for event in events)
        body += f"data: [DONE]{ending}".encode()
        if cut:
            body = body[: rng.randrange(body.index(b'"finish_reason": "'))]
        streaming = dialect(config.dialect).streaming
        assert streaming is not None
        stream = EventStream(streaming.assembly())
        while body:
            size = rng.randint(1, 200)
            stream.feed(body[:size])
            body = body[size:]
        stream.close()
        assert stream.complete is not cut
        return stream.raw()

    def _several(self, config: TeacherConfig, request: Request) -> tuple[bytes, int, int, bool]:
        given = request.n if self.rng.random() < 0.8 else self.rng.randint(1, request.n)
        made = [self._choice(config, request) for _ in range(given)]
        choices = [{**choice, "index": index} for index, (choice, _) in enumerate(made)]
        self.rng.shuffle(choices)
        return self._written(request, choices, sum(tokens for _, tokens in made))

    def _written(
        self, request: Request, choices: list[dict[str, Any]], completion: int
    ) -> tuple[bytes, int, int, bool]:
        prompt = max(1, round(estimate_prompt(request) * self.behaviour.token_ratio))
        body: dict[str, Any] = {"id": "x", "choices": choices}
        if stated := self.rng.random() >= self.behaviour.no_usage:
            body["usage"] = {"prompt_tokens": prompt, "completion_tokens": completion}
        return json.dumps(body).encode(), prompt, completion, stated

    def _choice(self, config: TeacherConfig, request: Request) -> tuple[dict[str, Any], int]:
        """A choice and its tokens."""
        text = request.messages[-1].content
        first, second = (int(word) for word in _asked(request).split(" plus "))
        total = first + second + (0 if self.rng.random() < self.behaviour.correct else 1)
        if "Therefore, the answer" in text:
            answer = f" {total}."
        else:
            answer = f" {first} and {second} make {total}.\nAnswer: {total}"
        reason = "length" if self.rng.random() < 0.02 else "stop"
        completion = min(request.max_tokens, estimate_tokens(answer))
        chat = config.dialect == "openai-chat"
        said = {"message": {"role": "assistant", "content": answer}} if chat else {"text": answer}
        return {"index": 0, "finish_reason": reason, **said}, completion

    def _result(
        self,
        config: TeacherConfig,
        entry: Entry,
        request: Request,
        raw: bytes,
        headers: CIMultiDict[str],
        latency: float,
    ) -> Answer | Failure:
        """What the client makes of it."""
        wall = WALL + self.now()
        match entry.fault:
            case "ok" | "slow" | "malformed":
                try:
                    completions = dialect(config.dialect).parse(decode_json(raw), request)
                except MalformedAnswer as error:
                    found = classify_exception(error)
                    return Failure(kind=found.kind, reason=found.reason, raw=raw, status=200)
                return Answer(
                    raw=raw,
                    completions=completions,
                    status=200,
                    headers=rate_headers(headers, wall),
                    latency_s=latency,
                    provider_id="x",
                )
            case "limit" | "429" | "429-told":
                return classify_status(429, headers, FULL["429"][1], wall=wall)
            case "full":
                status, body = FULL[self.behaviour.full]
                return classify_status(status, headers, body, wall=wall)
            case "5xx":
                return classify_status(self.rng.choice((500, 502, 503, 529)), headers, b"", wall=wall)
            case "503-told":
                return classify_status(503, headers, b"", wall=wall)
            case "refused":
                refused = ConnectionRefusedError(errno.ECONNREFUSED, "Connection refused")
                return classify_exception(aiohttp.ClientConnectorError(_HOST, refused))
            case "dns":
                return classify_exception(aiohttp.ClientConnectorDNSError(_HOST, OSError("no such host")))
            case "reset-before" | "reset-after":
                return classify_exception(aiohttp.ServerDisconnectedError())
            case "truncate":
                failure = classify_exception(aiohttp.ClientPayloadError())
                return replace(failure, raw=raw) if self.behaviour.streams else failure
            case "timeout":
                return classify_exception(TimeoutError())
            case "quota":
                return classify_status(
                    429,
                    headers,
                    b'{"error": {"code": "insufficient_quota", "message": "no money"}}',
                    wall=wall,
                )
            case "late":
                return replace(classify_status(504, headers, b"<html>", wall=wall), latency_s=latency)
            case "own":
                own = self.behaviour.own
                return classify_status(int(own), headers, OWN[own], wall=wall)
            case "filter":
                return classify_status(400, headers, b'{"error": {"code": "content_filter"}}', wall=wall)
            case status:
                return classify_status(int(status), headers, b'{"error": {"message": "no"}}', wall=wall)


def _price(config: TeacherConfig) -> Price:
    return Price(config.usd_per_million_input, config.usd_per_million_output, config.usd_per_million_input)


def _asked(request: Request) -> str:
    """The question of a request, in whatever prompt it stands: `3 plus 4`."""
    return request.messages[-1].content.split("What is ")[1].split("?")[0]
