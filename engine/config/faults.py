"""Explains what is wrong with a configuration: one message per fault, in plain words.

Pydantic reports each member of a union separately and tags its location with the member's name; here such reports are
merged into one. This module knows the shape of the models, but neither the file nor its lines.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Sequence
from types import UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from pydantic import BaseModel
from pydantic_core import ErrorDetails

from engine.config.base import HEADER_PATTERN, NAME_PATTERN

Path = tuple[int | str, ...]

KEY = "[key]"
"""Pydantic's marker for a fault in a mapping's key."""

_EXPECTED = {
    "int_type": "a whole number",
    "int_from_float": "a whole number",
    "float_type": "a number",
    "finite_number": "a finite number",
    "bool_type": "true or false",
    "string_type": "text in quotes",
    "list_type": "a list, such as [1, 2]",
    "dict_type": "a table",
    "model_type": "a table",
    "model_attributes_type": "a table",
    "greater_than": "a number above {gt}",
    "greater_than_equal": "a number of at least {ge}",
    "less_than": "a number below {lt}",
    "less_than_equal": "a number of at most {le}",
    "too_short": "at least {min_length} item(s)",
    "literal_error": "{expected}",
}

_PATTERNS = {
    NAME_PATTERN: "a name of 1 to 64 lower-case letters, digits, '.', '_' and '-', starting with a letter or digit",
    HEADER_PATTERN: "a header's name of letters, digits and '-'",
    r"^sqlite:///.+": '"sqlite:///PATH"',
}


def explain(model: type[BaseModel], details: Sequence[ErrorDetails]) -> list[tuple[Path, str]]:
    """The faults as (path of the key, message), in the order of `details`."""
    places: dict[Path, list[ErrorDetails]] = {}
    for detail in details:
        own = detail["type"] == "reference"  # of this program: its path names no members of unions
        places.setdefault(detail["loc"] if own else untagged(model, detail["loc"]), []).append(detail)
    return [(place, _message(model, place, group)) for place, group in places.items()]


def untagged(model: type[BaseModel], loc: Path) -> Path:
    """`loc` without the names of union members and without key markers."""
    path: list[int | str] = []
    current: Any = model
    for part in loc:
        if part == KEY:
            break
        current = _bare(current)
        if _is_union(current):  # this part names the member, and what follows belongs to it
            models = [each for each in map(_bare, _members(current)) if _is_model(each)]
            current = next((each for each in models if each.__name__ == part), None)
            continue
        path.append(part)
        current = _child(current, part)
    return tuple(path)


def fields_at(model: type[BaseModel], path: Path) -> list[str]:
    """The keys of the section at `path`; empty if it is not a section."""
    current: Any = model
    for part in path:
        current = _child(_bare(current), part)
    current = _bare(current)
    members = [_bare(each) for each in _members(current)] if _is_union(current) else [current]
    return list(dict.fromkeys(name for each in members if _is_model(each) for name in each.model_fields))


def nearest(name: str, known: Sequence[str]) -> str:
    """A hint: the most similar known name, else all of them."""
    near = difflib.get_close_matches(name, known, n=1)
    return f"did you mean {quoted(near[0])}?" if near else f"expected one of: {', '.join(known) or 'none'}"


def quoted(value: object) -> str:
    """A value as written in TOML; long or unprintable values in a printable form."""
    if isinstance(value, str):
        short = value if len(value) <= 60 else value[:57] + "..."
        shown = "".join(
            each if each.isprintable() else each.encode("unicode_escape").decode() for each in short
        )
        return '"' + shown.replace('"', '\\"') + '"'
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, int) and value.bit_length() > 200:
        return "a number too large to show"
    return str(value)


def _message(model: type[BaseModel], place: Path, group: list[ErrorDetails]) -> str:
    first = group[0]
    kind = first["type"]
    if kind == "extra_forbidden":
        return f"unknown key; {nearest(str(place[-1]), fields_at(model, place[:-1]))}"
    if kind == "missing":
        return _required(model, place)
    if kind == "union_tag_not_found":
        return f"{_tag(first)}: required"
    if kind == "union_tag_invalid":
        known = re.findall(r"'([^']+)'", first["ctx"]["expected_tags"])
        return f"{_tag(first)}: unknown value {quoted(first['ctx']['tag'])}; {nearest(first['ctx']['tag'], known)}"
    if kind in ("value_error", "reference"):
        return first["msg"].removeprefix("Value error, ")
    wanted = list(dict.fromkeys(_expected(detail, alone=len(group) == 1) for detail in group))
    if "a number" in wanted:
        wanted = [each for each in wanted if each != "a whole number"]
    text = f"expected {' or '.join(wanted)}"
    got = place[-1] if first["loc"][-1:] == (KEY,) else first.get("input")
    if isinstance(got, str | int | float):
        text += f" (got {quoted(got)})"
        choices = re.findall(r'"([^"]+)"', wanted[-1]) if kind == "literal_error" or len(group) > 1 else []
        if isinstance(got, str) and (near := difflib.get_close_matches(got, choices, n=1)):
            text += f"; did you mean {quoted(near[0])}?"
    return text


def _tag(detail: ErrorDetails) -> str:
    """The key that tells the members of a union apart."""
    return str(detail["ctx"]["discriminator"]).strip("'")


def _required(model: type[BaseModel], place: Path) -> str:
    """That a key is required, and its values if they are a fixed set."""
    current: Any = model
    for part in place:
        current = _child(_bare(current), part)
    current = _bare(current)
    values = get_args(current) if get_origin(current) is Literal else ()
    return f"required ({', '.join(map(str, values))})" if values else "required"


def _expected(detail: ErrorDetails, *, alone: bool) -> str:
    kind, context = detail["type"], detail.get("ctx", {})
    if kind == "string_pattern_mismatch":
        pattern = context.get("pattern", "")
        return _PATTERNS.get(pattern, f"text that matches {pattern}")
    if not alone and detail["loc"][-1] == "constrained-int":
        return "a count"
    if kind in _EXPECTED:
        return _EXPECTED[kind].format(**context).replace("'", '"')
    return detail["msg"].removeprefix("Input should be ")


def _child(current: Any, part: int | str) -> Any:
    if _is_model(current):
        field = current.model_fields.get(str(part))
        return field.annotation if field else None
    if _is_union(current):
        models = [each for each in map(_bare, _members(current)) if _is_model(each)]
        return next((found for each in models if (found := _child(each, part)) is not None), None)
    arguments = get_args(current)
    return arguments[-1] if arguments else None


def _bare(annotation: Any) -> Any:
    """Without `Annotated`, and without None beside a single type."""
    while True:
        if get_origin(annotation) is Annotated:
            annotation = get_args(annotation)[0]
        elif _is_union(annotation) and len(rest := _members(annotation)) == 1:
            annotation = rest[0]
        else:
            return annotation


def _members(annotation: Any) -> list[Any]:
    return [each for each in get_args(annotation) if each is not type(None)]


def _is_union(annotation: Any) -> bool:
    return get_origin(annotation) in (Union, UnionType)


def _is_model(annotation: Any) -> bool:
    return isinstance(annotation, type) and issubclass(annotation, BaseModel)


def listed(words: list[str], last: str) -> str:
    """Words as a list in prose, `last` before the last one: `a, b or c`."""
    return f" {last} ".join(part for part in (", ".join(words[:-1]), words[-1]) if part)
