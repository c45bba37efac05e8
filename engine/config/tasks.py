"""`[tasks.NAME]`: where a task's questions come from."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from engine.config.base import NonNegative, Section, Seed

AnswerFormat = Literal["number", "choice", "yes_no", "text", "date", "math"]


class TaskConfig(Section):
    """A task: its questions, and how their answers are read."""

    source: str
    """`builtin:NAME`, a file (`.jsonl`, `.jsonl.gz`, `.csv`, `.parquet`), or `hf:DATASET[:CONFIG]`."""

    answer: AnswerFormat
    """How an answer is read and compared."""

    train: NonNegative | None = None
    """Number of training questions (builtin tasks), or at most so many (files)."""

    dev: NonNegative | None = None
    """Number of dev questions; they decide early stopping and the best epoch, never the result."""

    test: NonNegative | None = None
    """Number of test questions, read once for each run."""

    seed: Seed = 0
    """Seed of the questions (builtin tasks), or of the 70/30 split of a file whose rows carry none."""

    options: dict[str, int | float | str | bool] = Field(default_factory=dict)
    """Settings of a builtin task, such as `people_min`; an unknown one is refused with those there are."""
