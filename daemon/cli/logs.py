"""`coterie logs`: the events of the daemon, from `state.db`, also while it is down."""

from __future__ import annotations

import argparse
import sys
import time
from contextlib import closing, suppress
from datetime import datetime
from pathlib import Path

from daemon.cli.database_path import database_path
from state import sqlite
from state.database import open_reader
from state.errors import StateError
from state.safe import safe
from state.views.events import EventRow, newest_events

LOOK_S = 0.5


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The arguments of the command."""
    parser.add_argument("-f", "--follow", action="store_true", help="go on with new events until Ctrl-C")
    parser.add_argument(
        "-n", "--lines", type=int, default=50, metavar="N", help="how many of the newest (50)"
    )
    parser.add_argument("--warnings", action="store_true", help="only warnings and errors")
    parser.add_argument("--grep", default="", metavar="TEXT", help="only events with this text, in any case")


def command(arguments: argparse.Namespace) -> int:
    """Prints the newest events, oldest first."""
    path = database_path(arguments.config)
    last = _print(path, arguments, 0, max(0, arguments.lines))
    if not last and arguments.lines > 0:
        sys.stderr.write("no such event yet\n")
    try:
        while arguments.follow:
            time.sleep(LOOK_S)
            with suppress(StateError, sqlite.Error):  # locked, or being replaced
                last = _print(path, arguments, last, 1_000)
    except KeyboardInterrupt:
        return 130
    return 0


def _print(path: Path, arguments: argparse.Namespace, after: int, limit: int) -> int:
    """Prints events after an id; the id of the last one."""
    with closing(open_reader(path)) as connection:
        found = newest_events(
            connection, after=after, faults=arguments.warnings, text=arguments.grep, limit=limit
        )
    for event in reversed(found):
        sys.stdout.write(_line(event) + "\n")
    sys.stdout.flush()
    return found[0].id if found else after


def _line(event: EventRow) -> str:
    at = datetime.fromtimestamp(event.at / 1000).astimezone()
    return f"{at:%Y-%m-%d %H:%M:%S} {event.level:7} {' '.join(safe(event.message).split())}"
