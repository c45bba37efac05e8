"""A training set as a repository of a model hub: a configuration for each student and scope, files by split, and the card."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
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
    for part, rows in parts:
        name = _free(f"{part.student.name}.{part.scope}", configs)
        files = dict(_files(folder, name, {"train": rows}, suffix, write))
        if files:
            configs.append(CardConfig(name=name, files=files))
            total += len(part.chosen.rows)
    tasks = dict.fromkeys(task for part, _ in parts for task in part.tasks)
    for task in tasks if with_questions else ():
        name = _free(f"questions.{task}", configs)
        by_split = {named: questions(connection, task, split) for split, named in SPLITS.items()}
        configs.append(CardConfig(name=name, files=dict(_files(folder, name, by_split, suffix, write))))
    for plan, rows_of in samples.items():
        counts: dict[str, int] = {}

        def counted(rows: Iterable[Row], file: Path, counts: dict[str, int] = counts) -> int:
            counts[file.stem] = write(rows, file)
            return counts[file.stem]

        name = _free(f"samples.{plan}", configs)
        by_split = {named: rows_of[split] for split, named in SPLITS.items()}
        if files := dict(_files(folder, name, by_split, suffix, counted)):
            configs.append(CardConfig(name=name, files=files))
            total += sum(counts.values())
    return configs, total


def _files(
    folder: Path, name: str, splits: Mapping[str, Iterable[Row]], suffix: str, write: Write
) -> Iterator[tuple[str, str]]:
    (folder / name).mkdir(parents=True, exist_ok=True)
    for split, rows in splits.items():
        file = folder / name / f"{split}.{suffix}"
        if write(rows, file):
            yield split, f"{name}/{split}.{suffix}"
        else:
            file.unlink()  # a reader finds no columns in it
    if not any((folder / name).iterdir()):
        (folder / name).rmdir()


def _free(name: str, configs: Sequence[CardConfig]) -> str:
    """Names of students and scopes may have dots, so two of them can be one name."""
    taken = {config.name for config in configs}
    return next(
        each
        for each in (name, *(f"{name}-{number}" for number in range(2, len(taken) + 3)))
        if each not in taken
    )
