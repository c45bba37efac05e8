"""Fields of nested request bodies by dotted paths, such as `generationConfig.maxOutputTokens`."""

from __future__ import annotations

from collections.abc import Mapping

_ABSENT = object()


def merge(body: dict[str, object], extra: Mapping[str, object]) -> None:
    """Adds `extra` to `body`; its values win. Two tables are merged, so that neither hides the other's fields."""
    for name, value in extra.items():
        own = body.get(name)
        if isinstance(own, dict) and isinstance(value, Mapping):
            own = dict(own)
            merge(own, value)
            body[name] = own
        else:
            body[name] = value


def value_at(table: Mapping[str, object], path: str) -> object:
    """The value at `path`; None where there is none."""
    value: object = table
    for name in path.split("."):
        value = value.get(name) if isinstance(value, Mapping) else None
    return value


def overrides(table: Mapping[str, object], path: str) -> str:
    """The place where `table` sets `path`, or empty.

    This is `path` itself, or a part of it where `table` has something other than a table: merged into a body that
    has a table there, the value would replace it.
    """
    value: object = table
    names = path.split(".")
    for count, name in enumerate(names, start=1):
        if not isinstance(value, Mapping):
            return ".".join(names[: count - 1])
        value = value.get(name, _ABSENT)
        if value is _ABSENT:
            return ""
    return path


def lower(body: dict[str, object], path: str, most: int) -> None:
    """Lowers a whole number at `path` to `most`."""
    *parents, last = path.split(".")
    table = _table(body, parents)
    value = table.get(last)
    if isinstance(value, int):
        table[last] = min(value, most)


def place(body: dict[str, object], path: str, value: object) -> None:
    """Sets the field at `path`."""
    for name in reversed(path.split(".")[1:]):
        value = {name: value}
    merge(body, {path.split(".")[0]: value})


def remove(body: dict[str, object], path: str) -> None:
    """Removes the field at `path`, if there is one."""
    *parents, last = path.split(".")
    _table(body, parents).pop(last, None)


def _table(body: dict[str, object], names: list[str]) -> dict[str, object]:
    """The table at `names` within `body`, as a copy in its place: tables of `extra_body` are never changed."""
    table = body
    for name in names:
        inner = table.get(name)
        if not isinstance(inner, dict):
            return {}
        table[name] = inner = dict(inner)
        table = inner
    return table
