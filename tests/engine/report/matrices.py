"""An experiment with what was measured of it, made by hand."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from engine.config.experiment import ExperimentConfig, cells
from state.figure_data import FigureData, LearningCurve, PassRates
from state.results import Results
from tests.engine.report.test_markdown import EXAM, PLAN, RUN, TASK

EXPERIMENT = ExperimentConfig.model_validate(
    {
        "name": "x",
        "teachers": ["good", "bad"],
        "rationales": [8, 1],
        "questions": ["all", 5],
        "seeds": [0, 1],
    }
)


def measured(experiment: ExperimentConfig, answers: Mapping[str, list[bool]]) -> tuple[Results, FigureData]:
    """Results of the students named, each with whether its answers to questions 1, 2, … are correct."""
    names = list(dict.fromkeys(cell.student for cell in cells(experiment) if cell.student in answers))
    runs = [replace(RUN, run_id=number, student=name, rows=10 * number) for number, name in enumerate(names)]
    plans = [
        replace(EXAM, name="x.good.zero-shot-cot", teachers=("good",)),
        replace(PLAN, name="x.good.d8", teachers=("good",)),
    ]
    found: dict[tuple[int, str], dict[int, bool]] = {
        (run.run_id, run.task): dict(enumerate(answers[run.student], 1)) for run in runs
    }
    curves = [
        LearningCurve(
            run_id=run.run_id, student=run.student, task=run.task, epochs=(1.0, 2.0), accuracy=(0.2, 0.6)
        )
        for run in runs
    ]
    rates = PassRates(plan="x.good.d8", task=TASK.name, counts=(1, 0, 0, 2, 0, 0, 0, 0, 3, 4))
    values: dict[str, Any] = {
        "tasks": (TASK,),
        "plans": tuple(plans),
        "runs": tuple(runs),
        "failed": (),
        "config": {"experiment": experiment.model_dump(mode="json")},
        "boots": 1,
        "spent_usd": 0.1,
        "unknown_attempts": 0,
        "prompt_tokens": 1,
        "completion_tokens": 1,
    }
    figure_data = FigureData(curves=tuple(curves), pass_rates=(rates,), answers=found)
    return Results(**values), figure_data
