"""Reads the body of an error in the forms that APIs and gateways use: what to show, and what decides its class.

Bodies are untrusted. Text that may repeat the prompt (`input` of a validation error, `failed_generation`) is never read:
a question about billing must not look like a bill.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from engine.teachers.decode import decode_json
from engine.teachers.failures import MalformedAnswer
from engine.teachers.headers import duration, number

READ_BODY = 64 * 1024
"""Bytes of an error's body that are read."""

MOST_WORDS = 4000
_LINK = re.compile(r"https?://\S+")
"""Ignored when classifying: OpenAI's ordinary rate-limit messages link to a billing page."""
_TITLE = re.compile(r"<title[^>]*>([^<]{1,200})", re.IGNORECASE)
_CODES = ("code", "type", "status", "reason", "error_code", "error_type", "errorCode", "status_code")
_MESSAGES = ("message", "msg", "status_msg", "detail", "error", "error_msg", "error_message", "description")


@dataclass(kw_only=True, slots=True)
class ErrorBody:
    """What a body says about an error.

    `message` is what a reader sees, `words` all text that may decide the class, `codes` the names and numbers of the
    error in lower case. `field` is the field of the request that it names. `wait_s`, `quota` and `headers` are what
    details say about a limit.
    """

    message: str = ""
    words: str = ""
    codes: tuple[str, ...] = ()
    field: str = ""
    wait_s: float | None = None
    quota: str = ""
    headers: Mapping[str, str] | None = None


def read_error(body: bytes) -> ErrorBody:
    """What the body of an error says; empty where it says nothing."""
    if not body:
        return ErrorBody()
    try:
        payload = decode_json(body[:READ_BODY])
    except MalformedAnswer:
        text = body[:READ_BODY].decode("utf-8", "replace")
        if text.lstrip()[:1] == "<":
            title = _TITLE.search(text)
            return ErrorBody(words=title[1] if title else "")
        return ErrorBody(message=text[:500], words=_LINK.sub("", text[:MOST_WORDS]))
    return read_payload(payload)


def read_payload(payload: object) -> ErrorBody:
    """The same of a parsed body."""
    found = _Reader()
    if isinstance(payload, list):  # Google wraps errors in a list
        payload = payload[0] if payload else None
    for source, place in _sources(payload):
        found.read(source, "base_resp." if place == "base_resp" else "")
    return found.told()


def _sources(payload: object) -> Iterator[tuple[object, str]]:
    """The parts of a payload that describe an error, with the names of their places; else the whole payload."""
    if not isinstance(payload, dict):
        yield payload, ""
        return
    places: list[tuple[object, str]] = []
    if payload.get("error"):
        places.append((payload["error"], "error"))
        if isinstance(payload["error"], str):  # beside it a code (xAI) or a type (TGI)
            places.append(({name: payload[name] for name in _CODES if name in payload}, "error"))
    base = payload.get("base_resp")
    if isinstance(base, dict) and base.get("status_code") not in (None, 0, "0"):
        places.append((base, "base_resp"))
    if payload.get("success") is False and not places:
        places.append(({**payload, "errors": None}, "success"))
    errors = payload.get("errors")
    if isinstance(errors, list):
        places += [(each, "errors") for each in errors[:3]]
    choices = payload.get("choices")
    if isinstance(choices, list):
        places += [
            (each["error"], "choices") for each in choices[:8] if isinstance(each, dict) and each.get("error")
        ]
    if not places and not choices:
        yield payload, ""
    yield from places


class _Reader:
    """Collects what the parts of one body say."""

    def __init__(self) -> None:
        self.messages: list[str] = []
        self.nested: list[str] = []
        self.codes: list[str] = []
        self.field = ""
        self.wait_s: float | None = None
        self.quota: list[str] = []
        self.headers: Mapping[str, str] | None = None

    def told(self) -> ErrorBody:
        """All of it."""
        message = "; ".join(dict.fromkeys(each for each in self.messages if each))
        inner = "; ".join(dict.fromkeys(each for each in self.nested if each and each not in message))
        if inner:
            message = f"{message} ({inner})" if message else inner
        words = _LINK.sub("", message[:MOST_WORDS])
        return ErrorBody(
            message=message[:2000],
            words=words,
            codes=tuple(dict.fromkeys(self.codes)),
            field=self.field,
            wait_s=self.wait_s,
            quota=" ".join(self.quota),
            headers=self.headers,
        )

    def read(self, source: object, prefix: str = "", depth: int = 0) -> None:
        """Reads one part: a text, or an object with a message, codes and details."""
        if isinstance(source, str):
            (self.nested if depth else self.messages).append(source[:2000])
            return
        if not isinstance(source, dict) or depth > 3:
            return
        for name in _CODES:
            value = source.get(name)
            if isinstance(value, str | int) and not isinstance(value, bool) and str(value)[:80].strip():
                self.codes.append(prefix + str(value)[:80].strip().lower())
        self._field(source.get("param"))
        for name in _MESSAGES:
            value = source.get(name)
            if isinstance(value, str) and value:
                self.read(value, depth=depth)
                break
            if isinstance(value, dict | list) and value:  # Mistral: {"detail": [{"loc", "msg"}]}
                self._list(value, depth) if isinstance(value, list) else self.read(value, prefix, depth + 1)
                break
        self._details(source, depth)
        for name in ("retry_after", "retry_after_seconds", "retryAfter"):
            wait = number(str(source.get(name))) if source.get(name) is not None else None
            self.wait_s = wait if self.wait_s is None else self.wait_s

    def _field(self, value: object) -> None:
        if isinstance(value, str) and value and not self.field:
            self.field = value[:80]

    def _list(self, entries: list[object], depth: int) -> None:
        """Validation errors, and Google's typed details."""
        for entry in entries[:5]:
            if isinstance(entry, str):
                self.read(entry, depth=depth + 1)
            if not isinstance(entry, dict):
                continue
            place = entry.get("loc")
            if isinstance(place, list) and place and isinstance(place[-1], str):
                self._field(".".join(str(each) for each in place if each != "body"))
                said = entry.get("msg")
                if isinstance(said, str):
                    self.messages.append(f"{place[-1]}: {said[:300]}")
                continue
            delay = entry.get("retryDelay")
            if isinstance(delay, str):
                self.wait_s = duration(delay)
            elif isinstance(delay, dict):
                self.wait_s = number(str(delay.get("seconds", 0)))
            violations = entry.get("violations")
            for each in violations[:5] if isinstance(violations, list) else []:
                if isinstance(each, dict):
                    self.quota += [
                        str(each[name])[:100] for name in ("quotaId", "quotaMetric") if each.get(name)
                    ]
            if "@type" not in entry or entry.get("reason"):
                self.read(entry, depth=depth + 1)

    def _details(self, source: Mapping[str, object], depth: int) -> None:
        """What stands beside the message: nested errors, the words of a provider behind a gateway, its headers."""
        details = source.get("details")
        if isinstance(details, list):
            self._list(details, depth)
        elif isinstance(details, dict | str):
            self.read(details, depth=depth + 1)
        for name in ("innererror", "cause", "inner_error"):
            inner = source.get(name)
            if isinstance(inner, dict):
                self.read(inner, depth=depth + 1)
        metadata = source.get("metadata")
        if not isinstance(metadata, dict):
            return
        headers = metadata.get("headers")
        if isinstance(headers, dict):
            self.headers = {str(name).lower(): str(value) for name, value in list(headers.items())[:50]}
        raw = metadata.get("raw")
        if isinstance(raw, str) and raw:
            self._raw(raw, depth)
        elif isinstance(raw, dict):
            self.read(raw, depth=depth + 1)
        wait = number(str(metadata.get("retry_after_seconds")))
        self.wait_s = wait if self.wait_s is None else self.wait_s
        provider = metadata.get("provider_name")
        if isinstance(provider, str) and provider:
            self.nested.append(provider[:40])

    def _raw(self, raw: str, depth: int) -> None:
        """The body of the provider behind a gateway: JSON, or text."""
        try:
            inner = decode_json(raw.encode("utf-8", "replace")[:READ_BODY])
        except MalformedAnswer:
            if raw.lstrip()[:1] != "<":
                self.nested.append(raw[:500])
            return
        if isinstance(inner, list) and inner:
            inner = inner[0]
        if isinstance(inner, dict):
            self.read(inner.get("error", inner), depth=depth + 1)
        elif isinstance(inner, str):
            self.nested.append(inner[:500])
