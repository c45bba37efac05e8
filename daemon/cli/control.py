"""`coterie pause`, `resume`, `retry`, `train`, `stop`, `budget`: writes a command and prints the daemon's answer."""

from __future__ import annotations

import argparse
import difflib
import sys
from contextlib import closing
from dataclasses import replace
from pathlib import Path

from engine.config import Config, load_config
from engine.errors import JobFailed, UsageError
from state.commands import (
    Command,
    Pause,
    Resume,
    Retry,
    SetBudget,
    StopDaemon,
    StopRun,
    Train,
    send,
    wait_for,
)
from state.database import now_ms, open_reader
from state.given_up import given_up, in_all
from state.safe import safe
from state.views.given_up import given_up_lines
from state.views.status import read_status


def command(arguments: argparse.Namespace) -> int:
    """Sends the command and prints its answer."""
    config = load_config(arguments.config)
    if arguments.name == "stop" and arguments.finish and arguments.run is None:
        raise UsageError("--finish needs --run ID, the run to finish")
    _check_names(config, arguments)
    database = config.database
    if arguments.name == "retry" and not _to_retry(arguments, database):
        return 0
    with closing(open_reader(database)) as connection:
        alive = read_status(connection, now_ms()).daemon.alive
    if arguments.name == "stop" and arguments.run is None and not alive:
        sys.stdout.write("no daemon is running\n")
        return 0
    number = send(database, asked(arguments))
    if not alive:
        sys.stdout.write(f"command {number} queued; applied when a daemon starts (coterie run)\n")
        return 0
    reply = wait_for(database, number, arguments.wait)
    if reply is None:
        sys.stdout.write(f"timed out after {arguments.wait:g} s; command {number} is queued\n")
        return 0
    if not reply.done:
        raise JobFailed(reply.answer)
    sys.stdout.write(safe(reply.answer) + "\n")
    return 0


def _check_names(config: Config, arguments: argparse.Namespace) -> None:
    """Refuses a name that is not configured now; a daemon that starts later would refuse it only then.

    Raises:
        UsageError: it is not configured; the message has the names that are.
    """
    names = {
        "task": [*config.tasks, "joint"] if arguments.name == "train" else list(config.tasks),
        "teacher": list(config.teachers),
        "student": [*(student.name for student in config.students), *(each.name for each in config.derived)],
        "plan": [plan.name for plan in config.plans],
    }
    for kind, there in names.items():
        given = getattr(arguments, kind, None)
        if given is not None and given not in there:
            near = difflib.get_close_matches(given, there, n=1)
            hint = f"did you mean {near[0]!r}?" if near else f"known: {', '.join(there) or 'none'}"
            raise UsageError(f"{arguments.config} has no {kind} {given!r}; {hint}")


def _to_retry(arguments: argparse.Namespace, database: Path) -> bool:
    """Whether there is anything to ask again; says what, and with `--dry-run` nothing more.

    Raises:
        UsageError: samples were given up, but none for that reason; the message has the reasons.
    """
    request = Retry(plan=arguments.plan, task=arguments.task)
    with closing(open_reader(database)) as connection:
        every = given_up(connection, request)
        found = given_up(connection, replace(request, reason=arguments.reason))
    if every and not found:
        reasons = "".join(f"\n  {line}" for line in given_up_lines(every))
        raise UsageError(
            safe(f"no given-up sample has {arguments.reason!r} in its reason; there are:{reasons}")
        )
    if not found:
        sys.stdout.write("no sample was given up: nothing to ask again\n")
        return False
    if arguments.dry_run:
        sys.stdout.write("\n".join(safe(line) for line in given_up_lines(found)) + "\n")
        count, _ = in_all(found)
        sys.stdout.write(f"dry run: {count:,} {_samples(count)} would be asked again\n")
        return False
    return True


def _samples(count: int) -> str:
    return "sample" if count == 1 else "samples"


def asked(arguments: argparse.Namespace) -> Command:
    """The command that the command line means."""
    match arguments.name:
        case "train":
            return Train(task=arguments.task, student=arguments.student)
        case "stop":
            if arguments.run is None:
                return StopDaemon(now=arguments.now)
            return StopRun(run=arguments.run, finish=arguments.finish)
        case "budget":
            return SetBudget(usd=arguments.usd)
        case "retry":
            return Retry(plan=arguments.plan, task=arguments.task, reason=arguments.reason)
        case "pause":
            return Pause(task=arguments.task, teacher=arguments.teacher)
        case _:
            return Resume(task=arguments.task, teacher=arguments.teacher)
