"""`[experiment]`: the paper's matrix as one table, expanded into plans and students.

The expansion is a pure function of the table, and the name of a plan or student tells its cell. Plans that differ only
in D share samples: a D = 2 plan uses the first two samples of the D = 8 plan, so nothing is sampled twice.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Annotated, Any, Literal, Self

from pydantic import AfterValidator, Field, model_validator

from engine.config.base import Name, Positive, Section, Seed
from engine.config.json_values import json_table
from engine.config.students import (
    BaselineName,
    CurationConfig,
    EvaluationConfig,
    StudentConfig,
    TrainingConfig,
)
from engine.forms import FIRST
from engine.methods import METHODS
from engine.strategies import BASELINES, STRATEGIES

Filter = Literal["correct", "all", "random"]
BASELINE_AXES = frozenset({"teacher"})
"""The axes that a baseline depends on."""

if TYPE_CHECKING:
    ExperimentMethod = str
else:
    ExperimentMethod = Literal[(*BASELINES, *METHODS)]

OWN = ("name", "tasks", "teachers", "fallback_teachers", "split", "rationales")
"""The settings of a plan that the experiment decides."""


class ExperimentConfig(Section):
    """`[experiment]`: the paper's matrix, expanded into plans and students.

    Each list is an axis, and its first value is the base.
    """

    name: Name = "experiment"
    """Prefix of the names of its plans and students."""

    tasks: list[str] = Field(default_factory=lambda: ["*"], min_length=1)
    """Names of tasks; `*` stands for all."""

    teachers: list[str] = Field(min_length=1)
    """Axis: names of teachers. Each has its own samples."""

    methods: Annotated[list[ExperimentMethod], Field(min_length=1)] = Field(
        default=["zero-shot-cot", "fine-tune", "fine-tune-cot"],
        description=f"{', '.join(BASELINES)}: the teacher answers the test questions. {', '.join(METHODS)}: a student.",
    )

    base_strategies: Annotated[list[BaselineName], Field(min_length=1)] = ["zero-shot", "zero-shot-cot"]
    """How the untrained base is asked, if `base` is one of the methods: a row of the tables for each."""

    exemplars: str | None = None
    """Worked examples for the base, as in `[[students]]`."""

    rationales: list[Annotated[int, Field(ge=1, le=100_000)]] = Field(
        default_factory=lambda: [8, 1], min_length=1
    )
    """Axis: D of the paper, the number of rationales sampled per training question. The student reads the correct ones."""

    questions: Annotated[list[Positive | Literal["all"]], Field(min_length=1)] = ["all"]
    """Axis: number of training questions. A smaller set is part of a larger one."""

    bases: list[str] = Field(default_factory=lambda: ["builtin:nano"], min_length=1)
    """Axis: base models of the students."""

    filters: Annotated[list[Filter], Field(min_length=1)] = ["correct"]
    """Axis: `correct` rationales, `all` rationales, or as many at `random` as are correct."""

    split_by: Annotated[list[Literal["question", "template"]], Field(min_length=1)] = ["question"]
    """Axis: how tasks are split. `template` adds a twin of each task, `NAME.template`, split by template, with its own samples; the tables show both."""

    seeds: list[Seed] = Field(default_factory=lambda: [0], min_length=1)
    """Each cell is trained once per seed. The seed decides initialisation, data order and the questions of a smaller set."""

    vary: Literal["one", "all"] = "one"
    """one: one axis at a time, the others at their base; all: every combination."""

    plan: Annotated[dict[str, object], AfterValidator(json_table)] = Field(default_factory=dict)
    """Settings of the plans, as in `[[plans]]`, except name, tasks, teachers, fallback_teachers, split and rationales."""

    curation: CurationConfig = Field(default_factory=CurationConfig)
    """As in `[[students]]`, except `keep`, which is the axis `filters`."""

    training: TrainingConfig = Field(default_factory=TrainingConfig)
    """As in `[[students]]`, except `seed`, which is the axis `seeds`."""

    fine_tune: TrainingConfig | None = None
    """Replaces `training` for the method of that name."""

    evaluation: EvaluationConfig = Field(default_factory=EvaluationConfig)
    """As in `[[students]]`."""

    compare: list[Annotated[list[str], Field(min_length=2, max_length=2)]] = Field(default_factory=list)
    """The planned comparisons, as pairs of arms: `[["fine-tune-cot", "fine-tune"]]`. The report tests them on each task and corrects for their number (Holm). An arm is named like its students, without the experiment's name and the seed: `fine-tune-cot.d1`; a teacher's baseline by its strategy: `zero-shot-cot`. Unset: all pairs of the students at the base of every axis."""

    @model_validator(mode="after")
    def _planned(self) -> Self:
        known = list(dict.fromkeys(arm(self, cell) for cell in cells(self))) if self.compare else []
        for first, second in self.compare:
            for name in (first, second):
                if name not in known:
                    raise ValueError(
                        f"compare: {name!r} is not an arm of this experiment; its arms: {', '.join(known)}"
                    )
            if first == second:
                raise ValueError(f"compare: {first!r} is compared with itself; name two different arms")
        return self


@dataclass(frozen=True, kw_only=True, slots=True)
class ExperimentCell:
    """A point of the matrix, with the name of the student or plan that measures it."""

    method: str
    teacher: str
    rationales: int
    questions: int | Literal["all"]
    base: str
    filter: Filter
    seed: int
    student: str = ""
    plan: str = ""
    strategy: str = ""
    """How an untrained base is asked."""

    @property
    def label(self) -> str:
        """Its method, and how an untrained base is asked."""
        return f"{self.method}, {self.strategy}" if self.strategy else self.method

    @property
    def axes(self) -> dict[str, object]:
        """Its values by axis."""
        return {name: getattr(self, name) for name in AXES}


AXES = ("teacher", "rationales", "questions", "base", "filter")


def axes_of(method: str) -> frozenset[str]:
    """The axes that a method depends on; all of them for a method that this program does not know."""
    if method in BASELINES:
        return BASELINE_AXES
    return METHODS[method].axes if method in METHODS else frozenset(AXES)


def cells(experiment: ExperimentConfig) -> list[ExperimentCell]:
    """All cells with the names of their students and plans."""
    first = ExperimentCell(
        method="",
        teacher=experiment.teachers[0],
        rationales=experiment.rationales[0],
        questions=experiment.questions[0],
        base=experiment.bases[0],
        filter=experiment.filters[0],
        seed=experiment.seeds[0],
    )
    points = list(dict.fromkeys(_points(experiment, first)))
    found: list[ExperimentCell] = []
    for method in experiment.methods:
        if method in BASELINES:
            found += [
                replace(first, method=method, teacher=teacher, plan=f"{experiment.name}.{teacher}.{method}")
                for teacher in dict.fromkeys(experiment.teachers)
            ]
            continue
        facts = METHODS[method]
        base: dict[str, Any] = {name: value for name, value in first.axes.items() if name not in facts.axes}
        for point in dict.fromkeys(replace(point, **base) for point in points):
            if not facts.trains:  # the same answers with every seed
                for strategy in dict.fromkeys(experiment.base_strategies):
                    cell = replace(point, method=method, strategy=strategy)
                    found.append(replace(cell, student=_student_name(experiment, cell, first)))
                continue
            for seed in dict.fromkeys(experiment.seeds):
                cell = replace(point, method=method, seed=seed)
                plan = train_plan(experiment, cell) if facts.reads_samples else ""
                found.append(replace(cell, student=_student_name(experiment, cell, first), plan=plan))
    return found


def _points(experiment: ExperimentConfig, first: ExperimentCell) -> Iterator[ExperimentCell]:
    axes: dict[str, list[Any]] = {
        "teacher": list(experiment.teachers),
        "rationales": list(experiment.rationales),
        "questions": list(experiment.questions),
        "base": list(experiment.bases),
        "filter": list(experiment.filters),
    }
    if experiment.vary == "all":
        for point in itertools.product(*axes.values()):
            yield replace(first, **dict(zip(axes, point, strict=True)))
        return
    for name, values in axes.items():
        for value in values:
            yield replace(first, **{name: value})


def arm(experiment: ExperimentConfig, cell: ExperimentCell) -> str:
    """The name of a cell with all its seeds: its student's or baseline's, without the experiment's name and the seed."""
    if cell.method in BASELINES:
        return cell.method if cell.teacher == experiment.teachers[0] else f"{cell.method}.{cell.teacher}"
    return cell.student.removeprefix(f"{experiment.name}.").removesuffix(f".s{cell.seed}")


def train_plan(experiment: ExperimentConfig, cell: ExperimentCell) -> str:
    """The name of the plan that samples for a cell."""
    return f"{experiment.name}.{cell.teacher}.d{cell.rationales}"


def _student_name(experiment: ExperimentConfig, cell: ExperimentCell, first: ExperimentCell) -> str:
    """The method, then every value that differs from the base."""
    parts = [experiment.name, cell.method, *([cell.strategy] if cell.strategy else [])]
    if cell.teacher != first.teacher:
        parts.append(cell.teacher)
    if cell.rationales != first.rationales:
        parts.append(f"d{cell.rationales}")
    if cell.questions != first.questions:
        parts.append(f"n{cell.questions}")
    if cell.base != first.base:
        parts.append(_slug(cell.base))
    if cell.filter != first.filter:
        parts.append(cell.filter)
    if len(set(experiment.seeds)) > 1 and not cell.strategy:
        parts.append(f"s{cell.seed}")
    return ".".join(parts)


def _slug(base: str) -> str:
    last = base.rstrip("/").rpartition("/")[2].rpartition(":")[2]
    return re.sub(r"[^a-z0-9_-]+", "-", last.lower()).strip("-") or "base"


def plans_of(experiment: ExperimentConfig) -> list[dict[str, Any]]:
    """Its plans as tables: greedy baselines on test, and one plan per teacher and D on train, smaller D first."""
    found: dict[str, dict[str, Any]] = {}
    for cell in cells(experiment):
        own = {
            **experiment.plan,
            "name": cell.plan,
            "tasks": list(experiment.tasks),
            "teachers": [cell.teacher],
        }
        if cell.method in BASELINES:
            greedy = {"strategy": cell.method, "split": "test", "rationales": 1, "temperature": 0.0}
            found[cell.plan] = {**own, **greedy}
        elif cell.plan:
            found[cell.plan] = {**own, "split": "train", "rationales": cell.rationales}
    few = [plan for plan in found.values() if _shows_examples(plan.get("strategy"))]
    for plan in found.values():
        if few and plan not in few:
            plan.pop("exemplars", None)  # only the few-shot plans show worked examples
    return sorted(found.values(), key=lambda plan: (plan["split"] == "train", plan["rationales"]))


def _shows_examples(strategy: object) -> bool:
    return isinstance(strategy, str) and strategy in STRATEGIES and STRATEGIES[strategy].needs_exemplars


def students_of(experiment: ExperimentConfig) -> list[StudentConfig]:
    """Its students."""
    found = []
    for cell in cells(experiment):
        if not cell.student:
            continue
        method = METHODS[cell.method]
        if not method.trains:
            found.append(_untrained(experiment, cell))
            continue
        own = getattr(experiment, method.name.replace("-", "_"), None)
        training = own if isinstance(own, TrainingConfig) else experiment.training
        found.append(
            StudentConfig(
                name=cell.student,
                base=cell.base,
                form=FIRST,
                method=method.name,
                tasks=list(experiment.tasks),
                plans=[cell.plan] if cell.plan else ["*"],
                rationales=cell.rationales,
                questions=None if cell.questions == "all" else cell.questions,
                train_at=list(method.train_at),
                curation=experiment.curation.model_copy(update={"keep": cell.filter}),
                training=training.model_copy(update={"seed": cell.seed}),
                evaluation=experiment.evaluation,
            )
        )
    return found


def _untrained(experiment: ExperimentConfig, cell: ExperimentCell) -> StudentConfig:
    """A base that is measured; what is only about training is left out."""
    shows = STRATEGIES[cell.strategy].needs_exemplars
    return StudentConfig(
        name=cell.student,
        base=cell.base,
        method=cell.method,
        strategy=cell.strategy,
        exemplars=experiment.exemplars if shows else None,
        tasks=list(experiment.tasks),
        training=experiment.training.model_copy(update={"lora_rank": 0, "seed": cell.seed}),
        evaluation=experiment.evaluation,
    )


def stored_experiment(config: Mapping[str, Any]) -> ExperimentConfig | None:
    """The experiment of a stored configuration; None if it has none, or one that this program cannot read."""
    table = config.get("experiment")
    if not isinstance(table, Mapping):
        return None
    try:
        return ExperimentConfig.model_validate(dict(table))
    except ValueError:
        return None
