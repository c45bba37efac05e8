"""`coterie report`: the tables, as Markdown and HTML in a folder; the first one on standard output."""

from __future__ import annotations

import argparse
import sys
from contextlib import closing
from pathlib import Path

from engine.config import Config, load_config
from engine.errors import UsageError
from engine.report import page, render, summary
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
    """Writes `report.md` and `report.html` into the folder and returns the first one's path.

    Raises:
        UsageError: the folder cannot be written.
    """
    text = render(results)
    path = folder / "report.md"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for target, content in ((folder / "report.html", page(text, "Coterie: report")), (path, text)):
            scratch = target.with_name(target.name + ".new")
            scratch.write_text(content, encoding="utf-8")
            scratch.replace(target)
    except OSError as error:
        raise UsageError(f"{path}: cannot be written: {error.strerror}") from None
    return path
