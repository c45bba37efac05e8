"""A consequence of an edited configuration, and the words for it."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from state.views.format import counted


@dataclass(frozen=True, slots=True)
class Edit:
    """A consequence of an edit. `told`: another event says it once it has happened."""

    text: str
    told: bool = False


def differing(before: Mapping[str, Any], now: Mapping[str, Any], names: Sequence[str]) -> str:
    """`temperature was 0.7 and is 0.1`, for those that differ."""
    return ", ".join(
        f"{name} was {_said(before[name])} and is {_said(now[name])}"
        for name in names
        if name in before and name in now and before[name] != now[name]
    )


def _said(value: object) -> str:
    text = "unset" if value is None else value if isinstance(value, str) else json.dumps(value)
    return text if len(text) <= 60 else text[:59] + "…"


def are(number: int, noun: str) -> str:
    """`2 samples are`."""
    return f"{counted(number, noun)} {'is' if number == 1 else 'are'}"
