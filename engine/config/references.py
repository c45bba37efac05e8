"""References between the tables of `config.toml`: names used twice, names of nothing, and what does not fit what it names.

Reads plain values, so that all of it is said beside what the models refuse; what does not fit the models is passed over.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from pydantic import ValidationError

from engine.config.derivation import wrong_derived
from engine.config.faults import quoted
from engine.config.generation_items import names_made
from engine.config.lineage import wrong_sources
from engine.config.named import by_star, expand, served
from engine.config.panels import is_panel, member_name, wrong_panel
from engine.config.plans import PlanConfig
from engine.config.prompts import PUBLISHED, PromptsConfig
from engine.config.requests import wrong_requests
from engine.config.students import StudentConfig
from engine.config.unlabelled import wrong_unlabelled
from engine.students.objectives import OBJECTIVES
from engine.students.operations import OPERATIONS


def wrong_references(data: Mapping[str, Any]) -> list[tuple[tuple[int | str, ...], str]]:
    """Names used twice, names of nothing, and plans that their teachers cannot serve, as (path, message).

    `data` is a configuration as plain values; what does not fit the models is passed over.
    """
    found: list[tuple[tuple[int | str, ...], str]] = []
    known = {kind: list(_table(data.get(kind))) for kind in ("tasks", "teachers")}
    known["plans"] = [item["name"] for _, item in _items(data.get("plans"))]
    members = _members(data)
    known["plans"] += members
    for _, item in _items(data.get("students")):
        plans, teachers = names_made(item)
        known["plans"] += plans
        known["teachers"] += teachers
    experiment = _table(data.get("experiment"))
    for what in ("tasks", "teachers"):
        found += _unknown(("experiment", what), experiment.get(what), what, known[what])
    for kind in ("plans", "students"):
        first: dict[str, int] = {}
        for index, item in _items(data.get(kind)):
            if first.setdefault(item["name"], index) != index:
                found.append(((kind, index, "name"), f"the name {quoted(item['name'])} is used twice"))
            elif kind == "plans" and item["name"] in members:
                text = f"{quoted(item['name'])} is the name of a member's plan of a panel: use another"
                found.append(((kind, index, "name"), text))
            for what, key in _references_of(kind):
                if key not in item:
                    continue
                found += _unknown((kind, index, key), item[key], what, known[what])
    trained = [item["name"] for _, item in _items(data.get("students"))]
    for index, item in _items(data.get("derived")):
        if item["name"] in trained:
            found.append((("derived", index, "name"), f"the name {quoted(item['name'])} is used twice"))
        trained.append(item["name"])
    return [
        *found,
        *wrong_plans(data),
        *_wrong_students(data),
        *_wrong_lineage(data),
        *wrong_unlabelled(data),
    ]


def _members(data: Mapping[str, Any]) -> list[str]:
    """The names of the plans that panels become."""
    teachers = _table(data.get("teachers"))
    return [
        member_name(plan["name"], name)
        for _, plan in _items(data.get("plans"))
        if is_panel(plan)
        for name in _asked(plan, teachers)[0]
    ]


def _asked(plan: Mapping[str, Any], teachers: Mapping[str, Any]) -> tuple[list[str], list[str]]:
    """The teachers of a plan, and its fallbacks."""
    own, fallbacks = _names(plan.get("teachers", ["*"])), _names(plan.get("fallback_teachers", []))
    return served(own, fallbacks, by_star(teachers, own))[0], expand(fallbacks, list(teachers))


def _wrong_lineage(data: Mapping[str, Any]) -> list[tuple[tuple[int | str, ...], str]]:
    """Students that come from none, or from themselves. With an experiment or generations, only all students together tell."""
    unrolled = any(item.get("generations") for _, item in _items(data.get("students")))
    if unrolled or data.get("experiment") is not None:
        return []
    place = {item["name"]: ("students", index) for index, item in _items(data.get("students"))}
    place |= {item["name"]: ("derived", index) for index, item in _items(data.get("derived"))}
    students = [item for _, item in _items(data.get("students"))]
    derived = [item for _, item in _items(data.get("derived"))]
    wrong = wrong_students(students, derived, list(_table(data.get("tasks"))))
    return [((*place[name], key), text) for name, key, text in wrong]


def wrong_students(
    students: Sequence[Mapping[str, Any]], derived: Sequence[Mapping[str, Any]], tasks: Sequence[str]
) -> list[tuple[str, str, str]]:
    """Students that cannot come from what they name: name, key and message."""
    found = [
        (name, "base", text)
        for name, text in wrong_sources(students, tasks, [each["name"] for each in derived])
    ]
    try:
        trained = [StudentConfig.model_validate(each).model_dump(mode="json") for each in students]
        made = [OPERATIONS[each["make"]].settings.model_validate(each) for each in derived]
    except (ValidationError, KeyError):  # said elsewhere
        return found
    return found or wrong_derived(trained, made, tasks)


def _wrong_students(data: Mapping[str, Any]) -> list[tuple[tuple[int | str, ...], str]]:
    """Prompts of none or of another strategy, of students that are not trained; objectives without what they need."""
    found: list[tuple[tuple[int | str, ...], str]] = []
    prompts = _table(data.get("prompts"))
    for index, student in _items(data.get("students")):
        if why := _no_distributions(student, data):
            found.append((("students", index, "training", "objective"), why))
        named, place = student.get("prompts"), ("students", index, "prompts")
        if not isinstance(named, str):
            continue
        if named in prompts:
            if misfit := _misfit(prompts[named], student.get("strategy")):
                found.append((place, f"[prompts.{named}] does not fit: {misfit}"))
        elif named != PUBLISHED:
            have = ", ".join(sorted(prompts)) or "none"
            found.append((place, f"unknown prompts {quoted(named)} (known: {have})"))
    return found


def _no_distributions(student: Mapping[str, Any], data: Mapping[str, Any]) -> str:
    """Why a student cannot learn distributions: no plan that it reads has any. Plans of an experiment are not known here."""
    objective = OBJECTIVES.get(str(_table(student.get("training")).get("objective")))
    plans = {item["name"]: item for _, item in _items(data.get("plans")) if item.get("split") != "test"}
    if objective is None or not objective.reads_distributions or data.get("experiment") is not None:
        return ""
    read = expand(_names(student.get("plans", ["*"])), list(plans))
    if not read or any(plans[name].get("logprobs") for name in read):
        return ""
    return (
        f'"{objective.name}" needs the log-probabilities of a teacher, and no plan that this student reads asks for them: set'
        f' logprobs = 5 in the plan {read[0]}, or objective = "tokens"'
    )


def _references_of(kind: str) -> list[tuple[str, str]]:
    """What the items of an array of tables name, and in which of their keys."""
    if kind == "plans":
        return [("tasks", "tasks"), ("teachers", "teachers"), ("teachers", "fallback_teachers")]
    return [("tasks", "tasks"), ("teachers", "teachers"), ("plans", "plans")]


def wrong_plans(data: Mapping[str, Any]) -> list[tuple[tuple[int | str, ...], str]]:
    """Prompts of none or of another strategy; needs that are no earlier plan; what a plan's teachers cannot be asked."""
    found: list[tuple[tuple[int | str, ...], str]] = []
    prompts = _table(data.get("prompts"))
    teachers = _table(data.get("teachers"))
    tasks = list(_table(data.get("tasks")))
    earlier: dict[str, dict[str, Any]] = {}
    for index, plan in _items(data.get("plans")):
        named = plan.get("prompts")
        if isinstance(named, str):
            if named not in prompts and named != PUBLISHED:
                have = ", ".join(sorted(prompts)) or "none"
                text = f"unknown prompts {quoted(named)} (known: {have})"
                found.append((("plans", index, "prompts"), text))
            elif named in prompts and (
                misfit := _misfit(
                    prompts[named], plan.get("strategy", PlanConfig.model_fields["strategy"].default)
                )
            ):
                found.append((("plans", index, "prompts"), f"[prompts.{named}] does not fit: {misfit}"))
        for key in ("needs", "scores"):
            if isinstance(needs := plan.get(key), str):
                found += [(("plans", index, key), text) for text in _wrong_needs(plan, needs, earlier, tasks)]
        earlier[plan["name"]] = plan
        own, fallbacks = _asked(plan, teachers)
        asked = {name: teachers[name] for name in (*own, *fallbacks) if isinstance(teachers[name], Mapping)}
        wrong = [*wrong_requests(plan, asked), *(wrong_panel(plan, asked) if is_panel(plan) else ())]
        found += [(("plans", index, key), text) for key, text in wrong]
    return found


def _misfit(prompts: object, strategy: object) -> str | None:
    try:
        return PromptsConfig.model_validate(prompts).misfit(str(strategy))
    except (ValidationError, KeyError):  # said elsewhere
        return None


def _wrong_needs(
    plan: dict[str, Any], needs: str, earlier: Mapping[str, dict[str, Any]], tasks: list[str]
) -> list[str]:
    if needs not in earlier:
        have = ", ".join(earlier) or "none"
        return [f"expected a plan defined earlier (known: {have}), got {quoted(needs)}"]
    other = earlier[needs]
    if is_panel(other):
        return [f"{quoted(needs)} is a panel, whose teachers are plans of their own: name another plan"]
    if other.get("split", "train") != plan.get("split", "train"):
        return [f"the plan {quoted(needs)} is of another split"]
    own, theirs = (each.get("tasks", ["*"]) for each in (plan, other))
    if not (isinstance(own, list) and isinstance(theirs, list)):
        return []
    missing = [name for name in expand(own, tasks) if name not in expand(theirs, tasks)]
    return [f"the plan {quoted(needs)} does not sample the task {missing[0]}"] if missing else []


def _unknown(
    place: tuple[int | str, ...], given: object, what: str, names: list[str]
) -> list[tuple[tuple[int | str, ...], str]]:
    have = ", ".join(sorted(names)) or "none"
    return [
        ((*place, position), f"unknown {what[:-1]} {quoted(name)} (known: {have})")
        for position, name in enumerate(given if isinstance(given, list) else [])
        if isinstance(name, str)
        and name not in names
        and (name != "*" or place == ("experiment", "teachers"))
    ]


def _table(value: object) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}


def _names(value: object) -> list[str]:
    return [name for name in value if isinstance(name, str)] if isinstance(value, list) else []


def _items(value: object) -> list[tuple[int, dict[str, Any]]]:
    """The items of an array of tables that have a name."""
    items = enumerate(value if isinstance(value, list) else [])
    return [(i, item) for i, item in items if isinstance(item, dict) and isinstance(item.get("name"), str)]
