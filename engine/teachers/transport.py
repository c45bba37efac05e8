"""The client for a teacher: which class it is follows from the transport of the teacher's dialect."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import replace

from engine.config import TeacherConfig
from engine.teachers.batch_client import BatchClient
from engine.teachers.client import TeacherClient
from engine.teachers.dialects import Transport, dialect
from engine.teachers.endpoint import Endpoint, endpoint
from engine.teachers.spread import SpreadClient

CLIENTS: Mapping[Transport, type[TeacherClient]] = {"requests": TeacherClient, "batches": BatchClient}


HttpClient = TeacherClient | SpreadClient

NOT_SERVED = "http://127.0.0.1:9/v1"
"""In place of the address of a student that is not served: nothing is sent to it."""


def make_client(
    config: TeacherConfig,
    *,
    base_url: str | None = None,
    at: Endpoint | None = None,
    say: Callable[[str], None] = lambda said: None,
) -> HttpClient:
    """The client for a teacher, without an open connection yet; needs a running event loop.

    Args:
        config: the teacher.
        base_url: replaces the configured one, for the built-in teacher and for a student that is served.
        at: its addresses, proxy and headers; by default with references to this process's environment.
        say: is told which of several addresses rest, and which answer again.

    Raises:
        ConfigError: the URL or a header is invalid.
        SecretError: a variable that the configuration refers to is not set.
    """
    base_url = base_url or (NOT_SERVED if config.student else None)
    if base_url is not None or not config.base_urls:
        return CLIENTS[dialect(config.dialect).transport](config, base_url=base_url, at=at)
    at = at or endpoint(config.model, config, os.environ)
    return SpreadClient([single_client(each, there) for each, there in by_address(config, at)], say=say)


def single_client(config: TeacherConfig, at: Endpoint) -> TeacherClient:
    """The client for a teacher with one address."""
    return CLIENTS[dialect(config.dialect).transport](config, at=at)


def by_address(config: TeacherConfig, at: Endpoint) -> list[tuple[TeacherConfig, Endpoint]]:
    """A teacher as one for each of its addresses."""
    urls = (at.base_url, *at.more)
    return [
        (
            config.model_copy(update={"base_url": written, "base_urls": []}),
            replace(at, base_url=url, more=()),
        )
        for written, url in zip(config.addresses, urls, strict=True)
    ]
