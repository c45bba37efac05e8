"""Rows as token ids, which the form of the student makes. Needs numpy, not torch.

A row is prompt and completion in one sequence, which `architecture` splits where needed. The loss counts the completion
alone. Rows longer than the limit are dropped and counted, never truncated: a truncated rationale would teach the student
to stop without an answer.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TypeVar

import numpy as np
from pydantic import BaseModel, ValidationError

from engine.errors import JobFailed
from engine.forms import TokenForm
from engine.methods import TrainRow
from engine.students.targets import Targets

Model = TypeVar("Model", bound=BaseModel)


@dataclass(frozen=True, slots=True)
class TokenRow:
    """`ids` of prompt and completion (int64). The first `prompt` of them are the prompt.

    `learned` ([tokens], bool) says which tokens the loss counts; None: all of the completion. `columns` is what the objective
    reads besides; the first axis of each is the supervised tokens.
    """

    ids: np.ndarray
    prompt: int
    learned: np.ndarray | None = None
    columns: tuple[np.ndarray, ...] = ()

    @property
    def places(self) -> np.ndarray:
        """[supervised]: the places of the tokens that the loss counts."""
        if self.learned is None:
            return np.arange(self.prompt, len(self.ids))
        return np.flatnonzero(self.learned)

    @property
    def supervised(self) -> int:
        """The number of tokens that the loss counts."""
        return self.written if self.learned is None else int(self.learned.sum())

    @property
    def written(self) -> int:
        """The number of tokens of the completion."""
        return len(self.ids) - self.prompt


@dataclass(frozen=True, slots=True)
class MicroBatch:
    """One forward pass.

    inputs   the arguments of the model by name: token ids and masks, each [rows, length]
    keep     [supervised]: flat positions, of those the head sees, that predict a supervised token
    targets  [supervised]: those tokens
    columns  what the objective reads besides; the first axis of each is the supervised tokens
    weights  [supervised] float32: how much each token counts; None: all count 1
    """

    inputs: dict[str, np.ndarray]
    keep: np.ndarray
    targets: np.ndarray
    columns: tuple[np.ndarray, ...] = ()
    weights: np.ndarray | None = None


def micro_batch(
    inputs: dict[str, np.ndarray], rows: Sequence[TokenRow], keep: Sequence[np.ndarray]
) -> MicroBatch:
    """The micro-batch of rows with these inputs; `keep` is that of each row."""
    targets = np.concatenate([row.ids[row.places] for row in rows])
    columns = zip(*(row.columns for row in rows), strict=True)
    return MicroBatch(inputs, np.concatenate(keep), targets, tuple(map(np.concatenate, columns)))


def weighted(batch: MicroBatch, rows: Sequence[TokenRow], weights: np.ndarray) -> MicroBatch:
    """A micro-batch of rows in which each row counts with its weight ([rows])."""
    each = np.repeat(weights.astype(np.float32), [row.supervised for row in rows])
    return replace(batch, weights=each)


def read_rows(path: Path, model: type[Model]) -> list[Model]:
    """The rows of a JSON-lines file.

    Raises:
        JobFailed: the file is missing, or a line is not such a row.
    """
    try:
        lines = path.read_bytes().splitlines()
    except FileNotFoundError:
        raise JobFailed(
            f"{path} is missing: a run directory contains spec.json, manifest.jsonl and questions.jsonl"
        ) from None
    rows = []
    for number, line in enumerate(lines, 1):
        try:
            rows.append(model.model_validate_json(line))
        except ValidationError as error:
            first = error.errors()[0]
            where = ".".join(str(part) for part in first["loc"]) or "the line"
            raise JobFailed(f"{path.name}:{number}: {where}: {first['msg']}") from None
    return rows


def tokenize(
    form: TokenForm, rows: Sequence[TrainRow], *, max_length: int, targets: Targets | None = None
) -> tuple[list[TokenRow], int]:
    """The rows that fit into `max_length` tokens, in order, and the number of those that do not.

    Args:
        form: of the student.
        rows: the training rows.
        max_length: the largest number of tokens.
        targets: makes their columns; None: they have none.

    Raises:
        JobFailed: none of them fits.
    """
    fitting, shortest = [], math.inf
    for row, (prompt, completion, learned) in zip(rows, form.rows(rows), strict=True):
        length = len(prompt) + len(completion)
        shortest = min(shortest, length)
        if length <= max_length:
            ids = np.asarray(prompt + completion, dtype=np.int64)
            mask = None if learned is None else np.asarray([False] * len(prompt) + learned)
            one = TokenRow(ids, len(prompt), mask)
            if targets is not None:
                one = replace(one, columns=targets.columns(row, completion, one.places - one.prompt))
            fitting.append(one)
    if not fitting:
        raise JobFailed(
            f"all {len(rows)} training rows are longer than training.max_length = {max_length} tokens "
            f"(the shortest has {shortest}): raise max_length"
        )
    return fitting, len(rows) - len(fitting)
