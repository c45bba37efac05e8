"""`coterie report`: the tables, as Markdown in a folder and on standard output."""

from __future__ import annotations

import argparse
import sys
from contextlib import closing
from pathlib import Path

from engine.config import Config, load_config
from engine.errors import UsageError
from engine.report import render, summary
from state.database import open_reader
from state.results import Results, read_results


def command(arguments: argparse.Namespace) -> int:
    """Writes the report and prints its first table."""
    config = load_config(arguments.config)
    results = results_of(config)
    path = write(results, arguments.output or config.folder / "report")
    sys.stdout.write(f"{summary(results)}\n\n{path}\n")
    return 0


def results_of(config: Config) -> Results:
    """What the database holds."""
    with closing(open_reader(config.database)) as connection:
        return read_results(connection)


def write(results: Results, folder: Path) -> Path:
    """Writes `report.md` into the folder and returns its path.

    Raises:
        UsageError: the folder cannot be written.
    """
    path = folder / "report.md"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        scratch = folder / "report.md.new"
        scratch.write_text(render(results), encoding="utf-8")
        scratch.replace(path)
    except OSError as error:
        raise UsageError(f"{path}: cannot be written: {error.strerror}") from None
    return path
