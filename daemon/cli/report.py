"""`coterie report`: tables and figures in a folder, as Markdown and one HTML file. Prints the accuracy table."""

from __future__ import annotations

import argparse
import datetime
import io
import platform
import subprocess
import sys
from collections.abc import Mapping
from contextlib import closing
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from engine.config import Config, load_config
from engine.config.experiment import stored_experiment
from engine.errors import UsageError
from engine.export_formats import write_csv
from engine.report import (
    MAIN,
    Figure,
    chance,
    choose,
    differences,
    figures,
    headline,
    ledger,
    made_students,
    page,
    paper_accuracy,
    points,
    rates_table,
    render,
    seen_table,
    selected_table,
    tables,
    terminal_tables,
    together,
)
from state.database import open_reader
from state.figure_data import FigureData, read_figure_data
from state.results import Results, read_results, read_test_answers
from state.safe import safe
from state.seen_answers import LearnedAnswers, read_learned_answers
from state.selected_teachers import SelectedTeacher, read_selected_teachers
from state.views.frontier import CostPoint, read_frontier
from state.views.made import MadeStudent, read_made

FIGURES = "figures"
LIBRARIES = ("torch", "transformers", "deepspeed")


@dataclass(frozen=True, kw_only=True, slots=True)
class Findings:
    """What a report is made of."""

    results: Results
    """What was sampled, trained and evaluated."""
    figure_data: FigureData
    costs: tuple[CostPoint, ...]
    """Of students and teachers."""
    learned: list[LearnedAnswers]
    """What students were taught and asked."""
    selected: list[SelectedTeacher]
    """By which teachers, of students that select among them."""
    made: dict[int, MadeStudent]
    """The students that were made from students, by run."""


def command(arguments: argparse.Namespace) -> int:
    """Writes the report and prints the accuracy table."""
    config = load_config(arguments.config)
    found = findings_of(config)
    paper = _as_the_paper_counted(config, found.results) if arguments.paper else None
    path = write(found, arguments.output or config.folder / "report", paper)
    sys.stdout.write(safe(f"{said(found, path)}\n"))
    return 0


def findings_of(config: Config) -> Findings:
    """What is in the database."""
    with closing(open_reader(config.database)) as connection:
        return Findings(
            results=read_results(connection),
            figure_data=read_figure_data(connection),
            costs=read_frontier(
                connection,
                config.daemon.usd_per_device_hour,
                {
                    name: each.parameters_billion
                    for name, each in config.teachers.items()
                    if each.parameters_billion
                },
            ),
            learned=read_learned_answers(connection),
            selected=read_selected_teachers(connection),
            made=read_made(connection),
        )


def said(found: Findings, path: Path) -> str:
    """What a run prints at its end: the accuracies in lines of 80 characters, and where the rest is."""
    choice = choose(stored_experiment(found.results.config), found.results, found.figure_data)
    return (
        f"{terminal_tables(choice.results)}\n\nreport: {path}\n"
        "It also has the arms compared in pairs, figures, training sets and costs."
    )


def _as_the_paper_counted(config: Config, results: Results) -> dict[tuple[str, str], float]:
    with closing(open_reader(config.database)) as connection:
        return paper_accuracy(results, read_test_answers(connection))


def write(found: Findings, folder: Path, paper: Mapping[tuple[str, str], float] | None = None) -> Path:
    """Writes `report.md` with `figures/`, and `report.html`, into the folder; returns the path of `report.md`.

    Each figure is written as SVG and PDF, with its points as CSV.

    Args:
        found: what it is made of.
        folder: where to write.
        paper: accuracy as the paper counted, by student and task; None: no such column.

    Raises:
        UsageError: the folder cannot be written.
    """
    experiment = stored_experiment(found.results.config)
    choice = choose(experiment, found.results, found.figure_data)
    results, figure_data = choice.results, choice.figure_data
    arms = points(experiment, results, figure_data) if experiment is not None else []
    random = {task.name: chance(task.answer_format, task.questions) for task in results.tasks}
    drawn = figures(results, figure_data, experiment, arms, found.costs)
    addresses = {figure.name: (figure.caption, f"{FIGURES}/{figure.name}.svg") for figure in drawn}
    text = render(
        results,
        matrix=[*tables(experiment, arms, random, paper), *rates_table(choice)]
        if experiment is not None
        else (),
        main_figure=addresses.pop(MAIN, None),
        figures=list(addresses.values()),
        headline=headline(experiment, arms) if experiment is not None else (),
        differences=differences(results, figure_data, experiment, arms),
        together=[*together(results, figure_data, arms), *made_students(results, found.made)],
        made_by=made_by(),
        written_at=datetime.datetime.now(tz=datetime.UTC).strftime("%Y-%m-%d %H:%M UTC"),
        paper=paper,
        ledger=ledger(found.costs),
        seen=seen_table(found.learned),
        selected=selected_table(found.selected),
    )
    images = {f"{FIGURES}/{figure.name}.svg": figure.svg for figure in drawn}
    files: dict[str, bytes] = {name: svg.encode() for name, svg in images.items()}
    for figure in drawn:
        files[f"{FIGURES}/{figure.name}.pdf"] = figure.pdf
        files[f"{FIGURES}/{figure.name}.csv"] = _csv(figure)
    files |= {
        "report.html": page(text, "Coterie: report", images).encode(),
        "report.md": text.encode(),
    }
    path = folder / "report.md"
    try:
        (folder / FIGURES).mkdir(parents=True, exist_ok=True)
        for name, content in files.items():
            target = folder / name
            scratch = target.with_name(target.name + ".new")
            scratch.write_bytes(content)
            scratch.replace(target)
    except OSError as error:
        raise UsageError(f"{path}: cannot be written: {error.strerror}") from None
    return path


def _csv(figure: Figure) -> bytes:
    out = io.StringIO(newline="")
    write_csv(figure.rows, out)
    return out.getvalue().encode()


def made_by() -> str:
    """The version and commit of the program, and the libraries it trains with."""
    parts = [f"coterie {version('coterie')}{_commit()}", f"Python {platform.python_version()}"]
    for name in LIBRARIES:
        try:
            parts.append(f"{name} {version(name)}")
        except PackageNotFoundError:  # an installation without training
            continue
    return ", ".join(parts)


def _commit() -> str:
    root = Path(__file__).resolve().parents[2]
    if not (root / ".git").exists():
        return ""
    argv = ["git", "-C", str(root), "describe", "--always", "--dirty", "--abbrev=12"]
    try:
        told = subprocess.run(argv, capture_output=True, text=True, timeout=10, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return f" (commit {told.stdout.strip()})" if told.returncode == 0 and told.stdout.strip() else ""
