"""`[tasks.NAME]`: where a task's questions come from."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Literal

from pydantic import Field, field_validator

from engine.config.base import NonNegative, Section, Seed
from engine.grading.formats import FORMATS

if TYPE_CHECKING:
    AnswerFormat = str
else:
    AnswerFormat = Literal[tuple(FORMATS)]  # the registry decides which names there are

BOXED = "boxed"
"""In place of a pattern: what stands in the last `\\boxed{…}`."""


class FieldsConfig(Section):
    """`[tasks.NAME.fields]`: which columns of the data hold what, where they are not called question and answer."""

    question: str = "question"
    """A column, or several in a text such as `{Body} {Question}`. A dot leads into a nested column: `qa.question`."""

    answer: str = "answer"
    """The column of the gold answer. With `choices`: a letter, a label, a position from 0 or the choice's text."""

    answer_pattern: str | None = None
    """Regular expression with one group, whose last match in the column is the answer, such as `#### (.+)`; or `boxed`, the last `\\boxed{…}`."""

    rationale: str | None = None
    """The column of a human's rationale."""

    rationale_pattern: str | None = None
    """Regular expression with one group, which is the rationale."""

    choices: str | None = None
    """The column of a list of choices; they are written behind the question as `Answer choices: (A) …, (B) ….`"""

    id: str | None = None
    """The column of a question's name; unset: `id`, where there is one, else the row's number."""

    @field_validator("answer_pattern", "rationale_pattern")
    @classmethod
    def _one_group(cls, value: str | None) -> str | None:
        if value is None or value == BOXED:
            return value
        try:
            groups = re.compile(value).groups
        except re.error as error:
            raise ValueError(f"no regular expression: {error}") from None
        if groups != 1:
            raise ValueError(
                f"expected a regular expression with one group, such as '#### (.+)', got {groups} groups"
            )
        return value


class TaskConfig(Section):
    """A task: its questions, and how their answers are read."""

    source: str
    """`builtin:NAME`, a file (`.jsonl`, `.jsonl.gz`, `.csv`, `.parquet`), or `hf:DATASET[:CONFIG]`; DATASET is a name on the hub, one of the paper's (`gsm8k`, `svamp`, …) or a local folder (`./data`)."""

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

    split_by: Literal["question", "template"] = "question"
    """How data are dealt 70/30. template: questions that differ in names and numbers only stay in one split, and splits that rows carry are set aside."""

    revision: str | None = None
    """Of `hf:` data sets: the commit, branch or tag of the hub to read; unset: the newest."""

    splits: dict[str, Literal["train", "dev", "test"]] = Field(default_factory=dict)
    """Of `hf:` data sets: which of their splits are ours, such as `validation = "test"`; those not named are left out. Empty: by their names."""

    fields: FieldsConfig | None = None
    """Which columns hold what; unset: `question` and `answer`, or the mapping shipped for a known data set."""

    options: dict[str, int | float | str | bool] = Field(default_factory=dict)
    """Settings of a builtin task, such as `people_min`; an unknown one is refused with those there are."""
