"""The client for a teacher: which class it is follows from the transport of the teacher's dialect."""

from __future__ import annotations

from collections.abc import Mapping

from engine.config import TeacherConfig
from engine.teachers.batch_client import BatchClient
from engine.teachers.client import TeacherClient
from engine.teachers.dialects import Transport, dialect
from engine.teachers.endpoint import Endpoint

CLIENTS: Mapping[Transport, type[TeacherClient]] = {"requests": TeacherClient, "batches": BatchClient}


NOT_SERVED = "http://127.0.0.1:9/v1"
"""In place of the address of a student that is not served: nothing is sent to it."""


def make_client(
    config: TeacherConfig, *, base_url: str | None = None, at: Endpoint | None = None
) -> TeacherClient:
    """The client for a teacher, without an open connection yet; needs a running event loop.

    Args:
        config: the teacher.
        base_url: replaces the configured one, for the built-in teacher and for a student that is served.
        at: its address, proxy and headers; by default with references to this process's environment.

    Raises:
        ConfigError: the URL or a header is invalid.
        SecretError: a variable that the configuration refers to is not set.
    """
    base_url = base_url or (NOT_SERVED if config.student else None)
    return CLIENTS[dialect(config.dialect).transport](config, base_url=base_url, at=at)
