"""`coterie status`: the status in one screen, read from `state.db`."""

from __future__ import annotations

import argparse
import json
import sys
import time
from contextlib import closing
from dataclasses import asdict

from daemon.cli.database_path import database_path
from state.database import now_ms, open_reader
from state.safe import safe
from state.views.experiment_progress import ExperimentProgress, read_experiment_progress
from state.views.frontier import frontier_now
from state.views.readiness import readiness
from state.views.status import read_status, to_json
from state.views.status_text import format_status
from state.views.tables import terminal_width


def command(arguments: argparse.Namespace) -> int:
    """Prints the status, once or again and again."""
    if arguments.watch is None:
        text, code = _read(arguments)
        sys.stdout.write(text + "\n")
        return code
    clear = "\x1b[H\x1b[2J" if sys.stdout.isatty() else ""
    try:
        while True:
            text, _ = _read(arguments)
            sys.stdout.write(f"{clear}{text}\n")
            sys.stdout.flush()
            time.sleep(arguments.watch)
    except KeyboardInterrupt:
        return 130


def _read(arguments: argparse.Namespace) -> tuple[str, int]:
    """The status as it is now, and the exit code."""
    with closing(open_reader(database_path(arguments.config))) as connection:
        status = read_status(connection, now_ms())
        standing = read_experiment_progress(connection)
        ledger = [asdict(each) for each in frontier_now(connection)] if arguments.json else []
    told = _experiment(standing)
    if arguments.json:
        text = json.dumps(to_json(status) | {"experiment": told, "ledger": ledger}, indent=2)
    else:
        text = format_status(status, terminal_width()) + (f"\n\nexperiment {safe(told)}" if told else "")
    return text, int(readiness(status).condition) if arguments.exit_code else 0


def _experiment(standing: ExperimentProgress) -> str | None:
    if standing.config.get("experiment") is None:
        return None
    from engine.config.experiment import stored_experiment  # with what it needs, only where there is one
    from engine.report.experiment_progress import line

    experiment = stored_experiment(standing.config)
    return line(experiment, standing) if experiment is not None else None
