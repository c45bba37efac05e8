"""Reads `config.toml`; every error names file, line, key, what was expected and the nearest valid key.

All faults are reported at once, one line each, in the order of the file.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from engine.config import faults
from engine.config.base import Section
from engine.config.expansion import OWN, plans_of, students_of, wrong_axes
from engine.config.experiment import ExperimentConfig
from engine.config.generation_items import generation_name, names_made
from engine.config.generations import with_generations
from engine.config.lines import Lines
from engine.config.named import expand, teachers_of
from engine.config.panels import is_panel, member_name, members_of
from engine.config.plans import GIVEN, PlanConfig, candidate_name
from engine.config.references import wrong_plans, wrong_references, wrong_students
from engine.config.root import Config
from engine.config.secret_places import shown_header, shown_url
from engine.config.served import wrong_served
from engine.config.students import CurationConfig, StudentConfig, TrainingConfig
from engine.config.template_twins import with_twins
from engine.config.wordings import with_wordings
from engine.errors import ConfigError

BARE = re.compile(r"[A-Za-z0-9._-]{1,64}")
"""A key, or a name, that is shown as it is."""


def load_config(path: Path) -> Config:
    """The configuration in `path`.

    Raises:
        ConfigError: the file is missing, not valid TOML, or does not fit the models; all faults at once.
    """
    try:
        raw = path.read_bytes()
    except FileNotFoundError:
        raise ConfigError(
            f"{path}: no such file. `coterie init` writes one; -c FILE names another."
        ) from None
    except (OSError, ValueError) as error:
        reason = (isinstance(error, OSError) and error.strerror) or error
        raise ConfigError(f"{path}: cannot be read: {reason}") from None
    try:
        text = raw.decode("utf-8-sig").replace("\r\n", "\n").replace("\r", "\n")
    except UnicodeDecodeError as error:
        line = raw.count(b"\n", 0, error.start) + 1
        raise ConfigError(f"{path}:{line}: not UTF-8: {error.reason}; save the file as UTF-8") from None
    try:
        data = tomllib.loads(text)
    except (ValueError, RecursionError) as error:  # also a number of thousands of digits, or deep nesting
        raise ConfigError(f"{path}: not valid TOML: {error}") from None
    try:
        config = Config.model_validate(data)
    except ValidationError as error:
        raise ConfigError("\n".join(_messages(path, text, data, error))) from None
    file = _File(path, text, data, config)
    unrolled, found = with_generations(config)
    file.refuse(found, config)
    config = unrolled
    if config.experiment is None:
        file.refuse(_wrong_lineage(config, []), config)
    folder = path.resolve().parent
    if config.experiment is not None:
        config = _with_experiment(file, config, config.experiment)
    tried, found = with_wordings(config)
    file.refuse(found, config)
    config = with_panels(tried)
    file.refuse(wrong_served(config), config)
    config = _scoring_all(config)
    config._folder = folder
    return config


def with_panels(config: Config) -> Config:
    """The configuration with the plans of the members in place of each panel's."""
    members = {plan.name: members_of(plan, teachers_of(plan, config.teachers)) for plan in config.plans}
    if all(plan in members[plan.name] for plan in config.plans):
        return config
    students = [
        student.model_copy(
            update={
                "plans": [
                    each
                    for name in student.plans
                    for each in ([plan.name for plan in members[name]] if name in members else [name])
                ]
            }
        )
        for student in config.students
    ]
    return config.model_copy(
        update={"plans": [each for plan in config.plans for each in members[plan.name]], "students": students}
    )


def _scoring_all(config: Config) -> Config:
    """The configuration in which a plan that scores another one has as many samples of a question."""
    most = {plan.name: plan.most for plan in config.plans}
    plans = [
        plan.model_copy(update={"rationales": most[plan.scores]}) if plan.scores else plan
        for plan in config.plans
    ]
    return config.model_copy(update={"plans": plans})


class _File:
    """What you wrote, and where: plans, students and teachers may be made from other tables, and errors name those."""

    def __init__(self, path: Path, text: str, data: dict[str, Any], config: Config) -> None:
        """Before anything is made from it.

        Args:
            path: of the file.
            text: what is in it.
            data: the same as plain values.
            config: the same as it was read.
        """
        self.path, self.text, self.data = path, text, data
        self._written: dict[tuple[str, str], faults.Path] = {
            (kind, each.name): (kind, place)
            for kind in ("plans", "students", "derived")
            for place, each in enumerate(getattr(config, kind))
        }
        self._made: dict[tuple[str, str], faults.Path] = {}
        for place, student in enumerate(config.students):
            origin: faults.Path = ("students", place, "generations")
            plans, teachers = names_made(student.model_dump())
            students = [
                generation_name(student.name, number) for number in range(1, 1 + (student.generations or 0))
            ]
            for kind, names in (("plans", plans), ("teachers", teachers), ("students", students)):
                self._made |= {(kind, name): origin for name in names}
        for place, plan in enumerate(config.plans):
            members = config.teachers if is_panel(plan.model_dump()) else ()
            tried = (GIVEN, *plan.wordings) if plan.wordings else ()
            names = [
                *(member_name(plan.name, name) for name in members),
                *(candidate_name(plan.name, name) for name in tried),
            ]
            self._written |= {("plans", name): ("plans", place) for name in names}

    def refuse(self, found: Sequence[tuple[faults.Path, str]], config: Config) -> None:
        """Reports what was found in a configuration that was made from the file.

        Raises:
            ConfigError: something was.
        """
        if not found:
            return
        lines, told = Lines(self.text), []
        for place, message in found:
            origin, made = self._origin(place, config)
            line = lines.of(origin) or 1
            told.append(f"{self.path}:{line}: {_shown(origin, self.data)}: {made}{message}")
        raise ConfigError("\n".join(dict.fromkeys(told)))

    def _origin(self, place: faults.Path, config: Config) -> tuple[faults.Path, str]:
        """Where in the file it stands, and of what that is made from it."""
        kind, *rest = place
        if not rest or kind not in ("plans", "students", "derived", "teachers"):
            return place, ""
        name = str(rest[0]) if kind == "teachers" else getattr(config, str(kind))[rest[0]].name
        if (written := self._written.get((str(kind), name))) is not None:
            return (*written, *rest[1:]), ""
        if kind == "teachers" and name in self.data.get("teachers", {}):
            return place, ""
        return self._made.get(
            (str(kind), name), ("experiment",)
        ), f"its {str(kind).removesuffix('s')} {name}: "


def _with_experiment(file: _File, config: Config, experiment: ExperimentConfig) -> Config:
    """The configuration with the plans and students of its experiment beside those it has.

    Raises:
        ConfigError: a setting does not fit a plan, or a name is taken or too long.
    """
    plans: list[PlanConfig] = []
    students: list[StudentConfig] = []
    config, experiment, found = with_twins(config, experiment)
    found += [
        (("experiment", "plan", name), "is decided by the experiment: leave it out")
        for name in OWN
        if name in experiment.plan
    ]
    asked = expand(list(experiment.tasks), list(config.tasks))
    found += wrong_axes(
        experiment, file.data["experiment"], [name for name in asked if config.tasks[name].dev == 0]
    )
    try:
        plans = [PlanConfig.model_validate(table) for table in plans_of(experiment)]
        students = students_of(experiment)
    except ValidationError as error:
        tables: dict[type[Section], str] = {
            **{StudentConfig: "plan", PlanConfig: "plan"},
            **{TrainingConfig: "training", CurationConfig: "curation"},
        }
        model, table = next(each for each in tables.items() if each[0].__name__ == error.title)
        for place, message in faults.explain(model, error.errors()):
            own = place[:1] in (("name",), ("base",))
            found.append((("experiment", "name") if own else ("experiment", table, *place), message))
    found += _wrong_plans(config, plans)
    taken = {plan.name for plan in config.plans}
    taken |= {student.name for student in config.students} | {each.name for each in config.derived}
    names = [*(plan.name for plan in plans), *(student.name for student in students)]
    twice = sorted({name for name in names if name in taken or names.count(name) > 1})
    if twice:
        found.append(
            (
                ("experiment", "name"),
                f"its plans or students would share a name with others: {', '.join(twice)}",
            )
        )
    found += _wrong_lineage(config, students)
    file.refuse(found, config)
    return config.model_copy(
        update={
            "plans": [*config.plans, *plans],
            "students": [*config.students, *students],
            "experiment": experiment,
        }
    )


def _wrong_lineage(config: Config, students: list[StudentConfig]) -> list[tuple[faults.Path, str]]:
    """Students that come from none, or from themselves, among all there are."""
    places: dict[str, faults.Path] = {
        **{student.name: ("students", place) for place, student in enumerate(config.students)},
        **{each.name: ("derived", place) for place, each in enumerate(config.derived)},
    }
    told = {
        ((*places[name], key) if name in places else ("experiment", "bases"), message)
        for name, key, message in wrong_students(
            [student.model_dump(mode="json") for student in (*config.students, *students)],
            [each.model_dump(mode="json") for each in config.derived],
            list(config.tasks),
        )
    }
    return sorted(told, key=str)


def _wrong_plans(config: Config, plans: list[PlanConfig]) -> list[tuple[faults.Path, str]]:
    """What an experiment's plans cannot be, each once, told at the setting that they share."""
    data = config.model_dump(include={"teachers", "tasks", "prompts", "plans"})
    data["plans"] += [plan.model_dump() for plan in plans]
    told = [
        (("experiment", "plan", *place[2:]), message)
        for place, message in wrong_plans(data)
        if isinstance(place[1], int) and place[1] >= len(config.plans)
    ]
    return list(dict.fromkeys(told))


def resolved(config: Config) -> dict[str, Any]:
    """The configuration with all defaults, as plain values that may be stored and shown: without secrets."""
    values = config.model_dump(mode="json")
    for teacher in values["teachers"].values():
        teacher["base_url"] = shown_url(teacher["base_url"])
        teacher["base_urls"] = [shown_url(each) for each in teacher["base_urls"]]
        teacher["headers"] = {name: shown_header(name, value) for name, value in teacher["headers"].items()}
    return values


def _messages(path: Path, text: str, data: dict[str, Any], error: ValidationError) -> list[str]:
    found = faults.explain(Config, error.errors())
    if all(detail["type"] != "reference" for detail in error.errors()):
        found += wrong_references(data)  # checked only when the fields are right
    lines = Lines(text)
    placed = sorted(((lines.of(place) or 0, place, message) for place, message in found), key=lambda f: f[0])
    return [
        ": ".join(
            part for part in (f"{path}:{line}" if line else str(path), _shown(place, data), message) if part
        )
        for line, place, message in placed
    ]


def _shown(place: faults.Path, data: dict[str, Any]) -> str:
    """A path as you would write it; an item of `[[plans]]` goes by its name."""
    shown = ""
    value: Any = data
    for part in place:
        try:
            value = value[part]
        except (KeyError, IndexError, TypeError):
            value = None
        if isinstance(part, int):
            name = value.get("name") if isinstance(value, dict) else None
            shown += f".{name}" if isinstance(name, str) and BARE.fullmatch(name) else f"[{part}]"
        else:
            key = part if BARE.fullmatch(part) else faults.quoted(part)
            shown += f".{key}" if shown else key
    return shown
