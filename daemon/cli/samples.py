"""`coterie samples`: finds stored samples, and shows one in full."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

from daemon.cli.database_path import database_path
from engine.errors import UsageError
from state.database import open_reader
from state.edits import active_tasks
from state.safe import safe
from state.sqlite import Connection
from state.training_samples import active_task_ids
from state.views.format import cost
from state.views.samples import (
    SampleDetail,
    SampleFilter,
    SampleRow,
    id_range,
    matching_ids,
    sample_detail,
    sample_rows,
)
from state.views.tables import table, terminal_width

WINDOW = 20_000
VERDICTS = {"correct": (1, True), "wrong": (0, True), "answered": (1, False), "unread": (0, False)}
"""The verdict, and whether there is a gold answer."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The arguments of the command."""
    commands = parser.add_subparsers(dest="what", required=True, metavar="show|find")
    show = commands.add_parser(
        "show", help="one sample: question, prompts, rationale, verdict, requests and cost"
    )
    show.add_argument("id", type=int, metavar="ID")
    find = commands.add_parser("find", help="the newest samples with these words, and of this kind")
    find.add_argument(
        "words",
        nargs="*",
        metavar="WORD",
        help='whole words of question, rationale, answer or reason; flip* for a prefix, "exact phrase" in quotation marks',
    )
    find.add_argument("--task", help="only this task")
    find.add_argument("--split", choices=("train", "dev", "test"), help="only this split")
    find.add_argument(
        "--verdict",
        choices=tuple(VERDICTS),
        help="only these; answered and unread: of tasks without gold answers",
    )
    find.add_argument("--state", choices=("open", "stored", "failed"), help="only in this state")
    find.add_argument("--flag", help="only with this flag, such as truncated")
    find.add_argument("-n", "--lines", type=int, default=20, metavar="N", help="at most N samples (20)")
    for each in (show, find):  # after the word too
        each.add_argument("-c", "--config", type=Path, default=argparse.SUPPRESS, help=argparse.SUPPRESS)


def command(arguments: argparse.Namespace) -> int:
    """Prints what was asked for; exit code 1 where nothing is found."""
    with closing(open_reader(database_path(arguments.config))) as connection:
        lines = _show(connection, arguments.id) if arguments.what == "show" else _find(connection, arguments)
    for line in lines:
        sys.stdout.write(safe(line) + "\n")
    if not lines:
        sys.stderr.write("no sample matches\n")
    return 0 if lines else 1


def _show(connection: Connection, sample: int) -> list[str]:
    found = sample_detail(connection, sample)
    if found is None:
        known = id_range(connection)
        there = f"there are samples {known[0]} to {known[1]}" if known else "there is none yet"
        raise UsageError(f"there is no sample {sample}: {there}; `coterie samples find` lists some")
    return list(_detail(found))


def _detail(found: SampleDetail) -> Iterator[str]:
    row = found.row
    yield f"sample {row.id}: {row.task}, question {row.question} ({found.split}), rationale {row.replicate + 1} of plan {found.row.plan} ({found.strategy}), by {row.teacher}"
    flags = f", flags: {', '.join(row.flags)}" if row.flags else ""
    yield f"{_state(row)}{flags}; {found.prompt_tokens:,} + {found.completion_tokens:,} tokens, {cost(found.row.cost_usd)}"
    for title, text in (
        ("question", found.question),
        ("gold answer", found.gold),
        ("rationale", found.rationale),
        ("answer", found.answer),
        ("extracted", row.extracted),
        (f"verdict of {found.grader}", found.grade_reason),
        ("given up", found.reason),
    ):
        if text:
            yield ""
            yield f"{title}:"
            yield from (f"  {line}" for line in text.splitlines())
    for number, turn in enumerate(found.prompts, 1):
        yield ""
        yield f"request {number}, as sent:"
        for role, text in turn:
            yield f"  {role}:"
            yield from (f"    {line}" for line in text.splitlines())
    yield ""
    yield from table(
        ("request", "turn", "teacher", "status", "ms", "cost", "outcome"),
        [
            (str(each.id), str(each.turn + 1), each.teacher, str(each.status or "–"))
            + (str(each.latency_ms if each.latency_ms is not None else "–"), cost(each.cost_usd))
            + (f"{each.outcome or 'in flight'}{f': {each.reason}' if each.reason else ''}",)
            for each in found.attempts
        ],
        left=1,
        width=terminal_width(),
    )


def _state(row: SampleRow) -> str:
    return {"open": "in flight", "failed": "given up", "ungraded": "not graded"}.get(row.word, row.word)


def _find(connection: Connection, arguments: argparse.Namespace) -> list[str]:
    task = None
    if arguments.task is not None:
        task = active_task_ids(connection).get(arguments.task)
        if task is None:
            known = ", ".join(active_tasks(connection)) or "none"
            raise UsageError(f"there is no task {arguments.task!r}; there are: {known}")
    verdict, labelled = VERDICTS.get(arguments.verdict, (None, None))
    wanted = SampleFilter(
        task_id=task,
        split=arguments.split,
        state=arguments.state,
        verdict=verdict,
        labelled=labelled,
        flag=arguments.flag,
        text=" ".join(arguments.words) or None,
    )
    ids: list[int] = []
    low, high = id_range(connection) or (1, 0)
    while high >= low and len(ids) < arguments.lines:
        ids += matching_ids(connection, wanted, max(low, high - WINDOW + 1), high)
        high -= WINDOW
    ids = ids[: max(0, arguments.lines)]
    rows = sample_rows(connection, ids)
    body = [
        (str(each), rows[each].task, rows[each].question, str(rows[each].replicate + 1), rows[each].teacher)
        + (_state(rows[each]), rows[each].extracted or "–", ", ".join(rows[each].flags))
        for each in ids
        if each in rows
    ]
    head = ("sample", "task", "question", "nth", "teacher", "state", "answer", "flags")
    return table(head, body, left=7, width=terminal_width(), spare=("flags", "nth", "teacher"))
