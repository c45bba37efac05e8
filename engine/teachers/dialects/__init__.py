"""The forms of teacher APIs, one module each: a request becomes a path and a JSON body, a response becomes completions.

Importing this package is cheap: it needs neither an HTTP library nor the configuration.
"""

from __future__ import annotations

from engine.errors import ConfigError
from engine.teachers.dialects.base import BatchSettings, Dialect, DialectSettings, Transport
from engine.teachers.failures import MalformedAnswer
from engine.teachers.messages import Completion, Request
from engine.variants import discover

__all__ = [
    "DEFAULT",
    "DIALECTS",
    "BatchSettings",
    "Dialect",
    "DialectSettings",
    "Transport",
    "dialect",
    "read_stored",
]

DEFAULT = "openai-chat"
"""The dialect of a teacher that names none."""

DIALECTS: dict[str, Dialect] = discover(
    __name__,
    Dialect,
    helpers=("base", "finish", "logprobs", "paths", "reasoning", "shared", "streaming", "usage"),
    order=lambda each: (each.name != DEFAULT, each.transport != "requests"),
)
"""Every dialect by name, the default first, those served by batches last."""


def dialect(name: str) -> Dialect:
    """The dialect called `name`.

    Raises:
        ConfigError: there is no such dialect; the message lists them.
    """
    try:
        return DIALECTS[name]
    except KeyError:
        known = ", ".join(DIALECTS)
        raise ConfigError(
            f"the dialect {name!r} is not available in this version; use one of: {known}"
        ) from None


def read_stored(payload: object, choice: int, request: Request, known: str) -> Completion:
    """One choice of a stored response body, read in the dialect `known` if possible, else in any other.

    The teacher may have been renamed since, or given another dialect: then the body shows which one it is in, since
    each dialect rejects the bodies of the others.

    Raises:
        MalformedAnswer: no dialect can read it.
    """
    for name in dict.fromkeys((known, *DIALECTS)):
        try:
            return dialect(name).parse(payload, request)[choice]
        except (MalformedAnswer, ConfigError, IndexError):
            continue
    raise MalformedAnswer("no dialect can read a stored response")
