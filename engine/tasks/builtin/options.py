"""Options of builtin tasks: what there is, which values are right, and a clear word where one is not."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from engine.errors import ConfigError

Value = int | float | str | bool


@dataclass(frozen=True, slots=True)
class Option:
    """One option: its default, which also gives its type, and the bounds of a number (inclusive)."""

    default: int | bool
    meaning: str
    low: int = 0
    high: int = 0

    def fault(self, value: Value) -> str | None:
        """What is wrong with a value, or None."""
        if isinstance(self.default, bool):
            return None if isinstance(value, bool) else "expected true or false"
        if isinstance(value, bool) or not isinstance(value, int) or not self.low <= value <= self.high:
            return f"expected a whole number from {self.low} to {self.high}"
        return None


def nearest(name: str, known: Iterable[str]) -> str:
    """A hint for a name that is not known: the nearest one, or all there are."""
    names = sorted(known)
    close = difflib.get_close_matches(name, names, n=1)
    return f"did you mean {close[0]!r}?" if close else f"there are: {', '.join(names) or 'none'}"


def resolve(where: str, known: Mapping[str, Option], given: Mapping[str, Value]) -> dict[str, Value]:
    """All options with their values.

    Args:
        where: the key in the configuration, such as `tasks.coin_flip.options`.
        known: the task's options.
        given: those of the configuration.

    Raises:
        ConfigError: an option that is not there (names the nearest) or a wrong value.
    """
    for name, value in given.items():
        if name not in known:
            raise ConfigError(f"{where}.{name}: unknown option; {nearest(name, known)}")
        fault = known[name].fault(value)
        if fault:
            raise ConfigError(f"{where}.{name}: {fault} (got {value!r}): {known[name].meaning}")
    return {name: given.get(name, option.default) for name, option in known.items()}


def number(options: Mapping[str, Value], name: str) -> int:
    """An option that is a whole number."""
    return int(options[name])
