"""Students that start from students: `base = "student:NAME"`, whom they come from in the end, and what cannot be."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from engine.config.base import NAME_PATTERN
from engine.config.faults import nearest, quoted
from engine.methods import METHODS

if TYPE_CHECKING:
    from engine.config.students import StudentConfig

STUDENT = "student:"
JOINT = "joint"

Wrong = tuple[tuple[int | str, ...], str]
"""A path in the configuration, and what is wrong there."""


def source_name(base: object) -> str | None:
    """The student that a base names; None where it names something else."""
    return base.removeprefix(STUDENT) if isinstance(base, str) and base.startswith(STUDENT) else None


def is_name(name: str) -> bool:
    """Whether a text can be the name of a student."""
    return re.fullmatch(NAME_PATTERN, name) is not None


def chain_of(student: StudentConfig, students: Iterable[StudentConfig]) -> list[StudentConfig]:
    """A student and those that it comes from: the last one has a base that is no student."""
    known = {each.name: each for each in students}
    chain = [student]
    while (name := source_name(chain[-1].base)) is not None:
        chain.append(known[name])
    return chain


def with_its_form(student: StudentConfig, students: Iterable[StudentConfig]) -> StudentConfig:
    """The student with the form that it takes over from those that it comes from, where the configuration names that."""
    form = next((each.form for each in chain_of(student, students) if each.form is not None), None)
    return student if form is None else student.model_copy(update={"form": form})


def in_order(names: Sequence[str], sources: Mapping[str, Sequence[str]]) -> list[str]:
    """The names with each after all that it comes from, otherwise as they are."""
    found: dict[str, None] = {}

    def add(name: str) -> None:
        if name not in found:
            for source in sources.get(name, ()):
                add(source)
            found[name] = None

    for name in names:
        add(name)
    return [name for name in found if name in names]


def cycle_in(sources: Mapping[str, Sequence[str]]) -> list[str]:
    """The first cycle of names, which begins and ends with the same one; empty: there is none."""
    over: set[str] = set()

    def walk(name: str, path: list[str]) -> list[str]:
        if name in path:
            return [*path[path.index(name) :], name]
        if name in over:
            return []
        for source in sources.get(name, ()):
            if found := walk(source, [*path, name]):
                return found
        over.add(name)
        return []

    return next((found for name in sources if (found := walk(name, []))), [])


def wrong_sources(students: Sequence[Mapping[str, Any]], tasks: Sequence[str]) -> list[tuple[str, str]]:
    """Bases that name no student, no trained one, one without a student for a task, or themselves in the end.

    Args:
        students: all students as plain values; what does not fit the models is passed over.
        tasks: the names of all tasks.

    Returns:
        The name of the student, and what is wrong with its base.
    """
    known = {each["name"]: each for each in students if isinstance(each.get("name"), str)}
    named = {name: source for name, each in known.items() if (source := source_name(each.get("base")))}
    found = []
    for name, source in named.items():
        if source not in known:
            said = nearest(source, list(known)) if len(known) > 1 else "there is no other student"
            found.append((name, f"unknown student {quoted(source)}; {said}"))
        elif why := _unfit(known[name], known[source], tasks):
            found.append((name, why))
    cycle = cycle_in({name: [source] for name, source in named.items()})
    if cycle:
        found.append((cycle[0], f"students cannot come from themselves: {' → '.join(cycle)}"))
    return found


def _unfit(student: Mapping[str, Any], source: Mapping[str, Any], tasks: Sequence[str]) -> str:
    """Why a student cannot start from another one, as far as the configuration tells."""
    name = source["name"]
    method = METHODS.get(str(source.get("method", "fine-tune-cot")))
    if method is not None and not method.trains:
        return f'the student {name} is not trained (method = "{method.name}"): name one that is, or its base'
    if source.get("scope") == JOINT:
        return ""
    if student.get("scope") == JOINT:
        return (
            f'this student has scope = "joint", and {name} has one student for each task: give {name} the scope "joint",'
            " or this one a single task"
        )
    own, theirs = (_tasks(each, tasks) for each in (student, source))
    missing = [task for task in own if task not in theirs]
    return f"{name} has no student for the task {missing[0]}: add it to its tasks" if missing else ""


def _tasks(student: Mapping[str, Any], tasks: Sequence[str]) -> list[str]:
    named = student.get("tasks", ["*"])
    if not isinstance(named, list) or "*" in named:
        return list(tasks)
    return [task for task in tasks if task in named]
