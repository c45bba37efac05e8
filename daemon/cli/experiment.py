"""`coterie experiment`: the matrix cell by cell, its progress, and the remaining work; from `state.db` alone."""

from __future__ import annotations

import argparse
import json
import sys
from contextlib import closing
from dataclasses import asdict
from typing import Any

from engine.config import load_config
from engine.config.experiment import AXES, ExperimentConfig, axes_of, stored_experiment
from engine.errors import UsageError
from engine.report import Point, points, text_table
from engine.report.experiment_progress import CellStanding, Left, left, line, standings
from state.database import open_reader
from state.figure_data import read_figure_data
from state.results import read_results
from state.safe import safe
from state.views.experiment_progress import read_experiment_progress

SHOWN = 80
"""Characters of a status that are shown; `--json` has all of it."""

HEADS = {"rationales": "D"}
"""Column titles of axes that are not called by their own name."""


def command(arguments: argparse.Namespace) -> int:
    """Prints the cells.

    Raises:
        UsageError: the last daemon was started without an experiment.
    """
    config = load_config(arguments.config)
    with closing(open_reader(config.database)) as connection:
        standing = read_experiment_progress(connection)
        experiment = stored_experiment(standing.config)
        if experiment is None:
            raise UsageError(
                f"{config.database}: the last daemon had no [experiment] in its configuration: add one"
                " (docs/method.md, Experiments) and start the daemon"
            )
        measured = {
            (point.cell, point.task): point
            for point in points(experiment, read_results(connection), read_figure_data(connection))
        }
    found = standings(experiment, standing)
    rest = left(experiment, standing, found)
    rows = [(each, measured.get((each.cell, each.task))) for each in found]
    if arguments.json:
        text = json.dumps(_json(experiment, rows, rest), indent=2)
    else:
        text = safe(f"{_table(rows)}\n\n{line(experiment, standing)} done; {_left(rest)}")
    sys.stdout.write(text + "\n")
    return 0


def _table(rows: list[tuple[CellStanding, Point | None]]) -> str:
    axes = [HEADS.get(name, name) for name in AXES]
    head = ("task", "method", *axes, "state", "", "accuracy %")
    body = []
    for each, point in rows:
        cell = each.cell
        known = axes_of(cell.method)
        values = [str(value) if name in known else "–" for name, value in cell.axes.items()]
        shown = [each.task, cell.label, *values]
        accuracy = point.estimate.text() if point is not None and point.estimate is not None else "–"
        said = each.said if len(each.said) <= SHOWN else each.said[: SHOWN - 1] + "…"
        body.append([*shown, each.state, said, accuracy])
    return text_table(head, body, left=9)


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


def _json(
    experiment: ExperimentConfig, rows: list[tuple[CellStanding, Point | None]], rest: Left
) -> dict[str, Any]:
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
                "seeds": each.seeds,
                "done": each.done,
                "accuracy": point.estimate.accuracy if point and point.estimate else None,
                "low": point.estimate.low if point and point.estimate else None,
                "high": point.estimate.high if point and point.estimate else None,
                "n": point.estimate.questions if point and point.estimate else 0,
            }
            for each, point in rows
        ],
        "done": sum(each.state == "done" for each, _ in rows),
        "left": asdict(rest),
    }
