"""What of a new configuration a running daemon can take over, and how it differs from the old one. Pure.

The place of things (`[state]`), what was opened at the start (`http`, `log_file`, `devices`) and the
processes of built-in teachers stay as they are until the next start; everything else is taken over.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from engine.config import Config, TeacherConfig, resolved

AT_START = ("http", "devices", "log_file", "shared_limits")
BUILTIN_AT_START = ("step_error_rate", "latency_ms", "fault")
BUILTIN_LIMITS = ("requests_per_minute", "tokens_per_minute", "concurrency")
ADDRESS = ("base_url", "model", "dialect", "headers", "extra_body", "timeout_seconds")
"""What a teacher's client is made of."""


def takeable(
    now: Config, wanted: Config, running: Mapping[str, TeacherConfig]
) -> tuple[Config, tuple[str, ...]]:
    """The part of `wanted` that can be in force at once, and the names of what has to wait.

    Args:
        now: the configuration in force.
        wanted: the one that was read.
        running: every teacher this daemon ever opened, as it runs.
    """
    later = [
        f"[state] {name}"
        for name in ("url", "runs")
        if getattr(now.state, name) != getattr(wanted.state, name)
    ]
    stay = {name: getattr(now.daemon, name) for name in AT_START}
    later += [f"[daemon] {name}" for name in AT_START if stay[name] != getattr(wanted.daemon, name)]
    teachers = {}
    for name, teacher in wanted.teachers.items():
        before = running.get(name)
        teachers[name], waits = (teacher, []) if before is None else _teacher(before, teacher)
        later += [f"teachers.{name}.{field}" for field in waits]
    config = wanted.model_copy(
        update={
            "state": now.state,
            "daemon": wanted.daemon.model_copy(update=stay),
            "teachers": teachers,
        }
    )
    config._folder = now.folder
    return config, tuple(later)


def _teacher(before: TeacherConfig, wanted: TeacherConfig) -> tuple[TeacherConfig, list[str]]:
    if before.builtin != wanted.builtin:
        return before, ["builtin"]
    if before.dialect != wanted.dialect and "openai-batch" in (before.dialect, wanted.dialect):
        return before, ["dialect"]  # requests and batches are sent by different parts
    if not wanted.builtin:
        return wanted, []
    waits = [name for name in BUILTIN_AT_START if getattr(before, name) != getattr(wanted, name)]
    limits = [name for name in BUILTIN_LIMITS if getattr(before, name) != getattr(wanted, name)]
    said = [*waits, *(f"{name} of its own server" for name in limits)]
    return wanted.model_copy(update={name: getattr(before, name) for name in waits}), said


def readdressed(before: TeacherConfig, now: TeacherConfig) -> bool:
    """Whether requests go elsewhere, or in another form."""
    return any(getattr(before, name) != getattr(now, name) for name in ADDRESS)


def differences(old: Config, new: Config) -> tuple[str, ...]:
    """Names of the settings that differ, as a person writes them, in the order of the file."""
    return tuple(_differences(_by_name(resolved(old)), _by_name(resolved(new)), ""))


def _by_name(config: dict[str, Any]) -> dict[str, Any]:
    """Plans and students by their names, so that an order of their own makes no difference."""
    lists = {key: {item["name"]: item for item in config[key]} for key in ("plans", "students")}
    return {**config, **lists}


def _differences(old: Any, new: Any, place: str) -> Iterator[str]:
    if old == new:
        return
    if not (isinstance(old, dict) and isinstance(new, dict)):
        yield place
        return
    for key in [*new, *(key for key in old if key not in new)]:
        inner = f"{place}.{key}" if place else key
        if key not in old:
            yield f"{inner} (new)"
        elif key not in new:
            yield f"{inner} (gone)"
        else:
            yield from _differences(old[key], new[key], inner)
