"""What a student is trained on: each of its tasks, or all of them together."""

from __future__ import annotations

from dataclasses import dataclass

from engine.config import Config, StudentConfig
from engine.config.ancestors import derived_members
from engine.config.lineage import in_order, source_name
from engine.config.named import expand
from state.triggers import StudentRule, student_rule


@dataclass(frozen=True, slots=True)
class Scope:
    """A student on one task, or on all of its tasks together."""

    student: StudentConfig
    name: str
    """The task's, or `joint`."""
    tasks: tuple[str, ...]
    rule: StudentRule
    """Which samples its triggers count."""

    @property
    def key(self) -> tuple[str, str]:
        """Names of the student and the scope."""
        return self.student.name, self.name

    @property
    def source_students(self) -> tuple[str, ...]:
        """The students that it starts from."""
        source = source_name(self.student.base)
        return (source,) if source else ()


def all_scopes(config: Config) -> list[Scope]:
    """All scopes of all students that are trained: those that others start from come before them."""
    found = {student.name: scopes_of(student, config) for student in config.students}
    return [scope for name in order_of(config) for scope in found.get(name, ())]


def order_of(config: Config) -> list[str]:
    """The names of all students, also of derived ones: each after all that it comes from."""
    named = {student.name: source_name(student.base) for student in config.students}
    sources = {name: [source] if source else [] for name, source in named.items()} | derived_members(config)
    return in_order(list(sources), sources)


def scopes_of(student: StudentConfig, config: Config) -> list[Scope]:
    """All scopes of a student."""
    rule = student_rule(student.model_dump(mode="json"), student.triggers)
    tasks = tuple(expand(student.tasks, list(config.tasks)))
    if student.scope == "joint":
        return [Scope(student, "joint", tasks, rule)]
    return [Scope(student, task, (task,), rule) for task in tasks]
