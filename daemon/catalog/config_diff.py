"""The part of a new configuration that a running daemon can take over, and its differences from the old one. Pure.

Each field of the models says itself what happens when it changes (`engine.config.base.Change`); a field without a mark
takes effect at once.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, TypeVar

from daemon.catalog.prompt_templates import Wordings
from engine.config import Config, TeacherConfig
from engine.config.base import Change, Section, fields_marked
from engine.config.named import teachers_of
from engine.teachers.dialects import dialect

S = TypeVar("S", bound=Section)


def takeable(
    now: Config, wanted: Config, running: Mapping[str, TeacherConfig]
) -> tuple[Config, tuple[str, ...]]:
    """The configuration that can be in force at once, and the names of the settings that wait for a restart.

    Args:
        now: the configuration in force.
        wanted: the new one.
        running: every teacher that this daemon session opened, as it runs.
    """
    state, later = _kept(now.state, wanted.state, "[state]")
    daemon, waits = _kept(now.daemon, wanted.daemon, "[daemon]")
    later += waits
    teachers = {}
    for name, teacher in wanted.teachers.items():
        before = running.get(name)
        teachers[name], waits = (teacher, []) if before is None else _teacher(before, teacher)
        later += [f"teachers.{name}.{field}" for field in waits]
    config = wanted.model_copy(update={"state": state, "daemon": daemon, "teachers": teachers})
    config._folder = now.folder
    return config, tuple(later)


def _kept(now: S, wanted: S, title: str) -> tuple[S, list[str]]:
    """A section with the old values of the fields that wait for a restart, and the names of those that differ."""
    kept = {name: getattr(now, name) for name in fields_marked(type(now), Change.RESTART)}
    differ = [f"{title} {name}" for name, value in kept.items() if value != getattr(wanted, name)]
    return wanted.model_copy(update=kept), differ


def _teacher(before: TeacherConfig, wanted: TeacherConfig) -> tuple[TeacherConfig, list[str]]:
    if before.builtin != wanted.builtin:
        return before, ["builtin"]
    if before.student != wanted.student:
        return before, ["student"]
    if dialect(before.dialect).transport != dialect(wanted.dialect).transport:
        return before, ["dialect"]  # requests and batches are sent by different classes
    if not wanted.builtin:
        return wanted, []
    waits = _differing(before, wanted, Change.SERVER)
    limits = _differing(before, wanted, Change.SERVER_LIMIT)
    names = [*waits, *(f"{name} of its own server" for name in limits)]
    return wanted.model_copy(update={name: getattr(before, name) for name in waits}), names


def _differing(one: TeacherConfig, other: TeacherConfig, mark: Change) -> list[str]:
    """The fields with this mark that differ."""
    return [name for name in fields_marked(TeacherConfig, mark) if getattr(one, name) != getattr(other, name)]


def readdressed(before: TeacherConfig, now: TeacherConfig) -> bool:
    """Whether requests go to another place, or have another form."""
    return bool(_differing(before, now, Change.RECONNECT))


def concerned(
    before: tuple[Config, Wordings], now: tuple[Config, Wordings], running: Mapping[str, TeacherConfig]
) -> set[str]:
    """The running teachers whose table, or a plan or prompt that they serve, differs.

    Args:
        before: the configuration in force, and its prompts.
        now: the new one.
        running: the teachers as they run.
    """
    config = now[0]
    changed = {name for name, each in config.teachers.items() if name in running and running[name] != each}
    plans = {plan.name: plan for plan in before[0].plans}
    for plan in config.plans:
        was, words = (
            {task: each for (name, task), each in wordings.items() if name == plan.name}
            for _, wordings in (before, now)
        )
        if plan != plans.get(plan.name) or was != words:
            changed |= {*teachers_of(plan, config.teachers), *plan.fallback_teachers}
    return changed


def differences(old: Config, new: Config) -> tuple[str, ...]:
    """Names of the settings that differ, as they are written in the file, in its order."""
    one, other = (_by_name(each.model_dump(mode="json")) for each in (old, new))
    return tuple(_differences(one, other, ""))


def _by_name(config: dict[str, Any]) -> dict[str, Any]:
    """The configuration with plans and students by name, so that their order makes no difference."""
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
