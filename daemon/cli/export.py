"""`coterie export`: writes samples, training sets or predictions as rows that other programs read."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing
from typing import Any

from daemon.cli.card import Part, write_card
from daemon.training.manifest import RunRequest, training_rows
from daemon.training.scopes import scopes_of
from engine.config import Config, load_config
from engine.errors import UsageError
from engine.export_formats import chat, openai_chat, write_jsonl, write_parquet
from engine.strategies.rationalize import HINTED
from engine.strategies.replay import sent
from state.database import open_reader
from state.exports import predictions, samples
from state.runs import TaskInfo
from state.sqlite import Connection
from state.training_samples import active_task_ids, teacher_labels
from state.triggers import plan_counts

CHATS = ("openai-chat", "chat", "think")
"""Formats of training data."""


def command(arguments: argparse.Namespace) -> int:
    """Writes the rows, and their number to standard error.

    Raises:
        UsageError: options that do not fit together, or a file that cannot be written.
    """
    config = load_config(arguments.config)
    _check(arguments)
    with closing(open_reader(config.database)) as connection:
        parts = list(_parts(connection, config, arguments)) if arguments.what == "dataset" else []
        rows = _rows(connection, parts, arguments)
        if arguments.format == "openai-chat":
            rows = openai_chat(_trainable(rows))
        elif arguments.format in CHATS:
            rows = chat(_trainable(rows), think=arguments.format == "think")
        try:
            count = _write(rows, arguments)
            if arguments.card:
                path = write_card(connection, config, parts, arguments.output, arguments.format)
                sys.stderr.write(f"card: {path}\n")
        except BrokenPipeError:
            raise
        except OSError as error:
            raise UsageError(
                f"{error.filename or arguments.output}: cannot be written: {error.strerror}"
            ) from None
    sys.stderr.write(f"{count:,} rows\n")
    return 0


def _check(arguments: argparse.Namespace) -> None:
    if arguments.format == "parquet" and arguments.output is None:
        raise UsageError("--format parquet needs a file: add -o FILE.parquet")
    if arguments.format in CHATS and arguments.what == "predictions":
        raise UsageError(f"--format {arguments.format} is for training data: use it with samples or dataset")
    if arguments.sent and arguments.what != "samples":
        raise UsageError("--sent adds the requests of samples: use it with `coterie export samples`")
    if arguments.logprobs and arguments.what != "samples":
        raise UsageError("--logprobs is for samples: use it with `coterie export samples`")
    if arguments.card and (arguments.what != "dataset" or arguments.output is None):
        raise UsageError(
            "--card writes a card next to a training set: use it with `coterie export dataset -o FILE`"
        )


def _rows(
    connection: Connection, parts: Sequence[Part], arguments: argparse.Namespace
) -> Iterable[dict[str, Any]]:
    if arguments.what == "samples":
        return samples(
            connection, arguments.task, sent if arguments.sent else None, logprobs=arguments.logprobs
        )
    if arguments.what == "predictions":
        return predictions(connection, arguments.task, arguments.student)
    return (row for part in parts for row in _dataset(connection, part))


def _trainable(rows: Iterable[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    """Of samples, the correct ones that were made without a hint, with their gold answer. Rows of a dataset are all kept."""
    for row in rows:
        if "correct" not in row:
            yield row
        elif row["correct"] and HINTED not in row["flags"]:
            yield {**row, "answer": row["gold"]}


def _dataset(connection: Connection, part: Part) -> Iterator[dict[str, Any]]:
    teachers = teacher_labels(connection, part.chosen.sample_ids)
    for row in part.chosen.rows:
        yield {
            **{"student": part.student.name, "scope": part.scope, **row.model_dump(), "label": part.label},
            "teacher": None if row.sample_id is None else teachers[row.sample_id],
        }


def _parts(connection: Connection, config: Config, arguments: argparse.Namespace) -> Iterator[Part]:
    """The rows that each student would read now."""
    plans = plan_counts(connection)
    tasks = active_task_ids(connection)
    for student in config.students:
        if arguments.student not in (None, student.name):
            continue
        for scope in scopes_of(student, config):
            if arguments.task is not None and arguments.task not in scope.tasks:
                continue
            infos = tuple(
                TaskInfo(id=tasks[task], name=task, answer_format=config.tasks[task].answer)
                for task in scope.tasks
                if task in tasks
            )
            request = RunRequest(
                student=student,
                scope=scope.name,
                tasks=infos,
                plan_ids=tuple(plan.id for plan in scope.rule.read(plans, [info.name for info in infos])),
            )
            rows = training_rows(connection, config, request)
            yield Part(student, scope.name, scope.tasks, student.curation.labels, rows)


def _write(rows: Iterable[dict[str, Any]], arguments: argparse.Namespace) -> int:
    if arguments.format == "parquet" or (
        arguments.format in CHATS and arguments.output is not None and arguments.output.suffix == ".parquet"
    ):
        return write_parquet(rows, arguments.output)
    if arguments.output is None:
        return write_jsonl(rows, sys.stdout)
    with arguments.output.open("w", encoding="utf-8") as output:
        return write_jsonl(rows, output)
