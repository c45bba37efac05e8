"""Where a teacher is asked, with the values that its configuration only names, and what of them is secret."""

from __future__ import annotations

import base64
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from urllib.parse import quote, unquote, urlsplit

from yarl import URL

from engine.config import TeacherConfig
from engine.config.secret_places import PUBLIC_HEADERS, REFERENCE, parameters, shown_url
from engine.config.urls import wrong_proxy
from engine.errors import ConfigError, SecretError

SHORTEST = 8
"""A shorter value, or a word, is no secret: taking it out of a response would take it out of answers."""


@dataclass(frozen=True, slots=True, repr=False)
class Endpoint:
    """A teacher's address, proxy and headers as they are used."""

    base_url: str
    proxy: str
    headers: Mapping[str, str]
    secrets: tuple[str, ...]
    """What must be taken out of every text that comes from the server."""
    more: tuple[str, ...] = ()
    """Further addresses of the same teacher (`base_urls`)."""


def endpoint(name: str, config: TeacherConfig, environ: Mapping[str, str]) -> Endpoint:
    """What a teacher's `base_url`, `proxy` and `headers` stand for.

    Args:
        name: the teacher's name, for messages.
        config: its configuration.
        environ: the variables that `env:NAME` refers to.

    Raises:
        ConfigError: the URL, the proxy or a header cannot be used.
        SecretError: a variable is not set. No message contains a value.
    """

    def value(key: str, written: str) -> str:
        found = REFERENCE.fullmatch(written)
        if found is None:
            return written
        got = environ.get(found[1], "").strip()
        if not got or not got.isprintable():
            said = "contains line breaks or control characters" if got else "is not set"
            raise SecretError(
                f"teachers.{name}.{key}: the environment variable {found[1]} {said}; set it (export {found[1]}=…), or write it"
                " into [daemon] env_file"
            )
        return written.removesuffix(f"env:{found[1]}") + got

    def url(key: str, written: str) -> str:
        address, mark, query = value(key, written).partition("?")
        pairs = [each.partition("=") for each in query.split("&")]
        query = "&".join(
            name + equals + (quote(value(key, given), safe="") if REFERENCE.fullmatch(given) else given)
            for name, equals, given in pairs
        )
        found = f"{address}{mark}{query}"
        if not config.local:
            _check_address(name, key, found, shown_url(written))
        return found

    urls = [url("base_urls" if config.base_urls else "base_url", written) for written in config.addresses]
    proxy = value("proxy", config.proxy)
    headers = {key: value(f"headers.{key}", written) for key, written in config.headers.items()}
    if proxy and (why := wrong_proxy(proxy)):
        raise ConfigError(f"teachers.{name}.proxy: {why}")
    _check_headers(name, headers)
    found = {
        *(
            each
            for written, used in zip(config.addresses, urls, strict=True)
            for each in _of_url(used, whole=bool(REFERENCE.fullmatch(written)))
        ),
        *_of_url(proxy, whole=False),
        *(
            each
            for key, given in headers.items()
            if key.lower() not in PUBLIC_HEADERS or given != config.headers[key]
            for each in (given, *re.split(r"[ ;,=]+", given))
        ),
    }
    secrets = tuple(sorted(filter(_secret, found), key=len, reverse=True))
    return Endpoint(urls[0], proxy, headers, secrets, tuple(urls[1:]))


def _check_address(name: str, key: str, address: str, shown: str) -> None:
    try:
        url = URL(address)
    except ValueError:
        url = URL()
    if url.scheme not in ("http", "https") or not url.host:
        raise ConfigError(
            f"teachers.{name}: {key} {shown!r} is not a valid URL; expected for example https://api.openai.com/v1"
        )
    if url.user is not None or url.password is not None:
        raise ConfigError(
            f"teachers.{name}: {key} contains a user name or a password, which would be stored; set the key with api_key_env"
            ' or api_key_file, or write headers = { Authorization = "Basic env:NAME" }'
        )


def _check_headers(name: str, headers: Mapping[str, str]) -> None:
    for key, value in headers.items():
        if not key.isascii() or not key.isprintable() or not value.isprintable():
            raise ConfigError(
                f"teachers.{name}.headers: {key!r} contains line breaks or control characters; write it on one line"
            )


def _of_url(url: str, *, whole: bool) -> Iterator[str]:
    """What is secret in a URL, in each way in which a server or an error may write it."""
    try:
        parts, sent = urlsplit(url), str(URL(url))
    except ValueError:  # its own message
        return
    user, _, password = parts.netloc.rpartition("@")[0].partition(":")
    values = [user, password, *(value for each in (url, sent) for _, value in parameters(each))]
    if whole:  # a key in the path
        values += [url, *(each for each in parts.path.split("/") if len(each) >= 2 * SHORTEST)]
    for each in values:
        yield from (each, unquote(each), quote(unquote(each), safe=""))
    if password:
        yield base64.b64encode(f"{unquote(user)}:{unquote(password)}".encode()).decode()


def _secret(value: str) -> bool:
    return len(value) >= SHORTEST and not (value.isalpha() and len(value) < 20)
