"""`coterie push`: uploads the student of a run, or a training set, to a model hub."""

from __future__ import annotations

import argparse
import sys
from contextlib import closing
from pathlib import Path
from tempfile import TemporaryDirectory

from daemon.cli import export
from daemon.cli.finished_student import finished_student, forbidding_teachers
from engine.config import load_config
from engine.errors import UsageError
from engine.hub import Kind, Target, upload
from state.database import open_reader
from state.safe import safe

DATASET = "dataset"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The arguments of the command."""
    parser.add_argument("what", metavar="RUN|dataset", help="the number of a run, or dataset")
    parser.add_argument(
        "repo", metavar="REPO", help="repository, NAME/REPO; it is created if it does not exist"
    )
    parser.add_argument(
        "--private", action="store_true", help="create it as private; one that is public is refused"
    )
    parser.add_argument("--branch", default="main", help="branch to commit to (main)")
    parser.add_argument("--message", metavar="TEXT", help="message of the commit")
    parser.add_argument("--task", help="dataset: only this task")
    parser.add_argument("--student", help="dataset: only this student")
    parser.add_argument(
        "--format",
        choices=export.FORMATS,
        help="dataset: as in `coterie export dataset` (jsonl)",
    )
    parser.add_argument(
        "--questions",
        action="store_true",
        help="dataset: also the questions with gold answers, by task and split (train, validation, test)",
    )
    parser.add_argument(
        "--samples",
        action="append",
        metavar="PLAN",
        default=[],
        help="dataset: also all samples that this plan asked for, right and wrong, by split; '*': of every plan; repeatable",
    )


def command(arguments: argparse.Namespace) -> int:
    """Uploads one of them and prints its URL.

    Raises:
        UsageError: there is nothing that may be uploaded, or no token for the hub.
        JobFailed: the hub refused it, or could not be reached.
    """
    if arguments.what == DATASET:
        with TemporaryDirectory(prefix="coterie-push-") as folder:
            rows = export.write(_export(arguments, Path(folder)))
            if not rows:
                raise UsageError("the training set has no rows: nothing was sent")
            return _upload(
                arguments,
                Path(folder),
                "dataset",
                f"{'Training sets and samples' if arguments.samples else 'Training sets'} of {rows:,} rows",
            )
    if not (arguments.what.isascii() and arguments.what.isdigit() and len(arguments.what) < 10):
        raise UsageError(
            f"{arguments.what!r} is neither the number of a run nor `dataset`: `coterie push 3 NAME/REPO`"
        )
    for option in ("task", "student", "format", "questions", "samples"):
        if getattr(arguments, option):
            raise UsageError(f"--{option} is for data sets: use it with `coterie push dataset`")
    config, number = load_config(arguments.config), int(arguments.what)
    with closing(open_reader(config.database)) as connection:
        run, directory = finished_student(connection, config, number)
        forbidding = forbidding_teachers(connection, config, number)
    if forbidding:
        raise UsageError(
            f"run {number} has read rationales of {', '.join(forbidding)}, whose terms forbid training"
            " (training_allowed = false) or who are not in config.toml: nothing was sent"
        )
    return _upload(arguments, directory, "model", f"{run.student} on {run.scope}")


def _export(arguments: argparse.Namespace, folder: Path) -> argparse.Namespace:
    """The arguments of `coterie export dataset --hub`."""
    return argparse.Namespace(
        config=arguments.config,
        what=DATASET,
        format=arguments.format or "jsonl",
        output=folder,
        task=arguments.task,
        student=arguments.student,
        card=False,
        hub=True,
        questions=arguments.questions,
        samples=arguments.samples,
        include=[],
        sent=False,
        logprobs=False,
    )


def _upload(arguments: argparse.Namespace, folder: Path, kind: Kind, what: str) -> int:
    files = {
        path.relative_to(folder).as_posix(): path for path in sorted(folder.rglob("*")) if path.is_file()
    }
    if "README.md" not in files:
        raise UsageError(f"{folder} has no card (README.md): nothing was sent")
    target = Target(repo=arguments.repo, kind=kind, branch=arguments.branch, private=arguments.private)
    done = upload(files, target, arguments.message or what)
    size = sum(path.stat().st_size for path in files.values())
    said = (
        f"{len(files)} files, {size:,} bytes"
        if done.commit
        else "nothing to send: the repository has all files"
    )
    sys.stderr.write(safe(f"{said}\n"))
    sys.stdout.write(safe(f"{done.url}\n"))
    return 0
