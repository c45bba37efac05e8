"""The plans and students of an experiment: a pure function of its cells.

Plans that differ only in D share samples: a D = 2 plan uses the first two samples of the D = 8 plan, so nothing is sampled
twice.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from engine.config.axes import AXES
from engine.config.base import Identity, fields_marked
from engine.config.experiment import (
    ExperimentCell,
    ExperimentConfig,
    axes_of,
    base_of,
    cells,
    curation_of,
    sampling_of,
    temperature_of,
    values_of,
)
from engine.config.experiment_items import BaseConfig
from engine.config.plans import PlanConfig
from engine.config.presets import PRESETS
from engine.config.students import EvaluationConfig, StudentConfig, TrainingConfig
from engine.forms import FIRST
from engine.methods import METHODS
from engine.strategies import BASELINES, STRATEGIES

OWN = ("name", "tasks", "teachers", "fallback_teachers", "split", "rationales")
"""The settings of a plan that the experiment decides."""


def plans_of(experiment: ExperimentConfig) -> list[dict[str, Any]]:
    """Its plans as tables: greedy baselines on test, and one plan per teacher and D on train, smaller D first."""
    found: dict[str, dict[str, Any]] = {}
    for cell in cells(experiment):
        settings = experiment.plan if cell.method in BASELINES else sampling_of(experiment, cell.sampling)
        own = {
            **settings,
            "name": cell.plan,
            "tasks": list(experiment.tasks),
            "teachers": [cell.teacher],
            **_replaced("plan", cell),
        }
        if cell.method in BASELINES:
            greedy = {"strategy": cell.method, "split": "test", "rationales": 1, "temperature": 0.0}
            found[cell.plan] = {**own, **greedy}
        elif cell.plan:
            found[cell.plan] = {**own, "split": "train", "rationales": cell.rationales}
            if (temperature := temperature_of(experiment, cell)) is not None:
                found[cell.plan]["temperature"] = temperature
    few = [plan for plan in found.values() if _shows_examples(plan.get("strategy"))]
    for plan in found.values():
        if few and plan not in few:
            plan.pop("exemplars", None)  # only the few-shot plans show worked examples
    return sorted(found.values(), key=lambda plan: (plan["split"] == "train", plan["rationales"]))


def _shows_examples(strategy: object) -> bool:
    return isinstance(strategy, str) and strategy in STRATEGIES and STRATEGIES[strategy].needs_exemplars


def students_of(experiment: ExperimentConfig) -> list[StudentConfig]:
    """Its students.

    Raises:
        ValidationError: settings of a base do not fit, or a student cannot be.
    """
    found = []
    for cell in cells(experiment):
        if not cell.student:
            continue
        method = METHODS[cell.method]
        if not method.trains:
            found.append(_untrained(experiment, cell))
            continue
        found.append(
            StudentConfig(
                name=cell.student,
                base=base_of(experiment, cell.base).base,
                form=FIRST,
                method=method.name,
                tasks=list(experiment.tasks),
                plans=[cell.plan] if cell.plan else ["*"],
                rationales=cell.rationales,
                questions=None if cell.questions == "all" else cell.questions,
                train_at=list(method.train_at),
                curation=curation_of(experiment, cell.filter),
                training=_training(experiment, cell),
                evaluation=_evaluation(experiment, cell),
            )
        )
    return found


def _replaced(table: str, cell: ExperimentCell) -> dict[str, Any]:
    """The settings of a table that the cell's values on the axes replace."""
    found: dict[str, Any] = {}
    for axis in AXES.values():
        value = getattr(cell, axis.name)
        if axis.setting and axis.setting[0] == table and value is not None:
            found[axis.setting[1]] = value
            if axis.clears:
                found[axis.clears] = None
    return found


def _training(experiment: ExperimentConfig, cell: ExperimentCell) -> TrainingConfig:
    """That of the method or of all, then of the base, then of the axes."""
    own = getattr(experiment, cell.method.replace("-", "_"), None)
    shared = own if isinstance(own, TrainingConfig) else experiment.training
    of_base = base_of(experiment, cell.base).training
    values = (
        shared.model_dump()
        | of_base.model_dump(include=of_base.model_fields_set)
        | _replaced("training", cell)
    )
    if cell.learning_rate is not None:
        values["learning_rate"] = cell.learning_rate
    return TrainingConfig.model_validate(values | {"seed": cell.seed})


def _evaluation(experiment: ExperimentConfig, cell: ExperimentCell) -> EvaluationConfig:
    return experiment.evaluation.model_copy(update=_replaced("evaluation", cell))


def _untrained(experiment: ExperimentConfig, cell: ExperimentCell) -> StudentConfig:
    """A base that is measured; what is only about training is left out."""
    shows = STRATEGIES[cell.strategy].needs_exemplars
    return StudentConfig(
        name=cell.student,
        base=base_of(experiment, cell.base).base,
        method=cell.method,
        strategy=cell.strategy,
        exemplars=experiment.exemplars if shows else None,
        **_as_published(experiment),
        tasks=list(experiment.tasks),
        training=experiment.training.model_copy(
            update={"adapter": "full", "lora_rank": 0, "seed": cell.seed}
        ),
        evaluation=_evaluation(experiment, cell),
    )


def _as_published(experiment: ExperimentConfig) -> dict[str, Any]:
    """The form and the prompts of an untrained base that the preset decides."""
    preset = PRESETS[experiment.preset] if experiment.preset else None
    return {name: preset.untrained[name] for name in ("form", "prompts")} if preset else {}


def wrong_axes(
    experiment: ExperimentConfig, written: Mapping[str, Any], without_dev: Sequence[str] = ()
) -> list[tuple[tuple[int | str, ...], str]]:
    """What does not fit together in the axes, as (path, message).

    Args:
        experiment: the experiment.
        written: its table as it was written.
        without_dev: those of its tasks that surely have no dev questions.
    """
    found: list[tuple[tuple[int | str, ...], str]] = []

    def wrong(key: str, message: str) -> None:
        found.append((("experiment", key), message))

    for axis in AXES.values():
        if not axis.setting or not getattr(experiment, axis.key):
            continue
        table, key = axis.setting
        for place in (table, "fine_tune") if table == "training" else (table,):
            for name in filter(None, (key, axis.clears)):
                if name in _table(written.get(place)):
                    wrong(axis.key, f"lists what {place}.{name} says: remove one of the two")
        if not any(axis.name in axes_of(method) for method in experiment.methods):
            wrong(axis.key, "has no effect: no method of `methods` depends on it")
    rates = ("learning_rates", *(each.label for each in _named(experiment) if each.learning_rates))
    if experiment.learning_rates or len(rates) > 1:
        for place in ("training", "fine_tune"):
            if "learning_rate" in _table(written.get(place)):
                wrong("learning_rates", f"lists what {place}.learning_rate says: remove one of the two")
        if not any(METHODS[each].trains for each in experiment.methods if each in METHODS):
            wrong("learning_rates", "has no effect: no method of `methods` is trained")
    if without_dev and any(
        len(set(each.learning_rates or experiment.learning_rates)) > 1
        for each in (_named(experiment) or [BaseConfig(base="")])
    ):
        wrong(
            "learning_rates",
            f"dev chooses among them, and {', '.join(without_dev)} has no dev questions: give it `dev`, or one rate",
        )
    if experiment.epochs and experiment.steps:
        wrong("epochs", "steps also says how long a student is trained: remove one of the two")
    values = values_of(experiment)
    for name, what in (("base", "a `name`"), ("filter", "another name"), ("sampling", "another name")):
        labels = [each for each in values[name] if each is not None]
        for label in sorted({each for each in labels if labels.count(each) > 1}):
            wrong(AXES[name].key, f"{label} is listed twice: give one of the two {what}")
    found += _mixed_samples(experiment)
    for each in _named(experiment):
        clash = {axis.setting[1] for axis in AXES.values() if axis.setting and getattr(experiment, axis.key)}
        for name in sorted(clash & each.training.model_fields_set):
            wrong(
                "bases", f"{each.label}: training.{name} is an axis of the experiment: remove one of the two"
            )
        if each.learning_rates and "learning_rate" in each.training.model_fields_set:
            wrong("bases", f"{each.label}: learning_rates and training.learning_rate: remove one of the two")
    found += _greedy_copies(experiment)
    return list(dict.fromkeys(found))


def _greedy_copies(experiment: ExperimentConfig) -> list[tuple[tuple[int | str, ...], str]]:
    """Cells in which several rationales would be sampled at temperature 0."""
    if not (experiment.temperatures or experiment.single_temperature is not None):
        return []
    for cell in cells(experiment):
        asked = temperature_of(experiment, cell) if cell.method not in BASELINES else None
        if asked == 0 and cell.plan and cell.rationales > 1:
            message = (
                f"at temperature 0 the {cell.rationales} rationales of a question would be the same: leave out 0, or"
                " sample D = 1 there (`single_temperature = 0`)"
            )
            return [(("experiment", "temperatures"), message)]
    return []


def _mixed_samples(experiment: ExperimentConfig) -> list[tuple[tuple[int | str, ...], str]]:
    """Ways of sampling with settings of others, or that would share their samples."""
    found: list[tuple[tuple[int | str, ...], str]] = []
    place = ("experiment", "samplings")
    axes = {axis.setting[1]: axis.key for axis in AXES.values() if axis.setting and axis.setting[0] == "plan"}
    first: dict[str, str] = {}
    same = fields_marked(PlanConfig, Identity.NO)
    if experiment.samplings and not any("sampling" in axes_of(method) for method in experiment.methods):
        found.append((place, "has no effect: no method of `methods` depends on it"))
    for each in experiment.samplings:
        for name in each.plan:
            if name in OWN:
                found.append((place, f"{each.name}: plan.{name} is decided by the experiment: leave it out"))
            elif name in axes and getattr(experiment, axes[name]):
                found.append(
                    (place, f"{each.name}: plan.{name} is an axis of the experiment: remove one of the two")
                )
        asked = {key: value for key, value in sampling_of(experiment, each.name).items() if key not in same}
        other = first.setdefault(json.dumps(asked, sort_keys=True), each.name)
        if other != each.name:
            message = (
                f"{each.name} asks for the same samples as {other}, so its students would read those of both: give it"
                " another `seed`"
            )
            found.append((place, message))
    return found


def _named(experiment: ExperimentConfig) -> list[BaseConfig]:
    return [each for each in experiment.bases if isinstance(each, BaseConfig)]


def _table(value: object) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}
