"""What is wrong with a teacher's URL, or a proxy's."""

from __future__ import annotations

from urllib.parse import urlsplit

from engine.config.secret_places import shown_url
from engine.teachers.dialects import DIALECTS
from engine.teachers.messages import Message, Request


def wrong_base_url(url: str, spoken: str | None) -> str:
    """Why a `base_url` is wrong for a dialect; empty if it is not: an endpoint at its end would be added a second time."""
    address, mark, query = url.partition("?")
    address = address.rstrip("/")
    for name, endpoint in _endpoints().items():
        if address.endswith(endpoint) and (name == spoken or endpoint.count("/") > 1):
            base = f"{address.removesuffix(endpoint)}{mark}{query}"
            return f'ends in {endpoint}, which is added to it for each request: write "{shown_url(base)}"'
    return ""


def _endpoints() -> dict[str, str]:
    """The path under `base_url` that each dialect sends requests to, the longest first."""
    request = Request(messages=(Message("user", ""),))
    paths = {each.name: each.build(request, "", {})[0] for each in DIALECTS.values()}
    return dict(sorted(paths.items(), key=lambda each: -len(each[1])))


def wrong_proxy(url: str) -> str:
    """What is wrong with a proxy's URL; empty if nothing is."""
    try:
        parts = urlsplit(url)
        good = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:  # an invalid port, or brackets that do not close
        good = False
    return (
        ""
        if good and url.isprintable() and " " not in url
        else "expected a URL such as http://proxy.example:3128"
    )
