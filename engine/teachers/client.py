"""Sends one request to one teacher over HTTP, reads the response within bounds, and classifies it.

Invariants: the key is sent only to the configured URL, in the dialect's header (or `api_key_header`); redirects are not
followed and proxies of the environment are not used; TLS is always verified; a body is read in chunks up to a cap;
`send` returns an `Answer` or a `Failure` and raises only on cancellation. A streamed response is put together and then
handled as one in one piece; whether a server takes or demands streams is learned here (`streams.py`). Rate limits,
retries and the database are handled elsewhere.
"""

from __future__ import annotations

import os
import socket
import time
import uuid
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from types import TracebackType
from typing import TYPE_CHECKING, Protocol, Self

import aiohttp
import anyio.to_thread
from multidict import CIMultiDict, istr
from pydantic import SecretStr
from yarl import URL

from engine.config import TeacherConfig
from engine.config.secret_places import shown_url
from engine.teachers.classify import classify_exception, classify_status, classify_unreadable
from engine.teachers.decode import decode_json, encode_json
from engine.teachers.dialects import dialect
from engine.teachers.dialects.base import Body
from engine.teachers.dialects.usage import dollars
from engine.teachers.endpoint import Endpoint, endpoint
from engine.teachers.event_stream import EventStream
from engine.teachers.failures import Failure, MalformedAnswer
from engine.teachers.headers import RateHeaders, rate_headers
from engine.teachers.keys import redact, without
from engine.teachers.messages import Completion, Message, Request
from engine.teachers.patience import Patience
from engine.teachers.receive import receive
from engine.teachers.streams import PLAIN, Form, StreamSupport

if TYPE_CHECKING:
    from aiohappyeyeballs import AddrInfoType

MAX_BODY = 32 * 1024 * 1024
"""Maximum bytes of a decompressed body; a larger one is malformed."""

ON_LOOP = 1024 * 1024
"""Bodies up to this size are parsed on the event loop, larger ones in a thread."""

KEEP_ALIVE_S = 4.0
"""Idle connections are closed before servers usually close them (5 s), or a request could meet the closing."""

SOCK_CONNECT_S = 15.0

ALIVE = (("TCP_KEEPIDLE", 60), ("TCP_KEEPALIVE", 60), ("TCP_KEEPINTVL", 60), ("TCP_KEEPCNT", 20))
"""Seconds of silence before a probe, and between probes, so that no router forgets a connection that waits for an answer;
the number of unanswered probes lets it survive an outage of 20 minutes. Systems have some of these options."""

REPLICATES = "X-Replicates"
"""Header that tells the built-in teacher which samples of a question are asked for: `0,1,2`."""

_COST = istr("x-litellm-response-cost")


@dataclass(kw_only=True, slots=True)
class Answer:
    """A response: its body unchanged, and the completions in it (one per choice)."""

    raw: bytes
    completions: list[Completion]
    status: int
    headers: RateHeaders | None
    latency_s: float
    provider_id: str | None


class Client(Protocol):
    """What the daemon needs of a teacher's client."""

    async def send(self, request: Request, *, request_id: str, key: SecretStr | None) -> Answer | Failure:
        """Sends one request and reads the response; raises only on cancellation."""
        ...


class TeacherClient:
    """The connections to one teacher API; an async context manager, or call `close`."""

    def __init__(
        self,
        config: TeacherConfig,
        *,
        base_url: str | None = None,
        at: Endpoint | None = None,
        max_body: int = MAX_BODY,
        clock: Callable[[], float] = time.monotonic,
        wall: Callable[[], float] = time.time,
    ) -> None:
        """Opens no connection yet; needs a running event loop.

        Args:
            config: the teacher.
            base_url: replaces the configured one, for the built-in teacher.
            at: its address, proxy and headers; by default with references to this process's environment.
            max_body: maximum bytes of a body.
            clock: monotonic time in seconds, for latencies.
            wall: Unix time in seconds, for dates in headers.

        Raises:
            ConfigError: the dialect does not exist, the URL is invalid, or a header contains a line break.
            SecretError: a variable that the configuration refers to is not set.
        """
        at = at or endpoint(config.model, config, os.environ)
        self.config = config
        self.dialect = dialect(config.dialect)
        self._base = URL(base_url or at.base_url)
        self._secrets = at.secrets
        self._key_header = config.api_key_header or self.dialect.key_header
        self._urls: dict[str, URL] = {}
        self._max_body = max_body
        self._clock, self._wall = clock, wall
        self._patience = Patience(config.timeout_seconds)
        self._streams = StreamSupport(config.stream, self.dialect.streaming is not None)
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(
                limit=0, ttl_dns_cache=60, keepalive_timeout=KEEP_ALIVE_S, socket_factory=_socket
            ),
            timeout=aiohttp.ClientTimeout(
                total=None, sock_connect=min(SOCK_CONNECT_S, config.timeout_seconds), sock_read=None
            ),
            headers=_headers(self.dialect.headers, at.headers),
            proxy=at.proxy or None,
            cookie_jar=aiohttp.DummyCookieJar(),
            trust_env=False,
        )

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def close(self) -> None:
        """Closes all connections."""
        await self._session.close()

    async def send(self, request: Request, *, request_id: str, key: SecretStr | None) -> Answer | Failure:
        """Sends one request and reads the response.

        A server that refuses the request because it is streamed, or is not, is sent it again at once in the other form.

        Args:
            request: what to send.
            request_id: sent as `X-Request-Id` and `Idempotency-Key`.
            key: the API key, if the API needs one.
        """
        form = first = self._streams.form(request)
        result, raw = await self._once(request, request_id, key, form)
        tried = [form]
        while isinstance(result, Failure):
            other = self._streams.other(form, result, raw)
            if other is None or other in tried:
                break
            form = other
            tried.append(form)
            result, raw = await self._once(request, f"{request_id}-{len(tried)}", key, form)
        if len(tried) > 1:
            self._streams.learn(first, form, result)
        return result if isinstance(result, Answer) else self._streams.explained(form, result, raw)

    async def _once(
        self, request: Request, request_id: str, key: SecretStr | None, form: Form
    ) -> tuple[Answer | Failure, bytes]:
        """Sends a request in one form; returns what came of it, and the body."""
        path, body = self._compose(request, form)
        url = self._urls.get(path)
        if url is None:
            joined = self._base.joinpath(path.lstrip("/"))
            url = self._urls[path] = joined.with_query(self._base.query)  # such as ?api-version=
        headers = {"X-Request-Id": request_id, "Idempotency-Key": request_id}
        if self.config.builtin and request.replicates:
            headers[REPLICATES] = ",".join(map(str, request.replicates))
        secret = key.get_secret_value() if key is not None else ""
        if secret:
            bearer = self._key_header.lower() == "authorization"
            headers[self._key_header] = f"Bearer {secret}" if bearer else secret
        secrets = self.secrets(key)
        started = self._clock()
        events: list[EventStream] = []
        raw = b""
        try:
            with self._patience.wait() as wait:
                async with self._session.post(
                    url, data=encode_json(body), headers=headers, allow_redirects=False
                ) as response:
                    raw = await receive(
                        response, wait, self._max_body, self.dialect.streaming, request.n, events
                    )
            raw = _kept(raw, events, secrets)
            if wait.expired and not (events and events[0].complete):
                raise TimeoutError
            status, received = response.status, response.headers
            latency = self._clock() - started
            provider_id = (
                redact(received.get("x-request-id") or received.get("request-id") or "", secrets) or None
            )
            if not 200 <= status < 300:
                failure = classify_status(status, received, raw, wall=self._wall(), secrets=secrets)
                return replace(failure, latency_s=latency, provider_id=provider_id), raw
            if events:
                self._streams.streamed(form)
                if not (events[0].complete or events[0].assembly.error):
                    cut = Failure(
                        kind="ambiguous", reason="the stream ended before the answer was complete", raw=raw
                    )
                    return replace(cut, status=status, latency_s=latency, provider_id=provider_id), raw
            if len(raw) <= ON_LOOP:
                completions = self.dialect.parse(decode_json(raw), request)
            else:
                completions = await anyio.to_thread.run_sync(self._parse, raw, request)
            if (cost := received.get(_COST)) is not None:
                _priced(completions, cost)
        except MalformedAnswer as error:
            raw = _kept(raw, events, secrets)
            failure = classify_unreadable(
                error, response.headers, raw, status=response.status, wall=self._wall(), secrets=secrets
            )
            return replace(failure, latency_s=self._clock() - started), raw
        except (aiohttp.ClientError, TimeoutError, OSError, UnicodeError) as error:
            failure = classify_exception(error, secrets=secrets)
            raw = _kept(raw, events, secrets)
            return replace(failure, raw=raw, latency_s=self._clock() - started), raw
        answer = Answer(
            raw=raw,
            completions=completions,
            status=status,
            headers=rate_headers(received, self._wall()),
            latency_s=latency,
            provider_id=completions[0].provider_id or provider_id,
        )
        return answer, raw

    def secrets(self, key: SecretStr | None) -> tuple[str, ...]:
        """What must be taken out of every text that comes from the server."""
        secret = key.get_secret_value() if key is not None else ""
        return tuple(sorted({*self._secrets, secret} - {""}, key=len, reverse=True))

    def url(self, request: Request) -> str:
        """Where a request is sent, as it may be shown."""
        path, _ = self._compose(request, self._streams.form(request))
        address, mark, query = self.shown.partition("?")
        return f"{address.rstrip('/')}/{path.lstrip('/')}{mark}{query}"

    @property
    def shown(self) -> str:
        """Its address, as it may be shown."""
        return shown_url(self.config.base_url or str(self._base))

    async def ping(self, *, key: SecretStr | None) -> Failure | str:
        """Sends one tiny request; on success, what that showed, in words."""
        request = Request(messages=(Message("user", "Say OK."),), max_tokens=16)
        answer = await self.send(request, request_id=f"ping-{uuid.uuid4().hex}", key=key)
        return answer if isinstance(answer, Failure) else f"answered in {answer.latency_s * 1000:.0f} ms"

    def _compose(self, request: Request, form: Form = PLAIN) -> tuple[str, Body]:
        config = self.config
        return self.dialect.compose(
            request,
            config.model,
            config.extra_body,
            config.omit,
            limit_field=config.max_tokens_field,
            stream=form.stream,
            stream_usage=form.usage,
        )

    def _parse(self, raw: bytes, request: Request) -> list[Completion]:
        return self.dialect.parse(decode_json(raw), request)


def _kept(raw: bytes, events: Sequence[EventStream], secrets: Sequence[str]) -> bytes:
    """What was received, as the body of a response in one piece, without secrets."""
    if events:
        raw = events[0].raw()
    return without(raw, secrets) if raw else raw


def _priced(completions: Sequence[Completion], header: str) -> None:
    """Takes over the cost in dollars that a gateway states in a header; 0 may stand for an unknown price."""
    cost = dollars(header)
    if not cost or any(each.usage.cost_usd is not None for each in completions):
        return
    weights = [each.usage.prompt_tokens + each.usage.completion_tokens for each in completions]
    for each, weight in zip(completions, weights, strict=True):
        part = weight / sum(weights) if sum(weights) else 1 / len(weights)
        each.usage = replace(each.usage, cost_usd=cost * part)


def _socket(address: AddrInfoType) -> socket.socket:
    """A socket whose connection is kept alive while an answer takes long."""
    family, kind, protocol, _, _ = address
    made = socket.socket(family, kind, protocol)
    try:
        made.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        for name, value in ALIVE:
            if (option := getattr(socket, name, None)) is not None:
                made.setsockopt(socket.IPPROTO_TCP, option, value)
    except OSError:
        pass  # a system without these options has working connections all the same
    return made


def _headers(*given: Mapping[str, str]) -> CIMultiDict[str]:
    """Headers of every request; of several with the same name (ignoring case), the last one wins."""
    headers = CIMultiDict(
        {
            "Content-Type": "application/json",
            "Accept": "application/json",
            "Accept-Encoding": "gzip, deflate",
            "User-Agent": "coterie",
        }
    )
    for each in given:
        headers.update(each)
    return headers
