"""`coterie pause`, `resume`, `train`, `stop`: rows of the command table, and the daemon's answer."""

from __future__ import annotations

import argparse
import sys
from contextlib import closing
from typing import Any

from engine.config import load_config
from engine.errors import JobFailed
from state.commands import send, wait_for
from state.database import now_ms, open_reader
from state.views.status import read_status


def command(arguments: argparse.Namespace) -> int:
    """Sends the command and prints its answer."""
    database = load_config(arguments.config).database
    with closing(open_reader(database)) as connection:
        alive = read_status(connection, now_ms()).daemon.alive
    if arguments.name == "stop" and not alive:
        sys.stdout.write("no daemon is running\n")
        return 0
    kind, args = _row(arguments)
    key = send(database, kind, args)
    if not alive:
        sys.stdout.write("no daemon is running: it will be done when one starts (coterie run)\n")
        return 0
    reply = wait_for(database, key, arguments.wait)
    if reply is None:
        sys.stdout.write(
            f"no answer within {arguments.wait:g} s; the daemon will see to it (command {key})\n"
        )
        return 0
    if not reply.done:
        raise JobFailed(reply.answer)
    sys.stdout.write(reply.answer + "\n")
    return 0


def _row(arguments: argparse.Namespace) -> tuple[str, dict[str, Any]]:
    if arguments.name == "train":
        return "train", {"task": arguments.task, "student": arguments.student}
    if arguments.name == "stop":
        return (
            ("stop_run", {"run": arguments.run})
            if arguments.run is not None
            else ("stop", {"now": arguments.now})
        )
    given = {"task": arguments.task, "teacher": arguments.teacher}
    return arguments.name, {name: value for name, value in given.items() if value is not None}
