"""Students that start from students, with `base = "student:NAME"`: their order, their scopes, and what cannot be."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from engine.config.adapters import ADAPTERS
from engine.config.base import NAME_PATTERN
from engine.config.faults import nearest, quoted
from engine.methods import METHODS
from engine.students.sizes import BUILTIN, SIZES

STUDENT = "student:"
JOINT = "joint"


def source_name(base: object) -> str | None:
    """The student that a base names; None where it names something else."""
    return base.removeprefix(STUDENT) if isinstance(base, str) and base.startswith(STUDENT) else None


def is_name(name: str) -> bool:
    """Whether a text can be the name of a student."""
    return re.fullmatch(NAME_PATTERN, name) is not None


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


def wrong_sources(
    students: Sequence[Mapping[str, Any]], tasks: Sequence[str], derived: Sequence[str] = ()
) -> list[tuple[str, str]]:
    """Bases that name no student, no trained one, one without a student for a task, or themselves in the end.

    Args:
        students: all students that are trained, as plain values; what does not fit the models is passed over.
        tasks: the names of all tasks.
        derived: the names of the derived students.

    Returns:
        The name of the student, and what is wrong with its base.
    """
    known = {each["name"]: each for each in students if isinstance(each.get("name"), str)}
    named = {name: source for name, each in known.items() if (source := source_name(each.get("base")))}
    found = []
    for name, source in named.items():
        if source in derived:
            continue
        if source not in known:
            names = [*known, *derived]
            said = nearest(source, names) if len(names) > 1 else "there is no other student"
            found.append((name, f"unknown student {quoted(source)}; {said}"))
        elif why := _unfit(known[name], known[source], tasks):
            found.append((name, why))
    cycle = cycle_in({name: [source] for name, source in named.items()})
    if cycle:
        found.append((cycle[0], f"students cannot come from themselves: {' → '.join(cycle)}"))
    return found


def root_of(name: str, known: Mapping[str, Mapping[str, Any]], members: Mapping[str, Sequence[str]]) -> str:
    """The base that a student comes from in the end. Of a derived one, the first that it is made from stands for all.

    Args:
        name: of the student. It does not come from itself.
        known: the students that are trained, as plain values.
        members: those that derived ones are made from.
    """
    while name not in known:
        name = members[name][0]
    base = str(known[name].get("base", ""))
    source = source_name(base)
    return base if source is None else root_of(source, known, members)


def no_turns(student: Mapping[str, Any], root: str) -> str:
    """Why a student cannot write the turns of its method; empty if it can, as far as the name of its first base tells."""
    method = METHODS.get(str(student.get("method")))
    size = SIZES.get(root.removeprefix(BUILTIN)) if root.startswith(BUILTIN) else None
    if method is None or not method.roles or size is None or not size.encoder_decoder:
        return ""
    return f"{method.name} writes turns after one another, which decoders can: {root} is an encoder-decoder"


def _unfit(student: Mapping[str, Any], source: Mapping[str, Any], tasks: Sequence[str]) -> str:
    """Why a student cannot start from another one, as far as the configuration tells."""
    method = METHODS.get(str(source.get("method", "fine-tune-cot")))
    if method is not None and not method.trains:
        return f'the student {source["name"]} is not trained (method = "{method.name}"): name one that is, or its base'
    if why := no_model(source):
        return f"the student {source['name']} {why}"
    return meets(student, str(source["name"]), scopes_of_plain(source, tasks), tasks)


def no_model(student: Mapping[str, Any]) -> str:
    """Why a trained student, given as plain values, is no model of its own; empty if it is one."""
    training = student.get("training")
    training = training if isinstance(training, Mapping) else {}
    adapter = ADAPTERS.get(str(training.get("adapter", "full")))
    if adapter is None or adapter.model_of_its_own:
        return ""
    return f'is a {adapter.name} on its base, not a model of its own: name its base, or train it with adapter = "lora"'


def meets(
    student: Mapping[str, Any], source: str, scopes: Mapping[str, tuple[str, ...]], tasks: Sequence[str]
) -> str:
    """Why a student cannot start from one with these scopes; empty if it can on each of its own."""
    if JOINT in scopes:
        return ""
    if student.get("scope") == JOINT:
        return (
            f'this student has scope = "joint", and {source} has one student for each task: give {source} the scope "joint",'
            " or this one a single task"
        )
    missing = [task for task in scopes_of_plain(student, tasks) if task not in scopes]
    return f"{source} has no student for the task {missing[0]}: add it to its tasks" if missing else ""


def scopes_of_plain(student: Mapping[str, Any], tasks: Sequence[str]) -> dict[str, tuple[str, ...]]:
    """The tasks of a student by scope, from plain values."""
    named = student.get("tasks", ["*"])
    own = (
        list(tasks)
        if not isinstance(named, list) or "*" in named
        else [task for task in tasks if task in named]
    )
    return {JOINT: tuple(own)} if student.get("scope") == JOINT else {task: (task,) for task in own}
