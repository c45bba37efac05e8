"""What derived students are made from, of plain tables: the names in `of`, their scopes, and what does not go together."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Any

from engine.config.faults import nearest, quoted
from engine.config.lineage import (
    JOINT,
    cycle_in,
    meets,
    no_model,
    no_turns,
    root_of,
    scopes_of_plain,
    source_name,
)
from engine.methods import METHODS
from engine.students.operations import OPERATIONS, DerivedConfig, Member, Operation

Scopes = Mapping[str, tuple[str, ...]]
"""The tasks of a student by scope: the name of a task, or `joint`."""


def members_of(of: Sequence[str], names: Sequence[str]) -> list[str]:
    """The names that a list with `*` means, in the order of the list, then of `names`."""
    found: dict[str, None] = {}
    for each in of:
        if each in names:
            found[each] = None
        else:
            found |= dict.fromkeys(name for name in names if fnmatchcase(name, each)) if "*" in each else {}
    return list(found)


def shared_scopes(members: Sequence[Scopes]) -> Scopes:
    """The scopes on which all of these students are; a joint one stands for each of its tasks."""
    found: dict[str, tuple[str, ...]] = {}
    for scope in dict.fromkeys(scope for each in members for scope in each):
        tasks: dict[str, None] = {}
        for each in members:
            if scope in each:
                tasks |= dict.fromkeys(each[scope])
            elif JOINT not in each or scope not in each[JOINT]:
                break
        else:
            found[scope] = tuple(tasks) if scope == JOINT else (scope,)
    return found


@dataclass(frozen=True, slots=True)
class Origin:
    """What a derived student is made from on one scope."""

    tasks: tuple[str, ...]
    sources: tuple[tuple[str, str], ...]
    """Names of students, each with its scope."""


def origins(operation: Operation[Any], members: Mapping[str, Scopes]) -> dict[str, Origin]:
    """The scopes of a derived student.

    One for each on which all members are. An operation across tasks makes one joint student where there is none of these, or a single
    member with several.

    Args:
        operation: what makes it.
        members: the scopes of the students that it is made from, by name, in order.
    """
    shared = shared_scopes(list(members.values()))
    several = len(members) == 1 and len(next(iter(members.values()))) > 1
    if operation.across and (several or not shared):
        sources = tuple((name, scope) for name, scopes in members.items() for scope in scopes)
        tasks = dict.fromkeys(
            task for scopes in members.values() for found in scopes.values() for task in found
        )
        return {JOINT: Origin(tuple(tasks), sources)} if sources else {}
    return {
        scope: Origin(
            tasks, tuple((name, scope if scope in scopes else JOINT) for name, scopes in members.items())
        )
        for scope, tasks in shared.items()
    }


def wrong_derived(
    students: Sequence[Mapping[str, Any]], derived: Sequence[DerivedConfig], tasks: Sequence[str]
) -> list[tuple[str, str, str]]:
    """Derived students that are made from none, from themselves, or from what does not go together, and who starts from them.

    Args:
        students: the students that are trained, as plain values.
        derived: the others.
        tasks: the names of all tasks.

    Returns:
        The name of the student, the key, and what is wrong.
    """
    plain = {each["name"]: each for each in students}
    own = {each.name: each for each in derived}
    names = [*plain, *own]
    found: list[tuple[str, str, str]] = []
    members: dict[str, list[str]] = {}
    for each in derived:
        for name in each.of:
            if not members_of([name], names):
                others = [other for other in names if other != each.name]
                text = (
                    f"no student is called {quoted(name)}"
                    if "*" in name
                    else f"unknown student {quoted(name)}"
                )
                found.append((each.name, "of", f"{text}; {nearest(name, others)}"))
        members[each.name] = members_of(each.of, names)
    sources = {
        **{name: [source] for name, each in plain.items() if (source := source_name(each.get("base")))},
        **members,
    }
    cycle = cycle_in(sources)
    if cycle:
        first = next((name for name in cycle if name in own), None)
        if first is not None:
            found.append((first, "of", f"students cannot come from themselves: {' → '.join(cycle)}"))
        return found
    if found:
        return found
    scopes: dict[str, Scopes] = {name: scopes_of_plain(each, tasks) for name, each in plain.items()}
    for name in _in_order(members):
        operation = OPERATIONS[own[name].make]
        found_origins = origins(operation, {each: scopes[each] for each in members[name]})
        scopes[name] = {scope: each.tasks for scope, each in found_origins.items()}
        nowhere = Origin((), tuple((each, JOINT) for each in members[name]))
        made_from = next(iter(found_origins.values()), nowhere).sources
        facts = [_facts(each, scope, plain, own, scopes) for each, scope in made_from]
        why = next(filter(None, (_no_source(each, own) for each in facts)), "") or operation.misfit(facts)
        if not why and operation.runs(own[name]):
            said = (
                f"{each} {no_model(plain[each])}"
                for each in members[name]
                if each in plain and no_model(plain[each])
            )
            why = next(said, "")
        if not why and not scopes[name]:
            why = f"there is no task on which all of them have a student: {', '.join(members[name])}"
        if why:
            found.append((name, "of", why))
    for name, student in plain.items():
        source = source_name(student.get("base"))
        if source is None:
            continue
        why = ""
        if source in own:
            why = _no_source(_facts(source, JOINT, plain, own, scopes), own) or meets(
                student, source, scopes[source], tasks
            )
        if why := why or no_turns(student, root_of(name, plain, members)):
            found.append((name, "base", why))
    return found


def _no_source(member: Member, own: Mapping[str, DerivedConfig]) -> str:
    """Why there is no single model of a student to go on from; empty if there is one."""
    if member.name not in own:
        return (
            "" if member.base else f"the student {member.name} is not trained: there is nothing to go on from"
        )
    operation = OPERATIONS[own[member.name].make]
    if not operation.runs(own[member.name]):
        return f"{member.name} is counted from stored answers: it has no student"
    if operation.no_source:
        return f"{member.name} {operation.no_source}"
    return "" if operation.single_model else f"{member.name} consists of several models: name those"


def _in_order(members: Mapping[str, Sequence[str]]) -> list[str]:
    found: list[str] = []

    def add(name: str) -> None:
        if name in members and name not in found:
            for each in members[name]:
                add(each)
            found.append(name)

    for name in members:
        add(name)
    return found


def _facts(
    name: str,
    scope: str,
    plain: Mapping[str, Mapping[str, Any]],
    own: Mapping[str, DerivedConfig],
    scopes: Mapping[str, Scopes],
) -> Member:
    """What the configuration tells of a student on a scope. One that is not trained has no base here."""
    if name in own:
        return Member(name=name, method="", chain=(), base="", operation=own[name].make)
    chain = [name]
    while (source := source_name(plain[chain[-1]].get("base"))) is not None and source in plain:
        chain.append(source)
        scope = scope if scope in scopes[source] else JOINT
    method = str(plain[name].get("method"))
    base = str(plain[chain[-1]].get("base"))
    if source is not None:  # it comes from a derived one
        return Member(
            name=name, method=method, chain=(), base=base, operation=own[source].make if source in own else ""
        )
    return Member(
        name=name,
        method=method,
        chain=tuple(chain),
        base=base if METHODS[method].trains else "",
        part=str(plain[name].get("part") or ""),
        origin=(chain[-1], scope),
    )
