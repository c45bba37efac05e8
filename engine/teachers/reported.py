"""Finds the error in a body, however a provider or a gateway writes it, and the HTTP status that means the same.

Errors come under a status of 200 when a gateway reports its upstream, or when the server had begun to answer. They come
as an object, a string, in a list, within a choice (OpenRouter), as `base_resp` (MiniMax), `success: false` (Cloudflare),
`object: "error"` (vLLM) or `detail` (FastAPI).
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from engine.teachers.decode import decode_json
from engine.teachers.failures import MalformedAnswer

MOST_WORDS = 2000
"""Characters of a message that are kept."""
_DEEP = 4
_FINE = frozenset({"0", "200", "ok", "success"})
"""Codes that report no error."""

_STATUS = re.compile(r"[45]\d\d")
_NAMED: tuple[tuple[int, re.Pattern[str]], ...] = tuple(
    (status, re.compile(pattern, re.IGNORECASE))
    for status, pattern in (
        (
            429,
            r"rate_?limit|too_?many_?requests|resource_?exhausted|throttl|insufficient_quota|quota_exceeded",
        ),
        (402, r"billing|payment|insufficient_(?:balance|credit|funds)|arrear"),
        (401, r"invalid_api_key|authenticat|unauthori[sz]ed|unauthenticated"),
        (403, r"permission|forbidden|access_?denied"),
        (404, r"not_?found"),
        (413, r"too_large"),
        (503, r"overload|unavailable|engine_busy|server_busy"),
        (504, r"time_?out|deadline"),
        (500, r"server_?error|internal|api_error|upstream|bad_gateway|provider_error"),
        (
            400,
            r"bad_?request|invalid_?(?:request|argument|param|prompt)|context_length|content_(?:filter|policy)|validation",
        ),
    )
)
"""HTTP statuses of errors that are identified only by a name."""
_WORDED: tuple[tuple[int, re.Pattern[str]], ...] = tuple(
    (status, re.compile(pattern, re.IGNORECASE))
    for status, pattern in (
        (402, r"insufficient (?:balance|credit|funds)|balance (?:is )?(?:insufficient|too low)|余额不足"),
        (429, r"rate.?limit|too many requests|quota|请求过于频繁"),
        (
            401,
            r"not authenticated|authentication (?:error|failed|required)|unauthori[sz]ed|(?:invalid|incorrect|missing|no) api.?key",
        ),
        (
            404,
            r"unexpected endpoint|(?:endpoint|route|path|url|model)\b.{0,80}\bnot (?:be )?found|no such (?:route|endpoint|model)",
        ),
        (400, r"context (?:length|window|size)|too long|content (?:filter|policy)|inappropriate content"),
        (503, r"overload|too busy|\bbusy\b|unavailable|at capacity|try again later"),
        (502, r"upstream|bad gateway|provider returned error|internal (?:server )?error"),
    )
)
"""The same of errors that have words alone."""
_CODES: Mapping[str, Mapping[int, int]] = {
    "minimax": {
        **{1000: 500, 1001: 504, 1002: 429, 1004: 401, 1008: 402, 1013: 500, 1024: 500, 1026: 400, 1027: 400},
        **{1033: 500, 1039: 429, 1041: 429, 1042: 400, 2013: 400, 2049: 401, 2056: 429},
    },
    "zhipu": {
        **dict.fromkeys(range(1000, 1005), 401),
        **{1110: 403, 1111: 403, 1112: 403, 1113: 402, 1120: 500, 1121: 403},
        **{1210: 400, 1211: 404, 1212: 400, 1213: 400, 1214: 400, 1215: 400, 1220: 403, 1221: 404, 1222: 404},
        **{1230: 500, 1231: 400, 1234: 500, 1261: 400, 1300: 400, 1301: 400},
        **dict.fromkeys(range(1302, 1311), 429),
        **{1311: 403, 1312: 429, 1313: 403},
    },
    "cloudflare": {10000: 401, 9106: 401, 9109: 403, 7000: 404, 7003: 404, 3036: 429, 3040: 503},
}
"""Numbers of providers that are no HTTP statuses."""


@dataclass(frozen=True, slots=True)
class Reported:
    """An error in a body: its words, its names, and the HTTP status that means the same; None if none does."""

    message: str
    code: str
    type: str
    param: str
    status: int | None

    def body(self) -> bytes:
        """The same in OpenAI's form."""
        names = {"code": self.code or None, "type": self.type or None, "param": self.param or None}
        return json.dumps({"error": {"message": self.message, **names}}).encode()


def reported_in(body: bytes) -> Reported | None:
    """The error in a body; None if it has none, or cannot be read."""
    try:
        payload = decode_json(body)
    except MalformedAnswer:
        return None
    return reported(payload)


def reported(payload: object) -> Reported | None:
    """The error in a response; None if it reports none."""
    if isinstance(payload, list):  # Google wraps errors in a list
        payload = payload[0] if payload else None
    if not isinstance(payload, dict):
        return None
    error = payload.get("error")
    if isinstance(error, str) and error:
        return _read({"message": error, "code": payload.get("code"), "type": payload.get("error_type")})
    if isinstance(error, dict) and error:
        return _read(error)
    choices = payload.get("choices")
    if isinstance(choices, list) and choices:
        found = [each["error"] for each in choices if isinstance(each, dict) and each.get("error")]
        if not found:
            return None
        return _read(found[0] if isinstance(found[0], dict) else {"message": str(found[0])})
    base = payload.get("base_resp")
    if isinstance(base, dict) and base.get("status_code"):
        return _read({"message": base.get("status_msg"), "code": base.get("status_code")}, "minimax")
    errors = payload.get("errors")
    if payload.get("success") is False or (isinstance(errors, list) and errors):
        first = errors[0] if isinstance(errors, list) and errors else payload
        return _read(first if isinstance(first, dict) else {"message": str(first)}, "cloudflare")
    if payload.get("object") == "error" or payload.get("type") == "error":
        return _read(payload)
    detail = payload.get("detail")
    if detail:
        return _read(detail if isinstance(detail, dict) else {"message": words_of(detail), "type": "detail"})
    if str(payload.get("code") or "0").lower() not in _FINE and (
        payload.get("message") or payload.get("msg")
    ):
        return _read(payload)
    return None


def _read(error: Mapping[str, object], codes: str = "zhipu") -> Reported:
    """An error object."""
    code, kind = _name(error.get("code")), _name(error.get("type") or error.get("status"))
    message = words_of(error)
    return Reported(message, code, kind, _name(error.get("param")), _status(code, kind, message, codes))


def _status(code: str, kind: str, message: str, codes: str) -> int | None:
    if _STATUS.fullmatch(code):
        return int(code)
    if code.isascii() and code.isdigit() and len(code) < 9:
        found = _CODES[codes].get(int(code))
        if found is not None:
            return found
    for name in (code, kind):
        if name and not name.isdigit():
            for status, pattern in _NAMED:
                if pattern.search(name):
                    return status
    return next((status for status, pattern in _WORDED if pattern.search(message)), None)


def _name(value: object) -> str:
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    return str(value)[:100] if isinstance(value, str | int) and not isinstance(value, bool) else ""


def words_of(error: object) -> str:
    """The words of an error, with those of the provider behind it in brackets."""
    words = list(dict.fromkeys(word.strip() for word in _words(error, 0) if word and word.strip()))
    if not words:
        return ""
    inner = "; ".join(words[1:])
    return (f"{words[0]} ({inner})" if inner else words[0])[:MOST_WORDS]


_WORD_KEYS = ("message", "msg", "error_description", "reason", "title", "detail", "error", "description")
_NESTED = (
    "metadata",
    "details",
    "errors",
    "innererror",
    "inner_error",
    "provider_error",
    "raw",
    "cause",
    "upstream",
)


def _words(error: object, depth: int) -> Iterator[str]:
    """Words from the outside in."""
    if isinstance(error, str):
        yield from _text(error, depth)
    elif depth > _DEEP:
        return
    elif isinstance(error, list):
        for item in error[:5]:
            yield from _words(item, depth + 1)
    elif isinstance(error, Mapping):
        said = next((error[key] for key in _WORD_KEYS if error.get(key)), None)
        if said is not None:
            where = error.get("loc")
            place = ".".join(str(each) for each in where[:8]) if isinstance(where, list) else ""
            for word in _words(said, depth + 1):
                yield f"{place}: {word}" if place else word
        for key in _NESTED:
            if key in error and error[key] is not said:
                yield from _words(error[key], depth + 1)


def _text(text: str, depth: int) -> Iterator[str]:
    """A text; one that is JSON itself, as gateways pass errors on, is read."""
    if text[:1] in ("{", "[") and depth <= _DEEP and len(text) < 64 * 1024:
        try:
            inner = decode_json(text.encode("utf-8", "replace"))
        except MalformedAnswer:
            yield text
            return
        found = reported(inner)
        yield (found.message if found is not None else words_of(inner)) or text
    else:
        yield text
