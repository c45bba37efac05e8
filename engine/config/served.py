"""Students as teachers: whom a plan asks, which students learn from which plans, and what cannot be."""

from __future__ import annotations

from collections.abc import Iterator

from engine.config.ancestors import derived_members, scopes_by_student
from engine.config.faults import Path, nearest, quoted
from engine.config.lineage import JOINT, cycle_in, source_name
from engine.config.named import expand, teachers_of
from engine.config.plans import PlanConfig
from engine.config.root import Config
from engine.config.students import StudentConfig
from engine.methods import METHODS
from engine.strategies import STRATEGIES
from engine.students.operations import OPERATIONS


def student_of(plan: PlanConfig, config: Config) -> str:
    """The student that a plan asks; empty if it asks none."""
    asked = teachers_of(plan, config.teachers)
    return config.teachers[asked[0]].student if asked else ""


def only_by_name(plan: PlanConfig, config: Config) -> bool:
    """Whether `*` in the `plans` of a student leaves a plan out: it asks a student, or its texts are those of another plan."""
    return bool(plan.scores or student_of(plan, config))


def scope_for(student: str, task: str, config: Config) -> str:
    """The scope of a student that answers the questions of a task: that of the task, else its joint one; empty: it has none."""
    scopes = scopes_by_student(config).get(student, {})
    return next((scope for scope in (task, JOINT) if scope in scopes), "")


def wrong_served(config: Config) -> list[tuple[Path, str]]:
    """What cannot be of students as teachers, as (path, message). The configuration has all its plans and students."""
    found: list[tuple[Path, str]] = [*_wrong_teachers(config)]
    if not found:
        found += _wrong_plans(config)
    if not found and (cycle := cycle_in(_sources(config))):
        first = next(each for each in cycle if each.startswith("plan "))
        place = [plan.name for plan in config.plans].index(first.removeprefix("plan "))
        found.append(
            (
                ("plans", place, "teachers"),
                f"a student cannot learn from itself: {' → '.join(cycle)}. Name other `plans` for the student",
            )
        )
    return found


def _wrong_teachers(config: Config) -> Iterator[tuple[Path, str]]:
    trained = {student.name: student for student in config.students}
    derived = {each.name: each for each in config.derived}
    first: dict[str, str] = {}
    for name, teacher in config.teachers.items():
        if not teacher.student:
            continue
        place: Path = ("teachers", name, "student")
        own, made = trained.get(teacher.student), derived.get(teacher.student)
        if own is None and made is None:
            names = [*trained, *derived]
            said = nearest(teacher.student, names) if names else "there is no student"
            yield place, f"unknown student {quoted(teacher.student)}; {said}"
        elif own is not None and not METHODS[own.method].trains:
            yield (
                place,
                f"the student {own.name} is not trained (method = {quoted(own.method)}): name one that is",
            )
        elif own is not None and own.part:
            yield (
                place,
                f"the student {own.name} is one part of a pair, which answers nothing by itself: name the pair",
            )
        elif made is not None and not OPERATIONS[made.make].runs(made):
            yield place, f"{made.name} is counted from stored answers: it has no student"
        elif (other := first.setdefault(teacher.student, name)) != name:
            yield (
                place,
                f"teacher {other} is the same student, which is served once: name that teacher in the plans",
            )


def _wrong_plans(config: Config) -> Iterator[tuple[Path, str]]:
    for index, plan in enumerate(config.plans):
        asked = [*teachers_of(plan, config.teachers), *plan.fallback_teachers]
        students = [name for name in asked if config.teachers[name].student]
        if not students:
            continue
        if len(asked) > 1:
            text = f"a plan asks a student alone, so that all its samples are of the same weights: leave {students[0]} or the others out"
            yield ("plans", index, "teachers"), text
            continue
        if plan.top_p is not None:
            yield ("plans", index, "top_p"), "the server of a student has no top_p: remove it"
        student = config.teachers[students[0]].student
        missing = [
            task for task in expand(plan.tasks, list(config.tasks)) if not scope_for(student, task, config)
        ]
        if missing:
            text = f"{student} has no student for the task {missing[0]}: add it to its tasks, or name the tasks of this plan"
            yield ("plans", index, "tasks"), text


def _sources(config: Config) -> dict[str, list[str]]:
    """What each student, plan and teacher needs to be there first, by name, with its kind before it."""
    found: dict[str, list[str]] = {}
    for student in config.students:
        source = source_name(student.base)
        found[f"student {student.name}"] = [
            *([f"student {source}"] if source else []),
            *(f"plan {plan.name}" for plan in config.plans if reads(student, plan, config)),
        ]
    for name, members in derived_members(config).items():
        found[f"student {name}"] = [f"student {member}" for member in members]
    for plan in config.plans:
        found[f"plan {plan.name}"] = [
            *(f"teacher {name}" for name in (*teachers_of(plan, config.teachers), *plan.fallback_teachers)),
            *(f"plan {name}" for name in (plan.needs, plan.scores) if name),
        ]
    for name, teacher in config.teachers.items():
        found[f"teacher {name}"] = [f"student {teacher.student}"] if teacher.student else []
    return found


def reads(student: StudentConfig, plan: PlanConfig, config: Config) -> bool:
    """Whether a student reads the samples of a plan. `*` in its `plans` leaves some out."""
    tasks = list(config.tasks)
    return (
        METHODS[student.method].reads_samples
        and plan.split == "train"
        and bool(set(expand(student.tasks, tasks)) & set(expand(plan.tasks, tasks)))
        and (plan.name in student.plans or ("*" in student.plans and not only_by_name(plan, config)))
        and (student.curation.hinted or not STRATEGIES[plan.strategy].hinted)
    )
