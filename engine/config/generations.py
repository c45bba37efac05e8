"""`generations = N` of a student: N students, each of which learns from what the one before writes. Pure.

`star` becomes `star.g1`, which learns as `star` is configured, and `star.g2` to `star.gN`. The plan `star.g2` asks the teacher `star.g1`, which
is that student, and `star.g2` learns from it alone; and so on. Each starts from the same base.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from engine.config.faults import Path, nearest, quoted
from engine.config.generation_items import GenerationConfig, generation_name, hinted_name, scored_name
from engine.config.plans import PlanConfig
from engine.config.requests import wrong_requests
from engine.config.root import Config
from engine.config.students import StudentConfig
from engine.config.teachers import TeacherConfig


def with_generations(config: Config) -> tuple[Config, list[tuple[Path, str]]]:
    """The configuration with every student unrolled, and what cannot be, as (path, message)."""
    students: list[StudentConfig] = []
    plans, teachers = list(config.plans), dict(config.teachers)
    found: list[tuple[Path, str]] = []
    others = {each.name for each in config.students} | {each.name for each in config.derived}
    for place, student in enumerate(config.students):
        if student.generations is None:
            students.append(student)
            continue
        for number in range(1, student.generations + 1):
            name, before = generation_name(student.name, number), generation_name(student.name, number - 1)
            made = _plans(student, name, before) if number > 1 else []
            found += [
                (("students", place, "generation"), f"score_by: {text}")
                for text in _wrong_scorer(student, made, config.teachers)
            ]
            for kind, names, taken in (
                ("student", [name], others),
                ("plan", [plan.name for plan in made], {plan.name for plan in plans}),
                ("teacher", [before] if made else [], set(teachers)),
            ):
                if twice := [each for each in names if each in taken]:
                    text = f"would make a {kind} {twice[0]}, and there is one of that name: rename it"
                    found.append((("students", place, "generations"), text))
            students.append(_generation(student, name, made))
            plans += made
            if made:
                teachers[before] = TeacherConfig.model_validate({"student": before})
    return config.model_copy(update={"students": students, "plans": plans, "teachers": teachers}), found


def _generation(student: StudentConfig, name: str, plans: list[PlanConfig]) -> StudentConfig:
    """One generation; without plans, the first."""
    own: dict[str, Any] = {"name": name, "generations": None, "generation": GenerationConfig()}
    if plans:
        scored = [plan.scores for plan in plans]
        own |= {"plans": [plan.name for plan in plans if plan.name not in scored], "teachers": ["*"]}
        if student.generation.hinted:
            own["curation"] = student.curation.model_copy(update={"hinted": True})
    return student.model_copy(update=own)


def _plans(student: StudentConfig, name: str, before: str) -> list[PlanConfig]:
    """The plans that a generation learns from: what the one before writes, and with hints where it fails."""
    settings = student.generation
    shared = {
        "tasks": student.tasks,
        "teachers": [before],
        "rationales": settings.rationales,
        "temperature": settings.temperature,
        "seed": student.training.seed,
        "max_tokens": student.evaluation.max_new_tokens,
    }
    found = [PlanConfig.model_validate({**shared, "name": name, "strategy": "student"})]
    if settings.hinted:
        hinted = {"name": hinted_name(name), "strategy": "student-hinted", "needs": name}
        found.append(PlanConfig.model_validate(shared | hinted))
    if settings.score_by:
        scored = {
            "name": scored_name(name),
            "strategy": "score",
            "scores": name,
            "logprobs": settings.logprobs,
        }
        found.append(
            PlanConfig.model_validate({**scored, "tasks": student.tasks, "teachers": [settings.score_by]})
        )
    return found


def _wrong_scorer(
    student: StudentConfig, plans: list[PlanConfig], teachers: Mapping[str, TeacherConfig]
) -> Iterator[str]:
    """Why the teacher that scores cannot."""
    name = student.generation.score_by
    if name is not None and name not in teachers:
        yield f"unknown teacher {quoted(name)}; {nearest(name, list(teachers))}"
    elif name is not None:
        asked = {name: teachers[name].model_dump()}
        for plan in plans:
            if plan.scores:
                yield from (text for _, text in wrong_requests(plan.model_dump(), asked))
