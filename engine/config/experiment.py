"""`[experiment]`: the paper's matrix as one table, expanded into plans and students.

Invariants: the expansion is a pure function of the table; names tell the cell; the samples of D rationales are the first
ones of those of more (plans of one recipe share them), so nothing is sampled twice.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field

from engine.config.base import Name, Positive, Section, Seed
from engine.config.json_values import json_table
from engine.config.students import CurationConfig, EvaluationConfig, StudentConfig, TrainingConfig
from engine.strategies import STRATEGIES

Method = Literal["zero-shot", "zero-shot-cot", "few-shot-cot", "fine-tune", "fine-tune-cot"]
Filter = Literal["correct", "all", "random"]
BASELINES: tuple[Method, ...] = ("zero-shot", "zero-shot-cot", "few-shot-cot")
"""Methods that ask the teacher the test questions, greedily; the others train a student."""

OWN = ("name", "tasks", "teachers", "fallback_teachers", "split", "rationales")
"""What the experiment decides of a plan."""


class ExperimentConfig(Section):
    """`[experiment]`: the paper's matrix, expanded into plans and students.

    Each list is an axis; its first value is the base.
    """

    name: Name = "experiment"
    """Begins the names of its plans and students."""

    tasks: list[str] = Field(default_factory=lambda: ["*"], min_length=1)
    """Names of tasks; `*` stands for all."""

    teachers: list[str] = Field(min_length=1)
    """Axis: names of teachers, each with samples of its own."""

    methods: Annotated[list[Method], Field(min_length=1)] = ["zero-shot-cot", "fine-tune", "fine-tune-cot"]
    """zero-shot, zero-shot-cot and few-shot-cot are the teacher on test questions; fine-tune and fine-tune-cot are students."""

    rationales: list[Annotated[int, Field(ge=1, le=100_000)]] = Field(
        default_factory=lambda: [8, 1], min_length=1
    )
    """Axis: the paper's D, rationales asked of each training question; the student reads the correct ones of them."""

    questions: Annotated[list[Positive | Literal["all"]], Field(min_length=1)] = ["all"]
    """Axis: training questions; a smaller number is part of a greater one."""

    bases: list[str] = Field(default_factory=lambda: ["builtin:nano"], min_length=1)
    """Axis: base models of the students."""

    filters: Annotated[list[Filter], Field(min_length=1)] = ["correct"]
    """Axis: `correct` rationales, `all` of them, or as many at `random` as are correct."""

    split_by: Annotated[list[Literal["question", "template"]], Field(min_length=1)] = ["question"]
    """Axis: how its tasks are dealt. With `template` each has a twin, `NAME.template`, dealt by template, with samples of its own; the tables show them side by side."""

    seeds: list[Seed] = Field(default_factory=lambda: [0], min_length=1)
    """Every cell is trained once with each; it decides initialisation, data order and which questions a smaller set has."""

    vary: Literal["one", "all"] = "one"
    """one: each axis for itself, the others at their base; all: every combination."""

    plan: Annotated[dict[str, object], AfterValidator(json_table)] = Field(default_factory=dict)
    """Settings of the plans, as in `[[plans]]`, but for name, tasks, teachers (and their fallbacks), split and rationales."""

    curation: CurationConfig = Field(default_factory=CurationConfig)
    """As in `[[students]]`; `keep` is the axis `filters`."""

    training: TrainingConfig = Field(default_factory=TrainingConfig)
    """As in `[[students]]`; `seed` is the axis `seeds`."""

    fine_tune: TrainingConfig | None = None
    """Training of the method fine-tune, where it is to be another one."""

    evaluation: EvaluationConfig = Field(default_factory=EvaluationConfig)
    """As in `[[students]]`."""


@dataclass(frozen=True, kw_only=True, slots=True)
class ExperimentCell:
    """One point of the matrix; `student` or `plan` is the name of what measures it."""

    method: Method
    teacher: str
    rationales: int
    questions: int | Literal["all"]
    base: str
    filter: Filter
    seed: int
    student: str = ""
    plan: str = ""

    @property
    def axes(self) -> dict[str, object]:
        """The values on the axes."""
        return {name: getattr(self, name) for name in AXES}


AXES = ("teacher", "rationales", "questions", "base", "filter")


def cells(experiment: ExperimentConfig) -> list[ExperimentCell]:
    """All cells with the names of their students and plans: baselines first, then students, seed by seed."""
    first = ExperimentCell(
        method="fine-tune-cot",
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
        own = points if method == "fine-tune-cot" else list(dict.fromkeys(map(_answers_only(first), points)))
        for point in own:
            for seed in dict.fromkeys(experiment.seeds):
                cell = replace(point, method=method, seed=seed)
                plan = "" if method == "fine-tune" else train_plan(experiment, cell)
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


def _answers_only(first: ExperimentCell) -> Any:
    """Plain fine-tuning knows no teacher, rationales or filter: such points are one."""

    def plain(point: ExperimentCell) -> ExperimentCell:
        return replace(point, teacher=first.teacher, rationales=first.rationales, filter=first.filter)

    return plain


def train_plan(experiment: ExperimentConfig, cell: ExperimentCell) -> str:
    """The name of the plan that samples for a cell."""
    return f"{experiment.name}.{cell.teacher}.d{cell.rationales}"


def _student_name(experiment: ExperimentConfig, cell: ExperimentCell, first: ExperimentCell) -> str:
    """Method, then what differs from the base."""
    parts = [experiment.name, cell.method]
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
    if len(set(experiment.seeds)) > 1:
        parts.append(f"s{cell.seed}")
    return ".".join(parts)


def _slug(base: str) -> str:
    last = base.rstrip("/").rpartition("/")[2].rpartition(":")[2]
    return re.sub(r"[^a-z0-9_-]+", "-", last.lower()).strip("-") or "base"


def plans_of(experiment: ExperimentConfig) -> list[dict[str, Any]]:
    """Its plans as tables: greedy baselines on test, and on train one for each teacher and D, few before many."""
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
            plan.pop("exemplars", None)  # worked examples are for those that show some
    return sorted(found.values(), key=lambda plan: (plan["split"] == "train", plan["rationales"]))


def _shows_examples(strategy: object) -> bool:
    return isinstance(strategy, str) and strategy in STRATEGIES and STRATEGIES[strategy].needs_exemplars


def students_of(experiment: ExperimentConfig) -> list[StudentConfig]:
    """Its students."""
    found = []
    for cell in cells(experiment):
        if not cell.student:
            continue
        training = experiment.training
        if cell.method == "fine-tune" and experiment.fine_tune is not None:
            training = experiment.fine_tune
        found.append(
            StudentConfig(
                name=cell.student,
                base=cell.base,
                method=cell.method,  # type: ignore[arg-type]
                tasks=list(experiment.tasks),
                plans=[cell.plan] if cell.plan else ["*"],
                rationales=cell.rationales,
                questions=None if cell.questions == "all" else cell.questions,
                train_at=[0] if cell.method == "fine-tune" else ["complete"],
                curation=experiment.curation.model_copy(update={"keep": cell.filter}),
                training=training.model_copy(update={"seed": cell.seed}),
                evaluation=experiment.evaluation,
            )
        )
    return found


def stored_experiment(config: Mapping[str, Any]) -> ExperimentConfig | None:
    """The experiment of a stored configuration; None where it has none, or one that is no longer understood."""
    table = config.get("experiment")
    if not isinstance(table, Mapping):
        return None
    try:
        return ExperimentConfig.model_validate(dict(table))
    except ValueError:
        return None
