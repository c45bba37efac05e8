"""Classifies failed requests: status, headers, body or exception become a `Failure`.

Every failure passes through here before anything is retried. A class is what status, codes and words suggest; whose
refusal it is, the daemon decides by what becomes of other requests. A reason is one short printable line made from the
response's own message, with all secrets removed.
"""

from __future__ import annotations

import errno
import os
import re
import ssl
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import aiohttp
from multidict import CIMultiDict
from yarl import URL

from engine.teachers.decode import decode_json
from engine.teachers.error_body import ErrorBody, read_error
from engine.teachers.failures import (
    NOT_RECORDED,
    Blame,
    Failure,
    FailureKind,
    LimitScope,
    MalformedAnswer,
)
from engine.teachers.headers import DAY_S, MAX_WAIT_S, rate_headers, retry_after, until_reset
from engine.teachers.keys import redact
from engine.teachers.refusal_words import (
    BUSY,
    CONTENT,
    CUT,
    KEY,
    MONEY,
    PERIOD,
    SAMPLED,
    TOO_LONG,
    Class,
    classes_of,
    is_daily,
    is_too_large,
    refused_setting,
    remedy,
    scope_of,
)
from engine.teachers.reported import reported_in
from state.safe import safe_line

_NO_FILES = (errno.EMFILE, errno.ENFILE)
_TRANSIENT = frozenset({408, 409, 424, 425, 498, 499})
_BUSY = frozenset({429, 503, 529})
_HINTS = {
    401: "the API key was rejected (401)",
    402: "payment required (402)",
    403: "access denied (403)",
    404: "model or URL not found (404)",
    405: "the URL does not accept requests (405): check base_url and dialect",
    407: "the proxy requires a password (407)",
    413: "the request is too large (413)",
}
_BLAMED: dict[int, Blame] = {401: "key", 402: "money", 403: "key", 404: "key", 405: "place", 407: "place"}
_REPORTED: dict[Class, int] = {
    "money": 429,
    "key": 401,
    "model": 404,
    "limit": 429,
    "day": 429,
    "busy": 503,
    "content": 400,
    "long": 400,
    "sample": 424,
    "server": 500,
}
"""HTTP statuses of errors that are identified only by a code or a name."""


_UNKNOWN = "unknown_question"
_UNRECORDED = "unrecorded_question"
"""The built-in teacher's codes; where an API has no codes, the message begins with one."""


@dataclass(kw_only=True, slots=True)
class _Class:
    """The class of a failure; `what` is the start of its reason."""

    kind: FailureKind
    what: str
    blame: Blame = ""
    scope: LimitScope | None = None
    daily: bool = False
    coded: bool = False
    cut: bool = False


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
    return _failure(status, headers, read_error(body), wall, secrets)


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
    error = read_error(body)
    status = found.status
    if not any(re.fullmatch(r"[45]\d\d", code) for code in error.codes):
        classes = classes_of(error.codes)
        status = next((_REPORTED[each] for each in _REPORTED if each in classes), status)
    if status is not None:
        return replace(_failure(status, headers, error, wall, secrets), charge="none")
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


def _failure(
    status: int, headers: Mapping[str, str], error: ErrorBody, wall: float, secrets: Sequence[str]
) -> Failure:
    limit = status == 429 or bool(classes_of(error.codes) & {"limit", "day", "busy"})
    text = f"{error.words} {error.quota}"
    daily = is_daily(text) or "day" in classes_of(error.codes)
    most = DAY_S if daily and limit else MAX_WAIT_S
    wait = retry_after(headers, wall, most=most)
    if wait is None and error.headers is not None:
        wait = until_reset(CIMultiDict(error.headers), wall, most)
    if wait is None and error.wait_s is not None:
        wait = min(error.wait_s, most)
    if wait is None:
        wait = retry_after({}, wall, error.words, most, limit=limit)
    returns = scope_of(text) is not None or PERIOD.search(text) is not None
    returns = returns or error.wait_s is not None or retry_after({}, wall, error.words) is not None
    found = _class(status, error, wait, returns)
    if found.daily and "day" in error.quota.lower() and wait is not None and wait < 60:
        wait = None  # Google states seconds for a quota that comes back at midnight
    message = error.message
    if 300 <= status < 400:
        found.what = f"redirected ({status}) to {_host(headers.get('location', ''))}, which is not followed: set base_url to the URL of the API"
        message = ""
    reason = f"{found.what}: {redact(message, secrets)}" if message else found.what
    return Failure(
        kind=found.kind,
        reason=redact(safe_line(reason), secrets),
        retry_after_s=wait if found.kind in ("limited", "transient") else None,
        status=status,
        scope=found.scope,
        daily=found.daily,
        blame=found.blame,
        coded=found.coded,
        cut=found.cut,
        headers=rate_headers(headers, wall),
    )


def _class(status: int, error: ErrorBody, wait: float | None, returns: bool) -> _Class:
    """The class of an error; what a code says comes before what words say.

    `wait` is how long to wait, if anything says so; `returns` whether the body itself says that a limit comes back.
    """
    codes, words = classes_of(error.codes), error.words
    if status == 429:
        return _limit(status, error, wait, returns)
    if status in _TRANSIENT or status >= 500:
        busy = "busy" in codes or (status in _BUSY and BUSY.search(words) is not None)
        if busy and status >= 500:
            return _Class(kind="limited", what=f"the server is busy ({status})", scope="concurrency")
        blame: Blame = "sample" if "sample" in codes or SAMPLED.search(words) else ""
        return _Class(kind="transient", what=f"server error ({status})", blame=blame)
    if 300 <= status < 400:
        return _Class(kind="parked", what="", blame="place")
    if CUT.search(words):
        return _Class(kind="transient", what=f"cut at max_tokens ({status})", blame="sample", cut=True)
    if "sample" in codes or SAMPLED.search(words):
        return _Class(kind="transient", what=f"the sampled text was refused ({status})", blame="sample")
    if status in (401, 407):
        return _Class(kind="parked", what=_HINTS[status], blame=_BLAMED[status])
    return _refused(status, error, codes, wait, returns)


def _limit(status: int, error: ErrorBody, wait: float | None, returns: bool) -> _Class:
    """A 429: a request that is too large for the limit, no money, or a limit that comes back."""
    codes, words = classes_of(error.codes), error.words
    if is_too_large(words) or "long" in codes:
        return _Class(kind="permanent", what=f"too large for the limit ({status})", blame="request")
    scope = scope_of(f"{words} {error.quota}")
    if "busy" in codes or BUSY.search(words):
        return _Class(kind="limited", what=f"the server is busy ({status})", scope=scope or "concurrency")
    daily = is_daily(f"{words} {error.quota}") or "day" in codes
    google = "resource_exhausted" in error.codes
    words_alone = (
        MONEY.search(words) is not None and not google and wait is None
    )  # many headers state a wait for anything
    if not returns and not daily and ("money" in codes or words_alone):
        coded = "money" in codes
        return _Class(kind="parked", what=f"quota or billing ({status})", blame="money", coded=coded)
    if "key" in codes and not codes & {"limit", "day"}:
        return _Class(kind="parked", what=f"key or account ({status})", blame="key")
    return _Class(kind="limited", what=f"rate limited ({status})", scope=scope, daily=daily)


def _refused(status: int, error: ErrorBody, codes: set[Class], wait: float | None, returns: bool) -> _Class:
    """Any other 4xx."""
    words = error.words
    if "money" in codes or status == 402:
        what = _HINTS[402] if status == 402 else f"quota or billing ({status})"
        return _Class(kind="parked", what=what, blame="money", coded="money" in codes)
    if is_too_large(words):
        return _Class(kind="permanent", what=f"too large for the limit ({status})", blame="request")
    if status == 413 or "long" in codes or TOO_LONG.search(words):
        what = "the request is too large" if status == 413 else "too long for the model's context"
        return _Class(kind="permanent", what=f"{what} ({status})", blame="request")
    if "content" in codes:
        return _Class(kind="permanent", what=f"blocked by a content filter ({status})", blame="request")
    if _says(error, _UNRECORDED):
        return _Class(kind="permanent", what=f"{NOT_RECORDED} ({status})", blame="recording")
    if _says(error, _UNKNOWN):
        what = f"the teacher does not know this question ({status})"
        return _Class(kind="permanent", what=what, blame="request")
    if status in (400, 403, 422) and (name := refused_setting(error.field, words)):
        what = f"the model rejects {name} ({status}); {remedy(name, words)}"
        return _Class(kind="parked", what=what, blame="setting")
    if status in (400, 403, 422, 451) and CONTENT.search(words):
        return _Class(kind="permanent", what=f"blocked by a content filter ({status})", blame="request")
    if codes & {"limit", "day"} and status != 404:
        return _limit(status, error, wait, returns)
    if MONEY.search(words):
        return _Class(kind="parked", what=_HINTS.get(status, f"key or billing ({status})"), blame="money")
    if codes & {"key", "model"} or KEY.search(words):
        what = _HINTS.get(status, f"key or billing ({status})")
        return _Class(kind="parked", what=what, blame="key", coded=bool(codes & {"key", "model"}))
    if status in _BLAMED:
        return _Class(kind="parked", what=_HINTS[status], blame=_BLAMED[status])
    return _Class(kind="permanent", what=_HINTS.get(status, f"the request was rejected ({status})"))


def _says(error: ErrorBody, code: str) -> bool:
    """Whether an error of the built-in teacher has this code."""
    return code in error.codes or error.message.startswith(f"{code}: ")


def classify_exception(error: BaseException, *, secrets: Sequence[str] = ()) -> Failure:
    """The failure for an exception of the HTTP client.

    Without a connection nothing was sent: transient. With one, the request may have been answered and billed:
    ambiguous.
    """
    if isinstance(error, aiohttp.ClientConnectorCertificateError):
        detail = str(error.certificate_error)
        failure = _of(
            "parked", f"the server's TLS certificate is not trusted: {detail}", secrets, reached=False
        )
        return replace(failure, blame="place")
    if isinstance(error, aiohttp.ClientSSLError):
        return _of("transient", f"TLS handshake failed: {_os_error(error)}", secrets, reached=False)
    if isinstance(error, aiohttp.ClientConnectorError) and error.os_error.errno in _NO_FILES:
        failure = _of("transient", "no connection: too many open files (ulimit -n)", secrets, reached=False)
        return replace(failure, scope="concurrency")
    if isinstance(error, aiohttp.ClientHttpProxyError):
        kind: FailureKind = "transient" if error.status == 429 or error.status >= 500 else "parked"
        failure = _of(kind, f"the proxy could not connect ({error.status})", secrets, reached=False)
        return replace(failure, blame="place" if kind == "parked" else "")
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
        return replace(_of("parked", "base_url is not a valid URL", secrets, reached=False), blame="place")
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
