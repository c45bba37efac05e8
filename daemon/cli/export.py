"""`coterie export`: writes samples, training sets, predictions or whole tables as rows that other programs read, or a student as a GGUF file."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

from daemon.cli.argument_types import whole_number
from daemon.cli.card import Part, write_card
from daemon.cli.hub_layout import write_layout
from daemon.cli.raw_samples import RawSamples
from daemon.cli.trainable import TrainingData
from daemon.cli.trained_rows import trained_rows
from daemon.training.manifest import RunRequest, gold_tasks, training_rows
from daemon.training.scopes import scopes_of
from engine.config import Config, load_config
from engine.data_card import CardConfig
from engine.errors import UsageError
from engine.export_formats import FORMS, Row, in_form, write_csv, write_jsonl, write_parquet
from engine.strategies.replay import sent
from state.authors import Authors
from state.checksums import Damaged, refuse
from state.database import open_reader
from state.enums import SampleState
from state.exports import not_stored, predictions, question_names, samples
from state.runs import TaskInfo
from state.safe import safe
from state.sqlite import Connection
from state.table_exports import PREDICTION_TYPES, TABLES
from state.training_samples import active_task_ids
from state.triggers import plan_counts

SFT = "sft"
"""The format of training data in the form of the student."""
STUDENT, GGUF = "student", "gguf"
FORMATS = ("jsonl", "csv", "parquet", *FORMS, SFT)
"""Formats of a training set."""
NOT_STORED = {
    SampleState.OPEN: "not finished",
    SampleState.FAILED: "given up",
}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The arguments of the command."""
    parser.add_argument(
        "what",
        choices=(
            *("samples", "attempts", "dataset", "predictions", "runs", "metrics", "evaluations", "events"),
            "student",
        ),
    )
    parser.add_argument("run", nargs="?", type=whole_number, metavar="RUN", help="student: of this run")
    parser.add_argument(
        "--format",
        choices=(*FORMATS, GGUF),
        default="jsonl",
        help="jsonl, csv, parquet; or rows to train on: openai-chat, chat (with ids), think (rationale in <think>),"
        " prompt-completion (TRL), sharegpt and alpaca (axolotl, LLaMA-Factory), sft (dataset: in the form of the student, as"
        " TRL reads it); those to FILE.parquet too;"
        " gguf (student: one file for llama.cpp)",
    )
    parser.add_argument(
        "--include",
        action="append",
        choices=("dev", "test", "overlap", "forbidden", "truncated"),
        default=[],
        help="samples as messages: keep what is left out by default, samples of dev or test questions, of training questions"
        " that are also in dev or test (overlap), by teachers whose terms forbid training, or truncated ones; repeatable",
    )
    parser.add_argument(
        "--card", action="store_true", help="dataset: write a data card, README.md, beside the file"
    )
    parser.add_argument(
        "--hub",
        action="store_true",
        help="dataset: write a folder (-o FOLDER) as a repository of a model hub: a configuration for each student and scope",
    )
    parser.add_argument(
        "--questions",
        action="store_true",
        help="with --hub: also the questions with gold answers, by task and split (train, validation, test)",
    )
    parser.add_argument(
        "--samples",
        action="append",
        metavar="PLAN",
        default=[],
        help="with --hub: also all samples that this plan asked for, right and wrong, by split; '*': of every plan; repeatable",
    )
    parser.add_argument("--task", help="only this task")
    parser.add_argument("--student", help="only this student; not for samples and events")
    parser.add_argument("--sent", action="store_true", help="samples: include the text of each request")
    parser.add_argument(
        "--logprobs",
        action="store_true",
        help="samples: include log-probabilities of the rationale's tokens",
    )
    parser.add_argument(
        "-o", "--output", type=Path, help="file to write (default: standard output; not for parquet)"
    )


def command(arguments: argparse.Namespace) -> int:
    """Writes rows or the file of a student.

    Raises:
        UsageError: options that do not fit together, or a file that cannot be written.
        JobFailed: the student cannot be written in that format.
    """
    if arguments.what == STUDENT:
        _write_student(arguments)
    else:
        write(arguments)
    return 0


def write(arguments: argparse.Namespace) -> int:
    """Writes the rows, and to standard error their number and what was left out; returns their number.

    Raises:
        UsageError: options that do not fit together, or a file that cannot be written.
        StateDamaged: damaged rows were left out; the others are written.
    """
    config = load_config(arguments.config)
    _check(arguments)
    with closing(open_reader(config.database)) as connection:
        parts = list(_parts(connection, config, arguments)) if arguments.what == "dataset" else []
        damaged = [each for part in parts for each in part.chosen.damaged]
        rows = _rows(connection, parts, arguments, damaged)
        chosen = None
        if arguments.what == "samples" and arguments.format in FORMS:
            chosen = TrainingData(connection, config, arguments.include, arguments.task)
            rows = chosen.of(rows)
        try:
            configs: Sequence[CardConfig] = ()
            raw = RawSamples(connection, config, arguments, damaged)
            if arguments.hub:
                configs, count = _write_folder(connection, config, parts, raw, arguments)
            else:
                count = _write(_formed(connection, config, rows, parts, arguments.format), arguments)
            if arguments.card or configs:
                path = write_card(
                    connection, config, parts, arguments.output, arguments.format, configs, raw.ids
                )
                sys.stderr.write(f"card: {safe(str(path))}\n")
        except BrokenPipeError:
            raise
        except OSError as error:
            raise UsageError(
                f"{error.filename or arguments.output}: cannot be written: {error.strerror}"
            ) from None
        left_out = [
            *(chosen.left_out() if chosen else ()),
            *raw.left_out(),
            *_left_out(connection, parts, arguments),
        ]
    for line in left_out:
        sys.stderr.write(f"left out: {safe(line)}\n")
    sys.stderr.write(f"{count:,} rows\n")
    refuse(damaged)
    return count


def _write_student(arguments: argparse.Namespace) -> None:
    from daemon.cli.finished_student import finished_student
    from engine.students.gguf_file import write_gguf

    if arguments.run is None or arguments.format != GGUF or arguments.output is None:
        raise UsageError(
            f"a student is written as one file: `coterie export student RUN --format {GGUF} -o FILE`"
        )
    config = load_config(arguments.config)
    with closing(open_reader(config.database)) as connection:
        run, directory = finished_student(connection, config, arguments.run, prefix=False)
    try:
        write_gguf(directory, arguments.output, f"{run.student} on {run.scope}")
    except ImportError:
        raise UsageError(
            "a GGUF file is written with gguf, which comes with the training libraries: pip install 'coterie[train]'"
        ) from None
    except OSError as error:
        raise UsageError(
            f"{error.filename or arguments.output}: cannot be written: {error.strerror}"
        ) from None
    sys.stderr.write(f"{arguments.output.stat().st_size:,} bytes\n")


def _check(arguments: argparse.Namespace) -> None:
    if arguments.format == GGUF or getattr(arguments, "run", None) is not None:
        raise UsageError(
            f"a run and --format {GGUF} are for students: `coterie export student RUN --format {GGUF} -o FILE`"
        )
    if arguments.format == "parquet" and arguments.output is None:
        raise UsageError("--format parquet needs a file: add -o FILE.parquet")
    if (arguments.hub or arguments.questions or arguments.samples) and (
        arguments.what != "dataset" or arguments.output is None or not arguments.hub
    ):
        raise UsageError(
            "--hub writes training sets into a folder, --questions and --samples add to it: `coterie export dataset --hub -o FOLDER`"
        )
    if arguments.hub and arguments.output.exists() and not arguments.output.is_dir():
        raise UsageError(f"{arguments.output}: is a file; --hub writes into a folder")
    if arguments.format in FORMS and arguments.what not in ("samples", "dataset"):
        raise UsageError(f"--format {arguments.format} is for training data: use it with samples or dataset")
    if arguments.format == SFT and arguments.what != "dataset":
        raise UsageError(f"--format {SFT} is the form of a student: use it with dataset")
    if arguments.sent and arguments.what != "samples":
        raise UsageError("--sent adds the requests of samples: use it with `coterie export samples`")
    if arguments.logprobs and arguments.what != "samples":
        raise UsageError("--logprobs is for samples: use it with `coterie export samples`")
    if arguments.include and (arguments.what != "samples" or arguments.format not in FORMS):
        raise UsageError(
            f"--include is for samples as training data: use it with `coterie export samples --format chat`"
            f" ({', '.join(FORMS)}); other formats of samples leave nothing out, and a student's curation decides for"
            " dataset"
        )
    if arguments.student and arguments.what == "samples":
        raise UsageError(
            "--student is for dataset and predictions: `coterie export dataset` has the samples that a student reads"
        )
    table = TABLES.get(arguments.what)
    if table is not None and arguments.task is not None and table.task is None:
        raise UsageError(f"--task: {table.name} belong to no task; leave it out")
    if table is not None and arguments.student is not None and table.student is None:
        raise UsageError(f"--student: {table.name} belong to no student; leave it out")
    if arguments.card and (arguments.what != "dataset" or arguments.output is None):
        raise UsageError(
            "--card writes a card next to a training set: use it with `coterie export dataset -o FILE`"
        )


def _rows(
    connection: Connection, parts: Sequence[Part], arguments: argparse.Namespace, damaged: list[Damaged]
) -> Iterable[dict[str, Any]]:
    if arguments.what == "samples":
        return samples(
            connection,
            arguments.task,
            sent if arguments.sent else None,
            logprobs=arguments.logprobs,
            damaged=damaged,
        )
    if arguments.what == "predictions":
        return predictions(connection, arguments.task, arguments.student, damaged=damaged)
    if arguments.what in TABLES:
        return TABLES[arguments.what].rows(connection, arguments.task, arguments.student)
    return (row for part in parts for row in _dataset(connection, part))


def _left_out(connection: Connection, parts: Sequence[Part], arguments: argparse.Namespace) -> Iterator[str]:
    """What the rows themselves leave out, in any format: samples without an answer, and what curation drops."""
    if arguments.what == "samples":
        for state, count in not_stored(connection, arguments.task).items():
            yield f"{count:,} {NOT_STORED[SampleState(state)]}"
    for part in parts:
        for reason, count in part.chosen.drops.items():
            yield f"{count:,} of {part.student.name} on {part.scope}: {reason}"


def _dataset(connection: Connection, part: Part) -> Iterator[dict[str, Any]]:
    authors = Authors(connection).of(part.chosen.sample_ids)
    names = question_names(connection, {row.question_id for row in part.chosen.rows})
    for row in part.chosen.rows:
        question = names[row.question_id]
        author = None if row.sample_id is None else authors[row.sample_id]
        yield {
            **{"student": part.student.name, "scope": part.scope, "task": question.task},
            **row.model_dump(exclude={"task", "teacher"}),  # which only students that select are told
            **{"question_id": question.key, "split": question.split, "label": part.label_of(question.task)},
            **{"teacher": author and author.label, "model": author and author.model},
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
            labels = student.curation.labels
            golds = gold_tasks(config, student, infos) if labels != "gold" else frozenset()
            by_gold = frozenset(info.name for info in infos if info.id in golds)
            yield Part(student, scope.name, scope.tasks, labels, rows, by_gold)


def _formed(
    connection: Connection, config: Config, rows: Iterable[Row], parts: Sequence[Part], form: str
) -> Iterable[Row]:
    """Rows in a form to train on, where that is asked for."""
    if form == SFT:
        return trained_rows(connection, config, [(part, list(_dataset(connection, part))) for part in parts])
    return in_form(rows, form) if form in FORMS else rows


def _write_folder(
    connection: Connection,
    config: Config,
    parts: Sequence[Part],
    raw: RawSamples,
    arguments: argparse.Namespace,
) -> tuple[list[CardConfig], int]:
    form = arguments.format
    given = [(part, _formed(connection, config, _dataset(connection, part), [part], form)) for part in parts]

    def write(rows: Iterable[Row], file: Path) -> int:
        return _write(rows, argparse.Namespace(what=arguments.what, format=form, output=file))

    suffix = form if form in ("csv", "parquet") else "jsonl"
    arguments.output.mkdir(parents=True, exist_ok=True)
    return write_layout(
        connection,
        arguments.output,
        given,
        suffix,
        write,
        with_questions=arguments.questions,
        samples=raw.by_plan(),
    )


def _write(rows: Iterable[Row], arguments: argparse.Namespace) -> int:
    if arguments.format == "parquet" or (
        arguments.format in (*FORMS, SFT)
        and arguments.output is not None
        and arguments.output.suffix == ".parquet"
    ):
        return write_parquet(rows, arguments.output, _types(arguments.what))
    if arguments.output is None:
        if arguments.format == "csv":
            return write_csv(rows, sys.stdout, terminal=sys.stdout.isatty())
        return write_jsonl(rows, sys.stdout)
    with arguments.output.open("w", encoding="utf-8", newline="") as output:
        if arguments.format == "csv":
            return write_csv(rows, output, terminal=output.isatty())
        return write_jsonl(rows, output)


def _types(what: str) -> Mapping[str, str] | None:
    """The declared types of an export's columns, which an empty table has too; None: those of its rows."""
    if what == "predictions":
        return PREDICTION_TYPES
    return TABLES[what].types if what in TABLES else None
