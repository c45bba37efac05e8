"""Reads `config.toml`; every error names file, line, key, what was expected and the nearest valid key."""

from __future__ import annotations

import difflib
import re
import tomllib
from pathlib import Path
from typing import Any, get_args

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from engine.config.root import Config
from engine.errors import ConfigError


def load_config(path: Path) -> Config:
    """The configuration in `path`.

    Raises:
        ConfigError: the file is missing, is no TOML, or does not fit the models; all faults at once.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise ConfigError(f"{path}: no such file. Give another with -c, or start from config.toml.") from None
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path}: cannot be read: {error}") from None
    try:
        data = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(f"{path}: not valid TOML: {error}") from None
    try:
        config = Config.model_validate(data)
    except ValidationError as error:
        lines = [_explain(path, text, detail) for detail in _useful(error.errors())]
        raise ConfigError("\n".join(lines)) from None
    config._folder = path.resolve().parent
    return config


def resolved(config: Config) -> dict[str, Any]:
    """The configuration with all defaults, as plain values. It never holds a secret, only where keys are."""
    return config.model_dump(mode="json")


def _useful(errors: list[ErrorDetails]) -> list[ErrorDetails]:
    """One error a place: a union reports each of its members."""
    seen: set[tuple[Any, ...]] = set()
    result = []
    for error in errors:
        place = tuple(part for part in error["loc"] if isinstance(part, int) or not _member(part))
        if place not in seen:
            seen.add(place)
            result.append(error)
    return result


def _member(part: str) -> bool:
    return "[" in part or part in {"int", "str", "float", "bool"}


def _explain(path: Path, text: str, error: ErrorDetails) -> str:
    loc = tuple(part for part in error["loc"] if isinstance(part, int) or not _member(part))
    key = ".".join(str(part) for part in loc)
    where = f"{path}:{line_of(text, loc)}" if loc else str(path)
    if error["type"] == "extra_forbidden":
        near = difflib.get_close_matches(str(loc[-1]), fields_at(Config, loc[:-1]), n=1)
        hint = f"; did you mean {near[0]!r}?" if near else ""
        if not near:
            hint = f"; known here: {', '.join(fields_at(Config, loc[:-1]))}"
        return f"{where}: {key}: unknown key{hint}"
    message = error["msg"].removeprefix("Value error, ")
    got = error.get("input")
    shown = f" (got {got!r})" if isinstance(got, str | int | float | bool) else ""
    if error["type"] == "string_pattern_mismatch":
        message = f"must match {error.get('ctx', {}).get('pattern', '')}"
    return f"{where}: {key}: {message}{shown}" if key else f"{where}: {message}{shown}"


def fields_at(model: type[BaseModel], loc: tuple[int | str, ...]) -> list[str]:
    """Names of the fields of the section at `loc`."""
    current: Any = model
    for part in loc:
        if isinstance(current, type) and issubclass(current, BaseModel):
            field = current.model_fields.get(str(part))
            current = field.annotation if field else None
        else:  # an item of a list, a value of a mapping
            current = get_args(current)[-1] if get_args(current) else None
    return list(current.model_fields) if isinstance(current, type) and issubclass(current, BaseModel) else []


def line_of(text: str, loc: tuple[int | str, ...]) -> int:
    """The line (from 1) of a key in a TOML text: best effort, the nearest table where the key has none."""
    header = re.compile(r"^\s*(\[\[?)\s*([^\]]+?)\s*\]\]?\s*(?:#.*)?$")
    found = 1
    counts: dict[tuple[int | str, ...], int] = {}
    current: tuple[int | str, ...] = ()
    for number, line in enumerate(text.splitlines(), start=1):
        if match := header.match(line):
            parts: list[int | str] = []
            for name in match[2].split("."):
                parts.append(name.strip().strip("\"'"))
                dotted = tuple(parts)
                if match[1] == "[[" and len(parts) == len(match[2].split(".")):
                    counts[dotted] = counts.get(dotted, -1) + 1
                if dotted in counts:
                    parts.append(counts[dotted])
            current = tuple(parts)
            if loc[: len(current)] == current:
                found = number
        elif loc[: len(current)] == current and len(loc) > len(current):
            if re.match(rf"^\s*[\"']?{re.escape(str(loc[len(current)]))}[\"']?\s*[.=]", line):
                return number
    return found
