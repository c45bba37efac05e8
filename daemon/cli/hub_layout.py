"""A training set as a repository of a model hub: a configuration for each student and scope, files by split, and the card."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path

from daemon.cli.card import Part
from engine.data_card import CardConfig
from engine.export_formats import Row
from state.exports import questions
from state.sqlite import Connection

SPLITS = {"train": "train", "dev": "validation", "test": "test"}
"""Splits, and what hubs call them."""

Write = Callable[[Iterable[Row], Path], int]


def write_layout(
    connection: Connection,
    folder: Path,
    parts: Sequence[tuple[Part, Iterable[Row]]],
    suffix: str,
    write: Write,
    *,
    with_questions: bool,
    samples: Mapping[str, Mapping[str, Iterable[Row]]],
) -> tuple[list[CardConfig], int]:
    """Writes the files; returns the configurations and the number of training rows and samples.

    Args:
        connection: an open connection.
        folder: the repository's folder.
        parts: what each student would read, and its rows in their form.
        suffix: of the files, such as "jsonl".
        write: writes rows to a file, and returns their number.
        with_questions: also write the questions with their gold answers, by task and split.
        samples: of each plan to write, by split.
    """
    configs: list[CardConfig] = []
    total = 0

    def add(name: str, splits: Mapping[str, Iterable[Row]]) -> int:
        """A configuration of these rows, if there are any; returns their number."""
        name = _free(name, configs)
        files, count = _files(folder, name, splits, suffix, write)
        if files:
            configs.append(CardConfig(name=name, files=files))
        return count

    for part, rows in parts:
        add(f"{part.student.name}.{part.scope}", {"train": rows})
        total += len(part.chosen.rows)
    for task in dict.fromkeys(task for part, _ in parts for task in part.tasks) if with_questions else ():
        add(
            f"questions.{task}",
            {named: questions(connection, task, split) for split, named in SPLITS.items()},
        )
    for plan, rows_of in samples.items():
        total += add(f"samples.{plan}", {named: rows_of[split] for split, named in SPLITS.items()})
    return configs, total


def _files(
    folder: Path, name: str, splits: Mapping[str, Iterable[Row]], suffix: str, write: Write
) -> tuple[dict[str, str], int]:
    """Writes a configuration; returns its files by split, without empty ones, and the number of rows."""
    (folder / name).mkdir(parents=True, exist_ok=True)
    files, total = {}, 0
    for split, rows in splits.items():
        file = folder / name / f"{split}.{suffix}"
        if count := write(rows, file):
            files[split] = f"{name}/{split}.{suffix}"
            total += count
        else:
            file.unlink()  # a reader finds no columns in it
    if not any((folder / name).iterdir()):
        (folder / name).rmdir()
    return files, total


def _free(name: str, configs: Sequence[CardConfig]) -> str:
    """Names of students and scopes may have dots, so two of them can be one name."""
    taken = {config.name for config in configs}
    return next(
        each
        for each in (name, *(f"{name}-{number}" for number in range(2, len(taken) + 3)))
        if each not in taken
    )
