"""Prompt templates: text with names in braces, such as `{question}`; `{{` and `}}` are literal braces.

Only those names are looked up, and a value that is filled in is never read as a template again.
"""

from __future__ import annotations

import string
from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True, slots=True)
class Template:
    """A template of a strategy.

    `text` is the strategy's own; None where the answer format's phrase is used. `places` are the names it may contain,
    `required` those it must contain.
    """

    text: str | None = None
    places: frozenset[str]
    required: frozenset[str] = frozenset()


def check(name: str, found: list[str], known: frozenset[str], required: frozenset[str]) -> None:
    """Checks the places of a template.

    Raises:
        ValueError: a place is unknown, repeated or missing.
    """
    listed = ", ".join(f"{{{place}}}" for place in sorted(known))
    for place in found:
        if place not in known:
            raise ValueError(f"{name}: {{{place}}} is not known here; known: {listed or 'none'}")
        if found.count(place) > 1:
            raise ValueError(f"{name}: {{{place}}} occurs more than once")
    missing = sorted(required - set(found))
    if missing:
        raise ValueError(f"{name}: {{{missing[0]}}} is missing")


def placeholders(template: str) -> list[str]:
    """The names in a template, in order.

    Raises:
        ValueError: a brace is unmatched, or encloses something other than a name.
    """
    try:
        parts = list(string.Formatter().parse(template))
    except ValueError as error:
        raise ValueError(f"{error}; write {{{{ and }}}} for braces") from None
    names = []
    for _, name, spec, conversion in parts:
        if name is None:
            continue
        if not name.isidentifier() or spec or conversion:
            raise ValueError(f"expected a name in braces, such as {{question}}, got {{{name}}}")
        names.append(name)
    return names


def fill(template: str, **values: str) -> str:
    """Fills in a template. A name without a value is a bug (KeyError)."""
    parts = string.Formatter().parse(template)
    return "".join(text + (values[name] if name is not None else "") for text, name, _, _ in parts)
