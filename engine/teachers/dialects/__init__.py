"""The forms of teacher APIs: request out, completions in, as pairs of pure functions.

A dialect knows paths, bodies and answers of one kind of API. It knows no HTTP, no key, no clock.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from engine.errors import ConfigError
from engine.teachers.dialects import openai_chat, openai_completions
from engine.teachers.messages import Completion, Request

Body = dict[str, object]
Build = Callable[[Request, str, Mapping[str, object]], tuple[str, Body]]
Parse = Callable[[object, Request], list[Completion]]


@dataclass(frozen=True, slots=True)
class Dialect:
    """One API's form.

    `build(request, model, extra_body)` gives the path under the base URL and the JSON body;
    `parse(payload, request)` gives one completion for each choice, or raises `MalformedAnswer`.
    """

    name: str
    build: Build
    parse: Parse


DIALECTS: dict[str, Dialect] = {
    "openai-chat": Dialect("openai-chat", openai_chat.build, openai_chat.parse),
    "openai-completions": Dialect("openai-completions", openai_completions.build, openai_completions.parse),
}


def dialect(name: str) -> Dialect:
    """The dialect called `name`.

    Raises:
        ConfigError: there is none of that name; the message names those there are.
    """
    try:
        return DIALECTS[name]
    except KeyError:
        known = ", ".join(DIALECTS)
        raise ConfigError(
            f"the dialect {name!r} is not available in this version; use one of: {known}"
        ) from None
