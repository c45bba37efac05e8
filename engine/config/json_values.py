"""Tables of the configuration that are sent on as JSON: whatever JSON can hold, and nothing else.

TOML has dates, infinities and NaN, which JSON has not; a fault is found here, with its place, and not
when a request is built.
"""

from __future__ import annotations

import math

DEPTH = 16
"""So deep may tables and lists be nested."""


def json_table(table: dict[str, object]) -> dict[str, object]:
    """`table`, checked.

    Raises:
        ValueError: it holds what JSON cannot, or is nested too deep.
    """
    for name, value in table.items():
        _check(value, name, 1)
    return table


def _check(value: object, place: str, depth: int) -> None:
    if depth > DEPTH:
        raise ValueError(f"nested too deep: expected at most {DEPTH} tables or lists in each other")
    if isinstance(value, dict):
        for name, each in value.items():
            if not isinstance(name, str):
                raise ValueError(f"{_short(place)}: a key must be text")
            _check(each, f"{place}.{name}", depth + 1)
    elif isinstance(value, list):
        for index, each in enumerate(value):
            _check(each, f"{place}[{index}]", depth + 1)
    elif isinstance(value, float):
        if not math.isfinite(value):
            raise ValueError(f"{_short(place)}: expected a finite number")
    elif not isinstance(value, str | int | None):
        raise ValueError(
            f"{_short(place)}: expected text, a number, true or false, a table or a list; write a date in quotes"
        )


def _short(place: str) -> str:
    return place if len(place) <= 60 and place.isprintable() else ascii(place)[1:58] + "..."
