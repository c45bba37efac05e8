"""`coterie experiment`: the matrix cell by cell, how far each is, and what is left; from `state.db` alone."""

from __future__ import annotations

import argparse
import json
import sys
from contextlib import closing
from dataclasses import asdict
from typing import Any

from engine.config import load_config
from engine.config.experiment import ExperimentConfig, stored_experiment
from engine.errors import UsageError
from engine.report import Point, points, text_table
from engine.report.progress import CellStanding, Left, left, line, standings
from state.database import open_reader
from state.figure_data import read_figure_data
from state.results import read_results
from state.safe import safe
from state.views.experiment_progress import read_experiment_progress

SHOWN = 80
"""Characters of what is said of a cell; all of it is in `--json`."""

NOT_OF = {
    "fine-tune-cot": (),
    "fine-tune": ("teacher", "D", "filter"),
    "zero-shot": ("D", "questions", "base", "filter"),
}
"""Axes that say nothing of a method; of all baselines as of zero-shot."""


def command(arguments: argparse.Namespace) -> int:
    """Prints the cells.

    Raises:
        UsageError: what was started last has no experiment.
    """
    config = load_config(arguments.config)
    with closing(open_reader(config.database)) as connection:
        standing = read_experiment_progress(connection)
        experiment = stored_experiment(standing.config)
        if experiment is None:
            raise UsageError(
                f"{config.database}: the daemon that was started last had no [experiment] in its configuration; add one"
                " (docs/method.md, Experiments) and start it"
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
    head = ("task", "method", "teacher", "D", "questions", "base", "filter", "state", "", "accuracy %")
    body = []
    for each, point in rows:
        cell = each.cell
        axes: dict[str, object] = {
            "teacher": cell.teacher,
            "D": cell.rationales,
            "questions": cell.questions,
            "base": cell.base,
        }
        axes["filter"] = cell.filter
        for name in NOT_OF.get(cell.method, NOT_OF["zero-shot"]):
            axes[name] = "–"
        shown = [each.task, cell.method, *(str(value) for value in axes.values())]
        accuracy = point.estimate.text() if point is not None and point.estimate is not None else "–"
        said = each.said if len(each.said) <= SHOWN else each.said[: SHOWN - 1] + "…"
        body.append([*shown, each.state, said, accuracy])
    return text_table(head, body, left=9)


def _left(rest: Left) -> str:
    if not (rest.samples or rest.runs or rest.failed):
        return "nothing is left"
    parts = [f"{rest.samples} samples" if rest.samples else "", f"{rest.runs} runs" if rest.runs else ""]
    told = f"left: {' and '.join(part for part in parts if part)}" if any(parts) else "nothing else is left"
    if rest.failed:
        told += (
            f"; {rest.failed} runs failed or were stopped: `coterie train TASK --student S` goes on with one"
        )
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
