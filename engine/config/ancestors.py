"""Whom the students of a configuration come from, and on which tasks they are."""

from __future__ import annotations

from engine.config.derivation import Origin, Scopes, members_of, origins
from engine.config.lineage import scopes_of_plain, source_name
from engine.config.root import Config
from engine.config.students import StudentConfig
from engine.students.operations import OPERATIONS


def derived_members(config: Config) -> dict[str, list[str]]:
    """The students that each derived one is made from, by name. In the order of `of` where an operation has roles."""
    names = [student.name for student in config.students] + [each.name for each in config.derived]
    found = {}
    for each in config.derived:
        members = members_of(each.of, [name for name in names if name != each.name])
        found[each.name] = members if OPERATIONS[each.make].roles else sorted(members)
    return found


def chain_of(student: StudentConfig, config: Config) -> list[StudentConfig]:
    """A student and those that it comes from: the last one has a base that is no student.

    Of a derived student, the first that it is made from stands for all.
    """
    known = {each.name: each for each in config.students}
    members = derived_members(config)
    chain = [student]
    while (name := source_name(chain[-1].base)) is not None:
        while name in members:
            name = members[name][0]
        chain.append(known[name])
    return chain


def first_of(name: str, config: Config) -> StudentConfig:
    """The first of those that a student comes from, which may be derived: its tokenizer is the one of them all."""
    members = derived_members(config)
    while name in members:
        name = members[name][0]
    return chain_of(next(each for each in config.students if each.name == name), config)[-1]


def with_its_form(student: StudentConfig, config: Config) -> StudentConfig:
    """The student with the form that it takes over from those that it comes from, where the configuration names that."""
    form = next((each.form for each in chain_of(student, config) if each.form is not None), None)
    return student if form is None else student.model_copy(update={"form": form})


def scopes_by_student(config: Config) -> dict[str, Scopes]:
    """The scopes of all students, also of derived ones."""
    return _scopes(config)[0]


def derived_origins(config: Config) -> dict[str, dict[str, Origin]]:
    """What each derived student is made from, by name and scope."""
    return _scopes(config)[1]


def _scopes(config: Config) -> tuple[dict[str, Scopes], dict[str, dict[str, Origin]]]:
    found: dict[str, Scopes] = {
        student.name: scopes_of_plain(student.model_dump(include={"scope", "tasks"}), list(config.tasks))
        for student in config.students
    }
    members = derived_members(config)
    operations = {each.name: OPERATIONS[each.make] for each in config.derived}
    made: dict[str, dict[str, Origin]] = {}

    def scopes(name: str) -> Scopes:
        if name not in found:
            made[name] = origins(operations[name], {each: scopes(each) for each in members[name]})
            found[name] = {scope: origin.tasks for scope, origin in made[name].items()}
        return found[name]

    for name in members:
        scopes(name)
    return found, made
