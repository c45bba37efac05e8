"""`[experiment]`: the paper's matrix as one table, and its cells.

The cells are a pure function of the table, and the name of a plan or student tells its cell. `expansion` makes the plans
and students of the cells.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Annotated, Any, Literal, Self

from pydantic import AfterValidator, Field, model_validator

from engine.config.axes import AXES
from engine.config.base import Name, Positive, Section, Seed
from engine.config.experiment_items import Base, BaseConfig, Filter, Rate, SamplingConfig
from engine.config.json_values import json_table
from engine.config.presets import PAPER, PresetName, for_experiment, sets
from engine.config.students import BaselineName, CurationConfig, EvaluationConfig, TrainingConfig
from engine.methods import METHODS
from engine.strategies import BASELINES, STRATEGIES

if TYPE_CHECKING:
    ExperimentMethod = str
else:
    ExperimentMethod = Literal[(*BASELINES, *METHODS)]

Temperature = Annotated[float, Field(ge=0, le=2)]


class ExperimentConfig(Section):
    """`[experiment]`: the paper's matrix, expanded into plans and students.

    Each list is an axis, and its first value is the base.
    """

    name: Name = "experiment"
    """Prefix of the names of its plans and students."""

    preset: PresetName | None = Field(
        default=None,
        description="Defaults by name; keys written beside it win, also in the tables below. paper: "
        f"{sets(PAPER.experiment)}, and in `plan`, `curation`, `training`, `fine_tune` and `evaluation` what `preset` sets in"
        " `[[plans]]` and `[[students]]`.",
    )

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

    bases: Annotated[list[Base], Field(min_length=1)] = ["builtin:nano"]
    """Axis: base models of the students, by name or as a table with training settings of their own: `{ base = "gpt2", training = { learning_rate = 1e-4 } }`."""

    filters: Annotated[list[Filter], Field(min_length=1)] = ["correct"]
    """Axis: `correct` rationales, `all` rationales, or as many at `random` as are correct; or a table with a name and other keys of `curation`: `{ name = "band", curation = { min_pass_rate = 0.3 } }`."""

    samplings: list[SamplingConfig] = Field(default_factory=list)
    """Axis: how a question's rationales are sampled, each with a name and keys of `plan`: `[{ name = "fixed" }, { name = "until2", plan = { stop_after_correct = 2, seed = 1000 } }]`. Each needs samples of its own, so where they ask for the same, give them different values of `seed`. Empty: as `plan` says."""

    split_by: Annotated[list[Literal["question", "template"]], Field(min_length=1)] = ["question"]
    """Axis: how tasks are split. `template` adds a twin of each task, `NAME.template`, split by template, with its own samples; the tables show both."""

    temperatures: list[Temperature] = Field(default_factory=list)
    """Axis: temperature of the samples. Empty: that of `plan`."""

    single_temperature: Temperature | None = None
    """Temperature of the samples where D = 1, whatever it is for a larger D (the paper's is 0). They are then other samples than those of a larger D. Unset: the same for every D."""

    max_tokens: list[Positive] = Field(default_factory=list)
    """Axis: longest rationale of the teacher, in tokens. Empty: that of `plan`."""

    batch_rows: list[Positive] = Field(default_factory=list)
    """Axis: rows a batch. Empty: as `training` says."""

    epochs: list[Positive] = Field(default_factory=list)
    """Axis: passes over the training set. Empty: as `training` says. Not together with `steps`."""

    steps: list[Positive] = Field(default_factory=list)
    """Axis: optimizer steps. Empty: as `training` says."""

    max_new_tokens: list[Positive] = Field(default_factory=list)
    """Axis: longest answer of the student, in tokens. Empty: that of `evaluation`."""

    learning_rates: list[Rate] = Field(default_factory=list)
    """Candidates, no axis: every cell is trained with each, and test is reported for the one with the best dev accuracy, over its seeds. The others are listed as not chosen, and the report does not read their test results. Empty: that of `training`."""

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

    @model_validator(mode="before")
    @classmethod
    def _defaults(cls, data: Any) -> Any:
        return for_experiment(data)


@dataclass(frozen=True, kw_only=True, slots=True)
class ExperimentCell:
    """A point of the matrix, with the name of the student or plan that measures it."""

    method: str
    teacher: str
    rationales: int
    questions: int | Literal["all"]
    base: str
    filter: str
    seed: int
    student: str = ""
    plan: str = ""
    strategy: str = ""
    """How an untrained base is asked."""
    sampling: str | None = None
    temperature: float | None = None
    max_tokens: int | None = None
    batch_rows: int | None = None
    epochs: int | None = None
    steps: int | None = None
    max_new_tokens: int | None = None
    learning_rate: float | None = None
    """A candidate, of those among which dev chooses."""

    @property
    def label(self) -> str:
        """Its method, and how an untrained base is asked."""
        return f"{self.method}, {self.strategy}" if self.strategy else self.method

    @property
    def axes(self) -> dict[str, object]:
        """Its values by axis."""
        return {name: getattr(self, name) for name in AXES}

    @property
    def choice(self) -> ExperimentCell:
        """What it is a candidate for: the same for all seeds and learning rates."""
        return replace(self, seed=0, student="", learning_rate=None)


def axes_of(method: str) -> frozenset[str]:
    """The axes that a method depends on; all of them for a method that this program does not know."""
    if method in BASELINES:
        return frozenset({"teacher", "max_tokens"} if STRATEGIES[method].writes_rationale else {"teacher"})
    return METHODS[method].axes if method in METHODS else frozenset(AXES)


def base_of(experiment: ExperimentConfig, label: str) -> BaseConfig:
    """The base that is called so.

    Raises:
        StopIteration: there is none.
    """
    found = (each if isinstance(each, BaseConfig) else BaseConfig(base=each) for each in experiment.bases)
    return next(each for each in found if each.label == label)


def curation_of(experiment: ExperimentConfig, label: str) -> CurationConfig:
    """The curation of the filter that is called so.

    Raises:
        ValidationError: its keys do not fit together with those of the experiment.
    """
    own = next(
        (each for each in experiment.filters if not isinstance(each, str) and each.label == label), None
    )
    written = (
        {"keep": label} if own is None else {"keep": "correct", **own.curation.model_dump(exclude_unset=True)}
    )
    return CurationConfig.model_validate(experiment.curation.model_dump() | written)


def sampling_of(experiment: ExperimentConfig, label: str | None) -> dict[str, object]:
    """The settings of plans for the way of sampling that is called so."""
    found = next((each.plan for each in experiment.samplings if each.label == label), {})
    return {**experiment.plan, **found}


def values_of(experiment: ExperimentConfig) -> dict[str, list[Any]]:
    """The values of each axis, its base first; None alone where its key is left out."""
    found: dict[str, list[Any]] = {
        name: list(getattr(experiment, axis.key)) or [None] for name, axis in AXES.items()
    }
    for name in ("base", "filter", "sampling"):
        found[name] = [each if isinstance(each, str | None) else each.label for each in found[name]]
    return found


def first_cell(experiment: ExperimentConfig) -> ExperimentCell:
    """The point of the matrix at which every axis has its first value."""
    first = {name: values[0] for name, values in values_of(experiment).items()}
    return ExperimentCell(method="", seed=experiment.seeds[0], **first)


def cells(experiment: ExperimentConfig) -> list[ExperimentCell]:
    """All cells with the names of their students and plans."""
    first = first_cell(experiment)
    points = list(dict.fromkeys(_points(experiment, first)))
    found: list[ExperimentCell] = []
    for method in experiment.methods:
        axes = axes_of(method)
        fixed: dict[str, Any] = {name: value for name, value in first.axes.items() if name not in axes}
        for point in dict.fromkeys(replace(point, **fixed) for point in points):
            if method in BASELINES:
                cell = replace(point, method=method)
                found.append(replace(cell, plan=_name(experiment, cell, first, cell.teacher, method)))
            elif not METHODS[method].trains:  # the same answers with every seed
                for strategy in dict.fromkeys(experiment.base_strategies):
                    cell = replace(point, method=method, strategy=strategy)
                    found.append(replace(cell, student=_student_name(experiment, cell)))
            else:
                found += _trained(experiment, replace(point, method=method))
    return found


def _trained(experiment: ExperimentConfig, point: ExperimentCell) -> Iterator[ExperimentCell]:
    """The cells of a student that is trained: one for each seed and candidate."""
    candidates = base_of(experiment, point.base).learning_rates or experiment.learning_rates
    rates: list[float | None] = [*candidates] or [None]
    for rate in dict.fromkeys(rates):
        for seed in dict.fromkeys(experiment.seeds):
            cell = replace(point, seed=seed, learning_rate=rate)
            plan = train_plan(experiment, cell) if METHODS[point.method].reads_samples else ""
            yield replace(
                cell,
                student=_student_name(experiment, cell, several=len(set(candidates)) > 1),
                plan=plan,
            )


def _points(experiment: ExperimentConfig, first: ExperimentCell) -> Iterator[ExperimentCell]:
    axes = values_of(experiment)
    if experiment.vary == "all":
        points = (dict(zip(axes, point, strict=True)) for point in itertools.product(*axes.values()))
    else:
        points = ({name: value} for name, values in axes.items() for value in values)
    for point in points:
        found = replace(first, **point)
        if found.rationales == 1 and experiment.single_temperature is not None:
            found = replace(found, temperature=first.temperature)  # decided by D alone
        yield found


def temperature_of(experiment: ExperimentConfig, cell: ExperimentCell) -> float | None:
    """The temperature of a cell's samples; None: that of `plan`."""
    if cell.rationales == 1 and experiment.single_temperature is not None:
        return experiment.single_temperature
    return cell.temperature


def arm(experiment: ExperimentConfig, cell: ExperimentCell) -> str:
    """The name of a cell with all its seeds and learning rates: its method, then every value that differs from the base."""
    base = first_cell(experiment).axes
    parts = [cell.method, *([cell.strategy] if cell.strategy else [])]
    parts += [AXES[name].part(value) for name, value in cell.axes.items() if value != base[name]]
    return ".".join(parts)


def train_plan(experiment: ExperimentConfig, cell: ExperimentCell) -> str:
    """The name of the plan that samples for a cell."""
    own = AXES["rationales"].part(cell.rationales)
    return _name(experiment, cell, first_cell(experiment), cell.teacher, own)


def _name(experiment: ExperimentConfig, cell: ExperimentCell, first: ExperimentCell, *parts: str) -> str:
    """The name of a plan: its teacher and what else is asked, then every other value that differs from the base."""
    others = (axis for name, axis in AXES.items() if axis.sampling and name not in ("teacher", "rationales"))
    differing = (
        axis.part(getattr(cell, axis.name))
        for axis in others
        if getattr(cell, axis.name) != getattr(first, axis.name)
    )
    return ".".join((experiment.name, *parts, *differing))


def _student_name(experiment: ExperimentConfig, cell: ExperimentCell, *, several: bool = False) -> str:
    """The method, then every value that differs from the base, the learning rate if there are several, and the seed."""
    parts = [experiment.name, arm(experiment, cell)]
    if several:
        parts.append(f"lr{cell.learning_rate:g}")
    if len(set(experiment.seeds)) > 1 and not cell.strategy:
        parts.append(f"s{cell.seed}")
    return ".".join(parts)


def stored_experiment(config: Mapping[str, Any]) -> ExperimentConfig | None:
    """The experiment of a stored configuration; None if it has none, or one that this program cannot read."""
    table = config.get("experiment")
    if not isinstance(table, Mapping):
        return None
    try:
        return ExperimentConfig.model_validate(dict(table))
    except ValueError:
        return None
