"""How two runs differ in their settings: what `coterie diff` and the monitor show."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

from state.views.runs import RunDetail

SAID = frozenset({"name", "method", "base", "training.seed"})
"""Settings of a student that are always shown, under other names."""


def settings_that_differ(one: RunDetail, other: RunDetail) -> list[tuple[str, str, str]]:
    """Each setting of their students with another value: name, value of `one`, value of `other`; `–` where it is not set."""
    before, after = (dict(_flat(run.spec.get("student", run.spec))) for run in (one, other))
    return [
        (name, _said(before.get(name)), _said(after.get(name)))
        for name in dict.fromkeys([*before, *after])
        if name not in SAID and before.get(name) != after.get(name)
    ]


def _flat(settings: Mapping[str, Any], place: str = "") -> Iterator[tuple[str, Any]]:
    for name, value in settings.items():
        if isinstance(value, Mapping):
            yield from _flat(value, f"{place}{name}.")
        else:
            yield f"{place}{name}", value


def _said(value: Any) -> str:
    return "–" if value is None else value if isinstance(value, str) else json.dumps(value)
