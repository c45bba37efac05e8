"""`coterie report`: tables and figures in a folder, as Markdown and one HTML file. Prints the accuracy table."""

from __future__ import annotations

import argparse
import platform
import subprocess
import sys
from contextlib import closing
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from engine.config import Config, load_config
from engine.config.experiment import stored_experiment
from engine.errors import UsageError
from engine.report import chance, differences, figures, headline, page, points, render, summary, tables
from state.database import open_reader
from state.figure_data import FigureData, read_figure_data
from state.results import Results, read_results

FIGURES = "figures"
LIBRARIES = ("torch", "transformers", "deepspeed")


def command(arguments: argparse.Namespace) -> int:
    """Writes the report and prints the accuracy table."""
    config = load_config(arguments.config)
    results, figure_data = results_of(config)
    path = write(results, figure_data, arguments.output or config.folder / "report")
    sys.stdout.write(f"{tables_of(results, figure_data)}\n\n{path}\n")
    return 0


def tables_of(results: Results, figure_data: FigureData) -> str:
    """What a run prints at its end: accuracies, and the differences between students."""
    compared = _differences(results, figure_data)
    return "\n\n".join(part for part in (summary(results), compared) if part)


def _differences(results: Results, figure_data: FigureData) -> str:
    """Students in pairs; an experiment has tables of its own."""
    return "" if stored_experiment(results.config) else differences(results, figure_data.answers)


def results_of(config: Config) -> tuple[Results, FigureData]:
    """The results in the database."""
    with closing(open_reader(config.database)) as connection:
        return read_results(connection), read_figure_data(connection)


def write(results: Results, figure_data: FigureData, folder: Path) -> Path:
    """Writes `report.md` with `figures/`, and `report.html`, into the folder; returns the path of `report.md`.

    Raises:
        UsageError: the folder cannot be written.
    """
    experiment = stored_experiment(results.config)
    found = points(experiment, results, figure_data) if experiment is not None else []
    random = {task.name: chance(task.answer_format, task.questions) for task in results.tasks}
    drawn = figures(results, figure_data, experiment, found)
    text = render(
        results,
        matrix=tables(experiment, found, random) if experiment is not None else (),
        figures=[(figure.caption, f"{FIGURES}/{figure.name}.svg") for figure in drawn],
        headline=headline(experiment, found) if experiment is not None else (),
        differences=_differences(results, figure_data),
        made_by=made_by(),
    )
    images = {f"{FIGURES}/{figure.name}.svg": figure.svg for figure in drawn}
    path = folder / "report.md"
    files = {**images, "report.html": page(text, "Coterie: report", images), "report.md": text}
    try:
        (folder / FIGURES).mkdir(parents=True, exist_ok=True)
        for name, content in files.items():
            target = folder / name
            scratch = target.with_name(target.name + ".new")
            scratch.write_text(content, encoding="utf-8")
            scratch.replace(target)
    except OSError as error:
        raise UsageError(f"{path}: cannot be written: {error.strerror}") from None
    return path


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
