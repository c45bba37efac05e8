"""Checks what a plan asks for against what its teachers can do, before anything is spent.

Works on plain values, with or without defaults, so that one mistake does not hide another. Values that do not fit the
models are skipped here; they are reported elsewhere.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

from engine.config.faults import listed
from engine.teachers.dialects import DEFAULT, DIALECTS, Dialect
from engine.teachers.dialects.paths import value_at

MAX_TOKENS = 256
"""A plan's default `max_tokens`."""

_CAPABILITIES: tuple[tuple[str, int, Callable[[Dialect], bool], str], ...] = (
    ("per_request", 1, lambda each: each.supports_n, "returns one rationale per request"),
    ("logprobs", 0, lambda each: each.supports_logprobs, "returns no log-probabilities"),
)
"""A plan's key, the value that asks for nothing, which dialects can serve it, and what the others do."""


def wrong_requests(
    plan: Mapping[str, Any], teachers: Mapping[str, Mapping[str, Any]]
) -> Iterator[tuple[str, str]]:
    """Options of a plan that one of its teachers cannot serve, as (key, message)."""
    spoken = {name: _dialect_of(teacher) for name, teacher in teachers.items()}
    for key, off, able, otherwise in _CAPABILITIES:
        value = plan.get(key, off)
        if not isinstance(value, int) or value <= off:
            continue
        known = listed([each.name for each in DIALECTS.values() if able(each)], "or")
        for name, each in spoken.items():
            if each is not None and not able(each):
                yield (
                    key,
                    f"teacher {name} ({each.name}) {otherwise}: remove {key}, or use teachers that speak {known}",
                )
    if plan.get("share") == "by-cost":
        if len(teachers) < 2:
            yield (
                "share",
                "by-cost divides the work of several teachers, and this plan has one: remove it, or add a teacher",
            )
        for name, each in spoken.items():
            if each is not None and each.transport == "batches":
                yield (
                    "share",
                    f"by-cost decides after every few samples, and teacher {name} ({each.name}) is asked by batches: remove one of them",
                )
    if plan.get("scores") is not None:
        known = listed([each.name for each in DIALECTS.values() if each.scores], "or")
        for name, each in spoken.items():
            if each is not None and not each.scores:
                yield (
                    "scores",
                    f"teacher {name} ({each.name}) cannot score a text that it is given: use one that speaks {known}",
                )
            elif teachers[name].get("builtin"):
                yield (
                    "scores",
                    f"teacher {name} is built in, and its log-probabilities are made up: use a real one, or a student",
                )
    reserved = plan.get("max_tokens", MAX_TOKENS)
    for name, teacher in teachers.items():
        extra, each = teacher.get("extra_body"), spoken[name]
        if not isinstance(extra, Mapping) or each is None or not isinstance(reserved, int):
            continue
        for path in each.fields.replacing_limits:
            limit = value_at(extra, path)
            if isinstance(limit, int) and limit > reserved:
                asked = f"extra_body of teacher {name} sets {path} = {limit}"
                yield (
                    "max_tokens",
                    f"{reserved} tokens are reserved, but {asked}: set max_tokens to {limit} or more",
                )


def _dialect_of(teacher: Mapping[str, Any]) -> Dialect | None:
    name = teacher.get("dialect", DEFAULT)
    return DIALECTS.get(name) if isinstance(name, str) else None
