"""`coterie experiment`: the matrix cell by cell, its progress, and the remaining work; from `state.db` alone."""

from __future__ import annotations

import argparse
import json
import sys
from contextlib import closing
from dataclasses import asdict
from typing import Any

from engine.config import Config, load_config
from engine.config.axes import AXES
from engine.config.experiment import ExperimentConfig, axes_of, stored_experiment
from engine.errors import UsageError
from engine.report import Choice, Point, choose, points, text_table
from engine.report.experiment_progress import CellStanding, Left, left, line, standings
from state.database import open_reader
from state.figure_data import read_figure_data
from state.results import read_results
from state.safe import safe
from state.views.experiment_progress import ExperimentProgress, read_experiment_progress

SHOWN = 80
"""Characters of a status that are shown; `--json` has all of it."""

Row = tuple[CellStanding, Point | None, str]
"""A cell, its measurement, and what dev said of its learning rate."""


def command(arguments: argparse.Namespace) -> int:
    """Prints the cells; before the first start, those of the configuration.

    Raises:
        UsageError: the last daemon was started without an experiment.
    """
    config = load_config(arguments.config)
    if config.experiment is not None and not config.database.exists():
        return _planned(config, config.experiment, as_json=arguments.json)
    with closing(open_reader(config.database)) as connection:
        standing = read_experiment_progress(connection)
        experiment = stored_experiment(standing.config)
        if experiment is None:
            raise UsageError(
                f"{config.database}: the last daemon had no [experiment] in its configuration: add one"
                " (docs/method.md, Experiments) and start the daemon"
            )
        choice = choose(experiment, read_results(connection), read_figure_data(connection))
    measured = {
        (point.cell, point.task): point for point in points(experiment, choice.results, choice.figure_data)
    }
    found = standings(experiment, standing)
    rest = left(experiment, standing, found)
    rows = [_row(each, measured, choice) for each in found]
    if arguments.json:
        text = json.dumps(_json(experiment, rows, rest), indent=2)
    else:
        text = safe(f"{_table(rows)}\n\n{line(experiment, standing)} done; {_left(rest)}")
    sys.stdout.write(text + "\n")
    return 0


def _planned(config: Config, experiment: ExperimentConfig, *, as_json: bool) -> int:
    """Prints what the first start will begin."""
    standing = ExperimentProgress(config={}, tasks=tuple(config.tasks), plans={}, runs={})
    found = standings(experiment, standing)
    rows: list[Row] = [(each, None, "") for each in found]
    if as_json:
        text = json.dumps(_json(experiment, rows, left(experiment, standing, found)), indent=2)
    else:
        text = safe(f"{_table(rows)}\n\n{line(experiment, standing)} done; `coterie run` begins")
    sys.stdout.write(text + "\n")
    return 0


def _row(each: CellStanding, measured: dict[Any, Point], choice: Choice) -> Row:
    """A cell with the test result of its learning rate, if that was chosen or is the only one."""
    candidate = choice.by_cell.get((each.cell, each.task))
    point = measured.get((each.cell.choice, each.task))
    if candidate is None:
        return each, point, ""
    dev = "" if candidate.dev is None else f", dev {100 * candidate.dev:.1f}"
    return each, point if candidate.chosen else None, f"learning rate {candidate.state}{dev}"


def _table(rows: list[Row]) -> str:
    axes = [name for name in AXES if any(each.cell.axes[name] is not None for each, _, _ in rows)]
    rates = any(each.cell.learning_rate is not None for each, _, _ in rows)
    heads = [AXES[name].column for name in axes] + ["learning rate"] * rates
    head = ("task", "method", *heads, "state", "", "accuracy %")
    body = []
    for each, point, said_of_rate in rows:
        cell = each.cell
        known = axes_of(cell.method)
        shown = [each.task, cell.label]
        shown += [_value(cell.axes[name]) if name in known else "–" for name in axes]
        shown += [_value(cell.learning_rate)] * rates
        accuracy = point.estimate.text() if point is not None and point.estimate is not None else "–"
        told = ", ".join(filter(None, (each.said, said_of_rate)))
        said = told if len(told) <= SHOWN else told[: SHOWN - 1] + "…"
        body.append([*shown, each.state, said, accuracy])
    return text_table(head, body, left=len(head) - 1)


def _value(value: object) -> str:
    return "–" if value is None else f"{value:g}" if isinstance(value, float) else str(value)


def _left(rest: Left) -> str:
    if not (rest.samples or rest.runs or rest.failed):
        return "nothing left to do"
    parts = [f"{rest.samples:,} samples" if rest.samples else "", f"{rest.runs:,} runs" if rest.runs else ""]
    told = (
        f"left: {' and '.join(part for part in parts if part)}" if any(parts) else "nothing else left to do"
    )
    if rest.failed:
        told += f"; {rest.failed:,} runs failed or were stopped: `coterie train TASK --student S` resumes one"
    return told


def _json(experiment: ExperimentConfig, rows: list[Row], rest: Left) -> dict[str, Any]:
    return {
        "name": experiment.name,
        "cells": [
            {
                "task": each.task,
                **{
                    name: value
                    for name, value in asdict(each.cell).items()
                    if name not in ("seed", "student")
                },
                "state": each.state,
                "said": each.said,
                **({"learning_rate_said": said} if said else {}),
                "seeds": each.seeds,
                "done": each.done,
                "accuracy": point.estimate.accuracy if point and point.estimate else None,
                "low": point.estimate.low if point and point.estimate else None,
                "high": point.estimate.high if point and point.estimate else None,
                "n": point.estimate.questions if point and point.estimate else 0,
            }
            for each, point, said in rows
        ],
        "done": sum(each.state == "done" for each, _, _ in rows),
        "left": asdict(rest),
    }
