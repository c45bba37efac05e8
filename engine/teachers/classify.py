"""Classifies failed requests: status, headers, body or exception become a `Failure`.

Every failure passes through here before anything is retried. A reason is one short printable line made from the
response's own message, with all secrets removed.
"""

from __future__ import annotations

import errno
import os
import re
import ssl
from collections.abc import Mapping, Sequence
from dataclasses import replace

import aiohttp
from yarl import URL

from engine.teachers.decode import decode_json
from engine.teachers.failures import Failure, FailureKind, LimitScope, MalformedAnswer
from engine.teachers.headers import DAY_S, MAX_WAIT_S, rate_headers, retry_after
from engine.teachers.keys import redact
from engine.teachers.reported import reported_in
from state.safe import safe_line

READ_BODY = 64 * 1024
"""Bytes of an error's body that are read."""

_MONEY = re.compile(
    r"insufficient[_ ]quota|exceeded your current quota|billing|spend[_ ]limit|credit balance|insufficient[_ ](?:credit|balance|funds)"
    r"|payment[_ ]required|budget (?:has been )?exceeded|out of credits|api usage limits",
    re.IGNORECASE,
)
_KEY = re.compile(
    r"invalid[_ ]api[_ ]key|incorrect api key|api[_ ]key[_ ]invalid|api key not valid"
    r"|organization (?:has been|is) disabled|organization[_ ]on[_ ]hold",
    re.IGNORECASE,
)
_FIELD = re.compile(
    r"\b(temperature|top_p|seed|stop)['\"`]?:? (?:is deprecated|is not supported|does not support|may only be set"
    r"|and `?top_p`? cannot|extra inputs)",
    re.IGNORECASE,
)
"""A sampling parameter that the model rejects. Every request would fail, so the key is parked at once."""
_LINK = re.compile(r"https?://\S+")
"""Ignored when classifying: OpenAI's ordinary rate-limit messages link to a billing page."""
_CONTENT = re.compile(r"content[_ ](?:filter|policy|management)|moderation|flagged", re.IGNORECASE)
_CONTEXT = re.compile(
    r"context[_ ](?:length|window|limit)|maximum context|too many tokens|prompt is too long|string[_ ]above[_ ]max[_ ]length",
    re.IGNORECASE,
)
_SCOPES: tuple[tuple[LimitScope, re.Pattern[str]], ...] = (
    (
        "concurrency",
        re.compile(r"concurren|simultaneous|too many requests in (?:flight|parallel)", re.IGNORECASE),
    ),
    (
        "input",
        re.compile(r"(?:input|prompt)[ _-]tokens?[ _-]?(?:per|/|rate)|\bI(?:TPM|TPD)\b", re.IGNORECASE),
    ),
    (
        "output",
        re.compile(r"(?:output|completion)[ _-]tokens?[ _-]?(?:per|/|rate)|\bO(?:TPM|TPD)\b", re.IGNORECASE),
    ),
    (
        "tokens",
        re.compile(r"tokens[ _-]?(?:per|/)|\bT(?:PM|PD)\b|token rate|tokens has exceeded", re.IGNORECASE),
    ),
    (
        "requests",
        re.compile(
            r"requests[ _-]?(?:per|/)|\bR(?:PM|PD)\b|request rate|requests has exceeded", re.IGNORECASE
        ),
    ),
)
_DAILY = re.compile(r"(?:per|/|a)[ _-]?day\b|\b(?:RPD|TPD|ITPD|OTPD)\b|\bdaily\b", re.IGNORECASE)
_NO_FILES = (errno.EMFILE, errno.ENFILE)
_TRANSIENT = frozenset({408, 409, 425})
_HINTS = {
    401: "the API key was rejected (401)",
    402: "payment required (402)",
    403: "access denied (403)",
    404: "model or URL not found (404)",
    405: "the URL does not accept requests (405): check base_url and dialect",
    407: "the proxy requires a password (407)",
    413: "the request is too large (413)",
}


def classify_status(
    status: int, headers: Mapping[str, str], body: bytes, *, wall: float, secrets: Sequence[str] = ()
) -> Failure:
    """The failure for an HTTP status other than 2xx.

    Args:
        status: the HTTP status.
        headers: response headers, looked up without regard to case.
        body: the body, or the part of it that was read.
        wall: Unix time in seconds, for dates in headers.
        secrets: values that must not appear in the reason.
    """
    message, words = _message(body, secrets)
    kind, what = _kind(status, words)
    daily = kind == "limited" and _DAILY.search(words) is not None
    wait = retry_after(headers, wall, message, DAY_S if daily else MAX_WAIT_S)
    if 300 <= status < 400:
        what = f"redirected ({status}) to {_host(headers.get('location', ''))}, which is not followed: set base_url to the URL of the API"
        message = ""
    reason = safe_line(f"{what}: {message}" if message else what)
    return Failure(
        kind=kind,
        reason=redact(reason, secrets),
        retry_after_s=wait if kind in ("limited", "transient") else None,
        status=status,
        scope=_scope(words) if kind == "limited" else None,
        daily=daily,
        headers=rate_headers(headers, wall),
    )


def classify_reported(
    headers: Mapping[str, str], body: bytes, *, wall: float, secrets: Sequence[str] = ()
) -> Failure | None:
    """The failure for a 2xx response whose body is an error; None if it is none.

    It is what the status that means the same would be, and costs nothing. An error that means no status is malformed.
    Arguments are those of `classify_status`.
    """
    found = reported_in(body)
    if found is None:
        return None
    if found.status is not None:
        return replace(
            classify_status(found.status, headers, found.body(), wall=wall, secrets=secrets), charge="none"
        )
    said = f": {found.message}" if found.message else ""
    failure = _of("malformed", f"the response reports an error{said}", secrets)
    return replace(failure, raw=body, status=200, charge="none")


def classify_unreadable(
    error: MalformedAnswer,
    headers: Mapping[str, str],
    body: bytes,
    *,
    status: int,
    wall: float,
    secrets: Sequence[str] = (),
) -> Failure:
    """The failure for a 2xx response that `error` says is no completion.

    What it states as used is booked. An error without a usage costs nothing, unless a part of an answer came before it.
    Further arguments are those of `classify_status`.
    """
    usage = error.usage
    if usage is not None and not (usage.prompt_tokens or usage.completion_tokens or usage.cost_usd):
        usage = None
    said = classify_reported(headers, body, wall=wall, secrets=secrets)
    if said is None:
        return replace(classify_exception(error, secrets=secrets), raw=body, status=status, usage=usage)
    if usage is not None:
        return replace(said, raw=body, usage=usage, charge="usage")
    if _partial(body):
        return replace(said, raw=body, charge="unknown")
    return said


def _partial(body: bytes) -> bool:
    """Whether a body with an error has a part of an answer as well."""
    try:
        payload = decode_json(body)
    except MalformedAnswer:
        return False
    found = (
        [payload.get(name) for name in ("choices", "content", "output")] if isinstance(payload, dict) else []
    )
    return any(_texts(each, 0) for each in found)


def _texts(value: object, depth: int) -> bool:
    """Whether there is any text of a model in a value."""
    if isinstance(value, list):
        return any(_texts(each, depth + 1) for each in value)
    if not isinstance(value, dict) or depth > 6:
        return False
    return any(
        bool(inner) if isinstance(inner, str) else _texts(inner, depth + 1)
        for name, inner in value.items()
        if name in ("message", "content", "text", "thinking", "summary", "reasoning", "reasoning_content")
    )


def _scope(words: str) -> LimitScope | None:
    return next((scope for scope, pattern in _SCOPES if pattern.search(words)), None)


def _kind(status: int, words: str) -> tuple[FailureKind, str]:
    """The kind of failure, and the start of the reason."""
    if status == 429:
        if _MONEY.search(words):
            return "parked", "quota or billing (429)"
        return "limited", "rate limited (429)"
    if status in _TRANSIENT or status >= 500:
        return "transient", f"server error ({status})"
    if 300 <= status < 400:
        return "parked", ""
    if status in (400, 422) and (field := _FIELD.search(words)):
        return "parked", f'the model rejects {field[1]} ({status}); set omit = ["{field[1].lower()}"]'
    if status in (400, 403, 413, 422):
        if _CONTEXT.search(words):
            return "permanent", f"too long for the model's context ({status})"
        if _CONTENT.search(words):
            return "permanent", f"blocked by a content filter ({status})"
    if status == 404 and "unknown_question" in words:  # the built-in teacher, replaying
        return "permanent", "the teacher does not know this question (404)"
    if _MONEY.search(words) or _KEY.search(words):
        return "parked", _HINTS.get(status, f"key or billing ({status})")
    if status in (401, 402, 403, 404, 405, 407):
        return "parked", _HINTS[status]
    return "permanent", _HINTS.get(status, f"the request was rejected ({status})")


def classify_exception(error: BaseException, *, secrets: Sequence[str] = ()) -> Failure:
    """The failure for an exception of the HTTP client.

    Without a connection nothing was sent: transient. With one, the request may have been answered and billed:
    ambiguous.
    """
    if isinstance(error, aiohttp.ClientConnectorCertificateError):
        detail = str(error.certificate_error)
        return _of("parked", f"the server's TLS certificate is not trusted: {detail}", secrets, reached=False)
    if isinstance(error, aiohttp.ClientSSLError):
        return _of("transient", f"TLS handshake failed: {_os_error(error)}", secrets, reached=False)
    if isinstance(error, aiohttp.ClientConnectorError) and error.os_error.errno in _NO_FILES:
        failure = _of("transient", "no connection: too many open files (ulimit -n)", secrets, reached=False)
        return replace(failure, scope="concurrency")
    if isinstance(error, aiohttp.ClientHttpProxyError):
        kind: FailureKind = "transient" if error.status == 429 or error.status >= 500 else "parked"
        return _of(kind, f"the proxy could not connect ({error.status})", secrets, reached=False)
    if isinstance(error, aiohttp.ClientProxyConnectionError):
        return _of("transient", f"no connection to the proxy: {_os_error(error)}", secrets, reached=False)
    if isinstance(error, aiohttp.ClientConnectorDNSError):
        return _of("transient", f"cannot resolve the host {error.host!r}", secrets, reached=False)
    if isinstance(error, aiohttp.ClientConnectorError):
        where = f"{error.host}:{error.port}"
        return _of("transient", f"no connection to {where}: {_os_error(error)}", secrets, reached=False)
    if isinstance(error, aiohttp.ConnectionTimeoutError):
        return _of("transient", "no connection: timed out", secrets, reached=False)
    if isinstance(error, aiohttp.InvalidURL | UnicodeError):
        return _of("parked", "base_url is not a valid URL", secrets, reached=False)
    if isinstance(error, aiohttp.ClientResponseError):
        return _of("malformed", f"invalid HTTP response: {error.message}", secrets)
    if isinstance(error, TimeoutError):
        return _of("ambiguous", "timed out before the response was complete", secrets)
    if isinstance(error, aiohttp.ClientPayloadError):
        return _of("ambiguous", "connection lost in the middle of the response", secrets)
    if isinstance(error, aiohttp.ClientError | OSError):
        return _of("ambiguous", "connection lost before the response", secrets)
    if isinstance(error, MalformedAnswer):
        return _of("malformed", str(error), secrets)
    raise error


def _of(kind: FailureKind, reason: str, secrets: Sequence[str], *, reached: bool = True) -> Failure:
    return Failure(kind=kind, reason=safe_line(redact(reason, secrets)), reached=reached)


def _os_error(error: aiohttp.ClientConnectorError) -> str:
    inner = error.os_error
    if inner.errno and not isinstance(inner, ssl.SSLError):
        return os.strerror(inner.errno)  # the exception's text is the event loop's: "Connect call failed (…)"
    return inner.strerror or type(inner).__name__


def _host(location: str) -> str:
    try:
        return URL(location).host or "another path"
    except ValueError:
        return "an unreadable address"


def _message(body: bytes, secrets: Sequence[str]) -> tuple[str, str]:
    """The body's error message for the reason, and all the text that determines its kind."""
    if not body:
        return "", ""
    try:
        payload = decode_json(body[:READ_BODY])
    except MalformedAnswer:
        text = redact(body[:READ_BODY].decode("utf-8", "replace"), secrets)
        return ("" if text.lstrip().startswith("<") else text[:500]), text
    if isinstance(payload, list) and payload:  # Google wraps errors in a list
        payload = payload[0]
    source = payload.get("error", payload) if isinstance(payload, dict) else payload
    if isinstance(source, dict):
        message = next((str(source[key]) for key in ("message", "detail", "error") if source.get(key)), "")
        details = source.get("details")
        code = details.get("error_code", "") if isinstance(details, dict) else ""
        named = [str(source.get(key, "")) for key in ("type", "code", "status", "param")]
        words = " ".join((*named, str(code), message))
    else:
        message = words = source if isinstance(source, str) else ""
    return redact(message[:2000], secrets), _LINK.sub("", words[:4000])
