"""Sends one request to one teacher over HTTP, reads the response within bounds, and classifies it.

Invariants: the key is sent only to the configured URL, in the dialect's header (or `api_key_header`); redirects are not
followed and proxies of the environment are not used; TLS is always verified; a body is read in chunks up to a cap;
`send` returns an `Answer` or a `Failure` and raises only on cancellation. Rate limits, retries and the database are
handled elsewhere.
"""

from __future__ import annotations

import json
import time
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from types import TracebackType
from typing import Protocol, Self

import aiohttp
import anyio.to_thread
from multidict import CIMultiDict
from pydantic import SecretStr
from yarl import URL

from engine.config import TeacherConfig
from engine.errors import ConfigError
from engine.teachers.classify import classify_exception, classify_reported, classify_status
from engine.teachers.decode import decode_json
from engine.teachers.dialects import dialect
from engine.teachers.dialects.base import Body
from engine.teachers.failures import Failure, MalformedAnswer
from engine.teachers.headers import RateHeaders, rate_headers
from engine.teachers.keys import redact, without
from engine.teachers.messages import Completion, Message, Request
from engine.teachers.patience import Patience, Wait

MAX_BODY = 32 * 1024 * 1024
"""Maximum bytes of a decompressed body; a larger one is malformed."""

ON_LOOP = 1024 * 1024
"""Bodies up to this size are parsed on the event loop, larger ones in a thread."""

KEEP_ALIVE_S = 4.0
"""Idle connections are closed before servers usually close them (5 s), or a request could meet the closing."""

SOCK_CONNECT_S = 15.0
IDLE_S = 600.0
"""Maximum wait without receiving a byte."""


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
        max_body: int = MAX_BODY,
        clock: Callable[[], float] = time.monotonic,
        wall: Callable[[], float] = time.time,
    ) -> None:
        """Opens no connection yet; needs a running event loop.

        Args:
            config: the teacher.
            base_url: replaces the configured one, for the built-in teacher.
            max_body: maximum bytes of a body.
            clock: monotonic time in seconds, for latencies.
            wall: Unix time in seconds, for dates in headers.

        Raises:
            ConfigError: the dialect does not exist, the URL is invalid, or a header contains a line break.
        """
        self.config = config
        self.dialect = dialect(config.dialect)
        self._base = _address(base_url or config.base_url)
        _plain_headers(config.headers)
        self._key_header = config.api_key_header or self.dialect.key_header
        self._urls: dict[str, URL] = {}
        self._max_body = max_body
        self._clock, self._wall = clock, wall
        self._patience = Patience(config.timeout_seconds, min(IDLE_S, config.timeout_seconds))
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=0, ttl_dns_cache=60, keepalive_timeout=KEEP_ALIVE_S),
            timeout=aiohttp.ClientTimeout(
                total=None, sock_connect=min(SOCK_CONNECT_S, config.timeout_seconds), sock_read=None
            ),
            headers=_headers(self.dialect.headers, config.headers),
            proxy=config.proxy or None,
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

        Args:
            request: what to send.
            request_id: sent as `X-Request-Id` and `Idempotency-Key`.
            key: the API key, if the API needs one.
        """
        path, body = self._compose(request)
        url = self._urls.get(path)
        if url is None:
            joined = self._base.joinpath(path.lstrip("/"))
            url = self._urls[path] = joined.with_query(self._base.query)  # such as ?api-version=
        headers = {"X-Request-Id": request_id, "Idempotency-Key": request_id}
        secret = key.get_secret_value() if key is not None else ""
        if secret:
            bearer = self._key_header.lower() == "authorization"
            headers[self._key_header] = f"Bearer {secret}" if bearer else secret
        secrets = (secret,) if secret else ()
        started = self._clock()
        raw = b""
        try:
            with self._patience.wait() as wait:
                async with self._session.post(
                    url, data=json.dumps(body).encode(), headers=headers, allow_redirects=False
                ) as response:
                    raw = await self._read(response, wait)
                    if secret:
                        raw = without(raw, secret)
                    status, received = response.status, response.headers
            if wait.expired:
                raise TimeoutError
            latency = self._clock() - started
            provider_id = (
                redact(received.get("x-request-id") or received.get("request-id") or "", secrets) or None
            )
            if not 200 <= status < 300:
                failure = classify_status(status, received, raw, wall=self._wall(), secrets=secrets)
                return replace(failure, latency_s=latency, provider_id=provider_id)
            if len(raw) <= ON_LOOP:
                completions = self.dialect.parse(decode_json(raw), request)
            else:
                completions = await anyio.to_thread.run_sync(self._parse, raw, request)
        except MalformedAnswer as error:
            latency = self._clock() - started
            said = classify_reported(response.headers, raw, wall=self._wall(), secrets=secrets)
            if said is not None:
                return replace(said, latency_s=latency)
            failure = classify_exception(error, secrets=secrets)
            return replace(failure, raw=raw, status=response.status, latency_s=latency)
        except (aiohttp.ClientError, TimeoutError, OSError, UnicodeError) as error:
            failure = classify_exception(error, secrets=secrets)
            return replace(failure, raw=raw, latency_s=self._clock() - started)
        return Answer(
            raw=raw,
            completions=completions,
            status=status,
            headers=rate_headers(received, self._wall()),
            latency_s=latency,
            provider_id=completions[0].provider_id or provider_id,
        )

    def url(self, request: Request) -> str:
        """Where a request is sent."""
        path, _ = self._compose(request)
        return str(self._base.joinpath(path.lstrip("/")).with_query(self._base.query))

    async def ping(self, *, key: SecretStr | None) -> Failure | str:
        """Sends one tiny request; on success, what that showed, in words."""
        request = Request(messages=(Message("user", "Say OK."),), max_tokens=16)
        answer = await self.send(request, request_id=f"ping-{uuid.uuid4().hex}", key=key)
        return answer if isinstance(answer, Failure) else f"answered in {answer.latency_s * 1000:.0f} ms"

    def _compose(self, request: Request) -> tuple[str, Body]:
        config = self.config
        return self.dialect.compose(request, config.model, config.extra_body, config.omit)

    def _parse(self, raw: bytes, request: Request) -> list[Completion]:
        return self.dialect.parse(decode_json(raw), request)

    async def _read(self, response: aiohttp.ClientResponse, wait: Wait) -> bytes:
        """The decompressed body; never more than the cap is held in memory.

        Raises:
            MalformedAnswer: the body is larger than the cap; the connection is closed.
        """
        content = response.content
        chunks: list[bytes] = []
        size = 0
        while chunk := await content.readany():
            size += len(chunk)
            wait.hear()
            if size > self._max_body:
                response.close()
                raise MalformedAnswer(f"the response is larger than {self._max_body} bytes")
            chunks.append(chunk)
        return chunks[0] if len(chunks) == 1 else b"".join(chunks)


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


def _address(base_url: str) -> URL:
    """The base URL, checked.

    Raises:
        ConfigError: it is not an http or https URL, or contains a password.
    """
    try:
        url = URL(base_url)
    except ValueError:
        url = URL()
    if url.scheme not in ("http", "https") or not url.host:
        raise ConfigError(
            f"base_url {base_url!r} is not a valid URL; expected for example https://api.openai.com/v1"
        )
    if url.user is not None or url.password is not None:
        raise ConfigError(
            "base_url contains a user name or a password, which would be stored; set the key with api_key_env or api_key_file"
        )
    return url


def _plain_headers(headers: Mapping[str, str]) -> None:
    """Checks headers that could not be sent.

    Raises:
        ConfigError: a name or value contains control characters.
    """
    for name, value in headers.items():
        if not name.isascii() or not name.isprintable() or not value.isprintable():
            raise ConfigError(
                f"headers: {name!r} contains line breaks or control characters; write it on one line"
            )
