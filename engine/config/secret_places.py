"""Where a secret can stand in the configuration, and how such a value is shown: by its name, never as it is.

A header, or a parameter of a URL, is shown only if its name is known to hold no secret. `env:NAME` stands for the value
of an environment variable; the reference itself is no secret. `engine/teachers/endpoint.py` puts the values in.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

REDACTED = "[redacted]"

PUBLIC_HEADERS = frozenset(
    {
        *("accept", "accept-language", "content-type", "user-agent", "referer", "http-referer", "x-title"),
        *("anthropic-beta", "anthropic-version", "openai-beta", "openai-organization", "openai-project"),
        *("x-goog-user-project", "ai-resource-group"),
    }
)
"""Headers, in lower case, whose values are shown. The value of any other one may be a secret."""

PUBLIC_PARAMETERS = frozenset(
    {
        *("api-version", "api_version", "version", "v", "alt", "beta", "deployment", "location", "model"),
        *("organization", "project", "provider", "region", "timeout"),
    }
)
"""The same for the parameters of a URL's query."""

REFERENCE = re.compile(r"(?:[A-Za-z]+ )?env:([A-Za-z_][A-Za-z0-9_]*)")
"""A value that names an environment variable; before it may stand a scheme, as in `Basic env:NAME`."""


KEY_HEADERS = frozenset({"authorization", "proxy-authorization", "x-api-key", "api-key", "cookie"})
"""Headers that are there for a secret: `headers` may only refer to their value, as `env:NAME`."""

KEY_FIELDS = frozenset(
    {"api_key", "apikey", "api-key", "access_token", "auth_token", "password", "secret", "authorization"}
)
"""Fields of a request body that are there for a secret. `extra_body` is part of a plan's identity, so it is stored."""


def shown_header(name: str, value: str) -> str:
    """A header's value as it may be stored and shown."""
    return value if name.lower() in PUBLIC_HEADERS or _public(value) else REDACTED


def _public(value: str) -> bool:
    """Whether a value of any name is shown: a reference, or too short for a key."""
    return len(value) < 4 or REFERENCE.fullmatch(value) is not None


def shown_url(url: str) -> str:
    """A URL without its user information and without the values of its query that may be secrets."""
    address, mark, query = url.partition("?")
    scheme, slashes, rest = address.partition("//")
    host, slash, path = rest.partition("/")
    if "@" in host:
        address = f"{scheme}{slashes}{REDACTED}@{host.rpartition('@')[2]}{slash}{path}"
    return address + mark + "&".join(_shown_parameter(each) for each in query.split("&"))


def parameters(url: str) -> list[tuple[str, str]]:
    """The parameters of a URL's query that may hold a secret, as they are written; one without a name has none."""
    pairs = [each.partition("=") for each in url.partition("?")[2].split("&")]
    named = [(name, value) if equals else ("", name) for name, equals, value in pairs]
    return [(name, value) for name, value in named if value and name.lower() not in PUBLIC_PARAMETERS]


def _shown_parameter(written: str) -> str:
    for name, value in parameters(f"?{written}"):
        if not _public(value):
            return f"{name}={REDACTED}" if name else REDACTED
    return written


def key_fields(body: object) -> Iterator[str]:
    """The fields of a body, at any depth, that are there for a secret."""
    if isinstance(body, dict):
        for name, value in body.items():
            if name.lower() in KEY_FIELDS:
                yield name
            yield from key_fields(value)
    elif isinstance(body, list):
        for value in body:
            yield from key_fields(value)
