"""`[tasks.NAME]`: where a task's questions come from."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Literal, Self

from pydantic import Field, field_validator, model_validator

from engine.config.base import NonNegative, Section, Seed
from engine.grading.formats import FORMATS

if TYPE_CHECKING:
    AnswerFormat = str
else:
    AnswerFormat = Literal[tuple(FORMATS)]  # the registry decides which names there are

BOXED = "boxed"
"""Used in place of a pattern: the content of the last `\\boxed{…}`."""


class FieldsConfig(Section):
    """`[tasks.NAME.fields]`: which columns of the data contain what, if they are not called question and answer."""

    question: str = "question"
    """A column, or several in a text such as `{Body} {Question}`. A dot selects within a nested column: `qa.question`, `answers.0`. In a column of chats (`messages`) the last user message is the question, and the assistant's the answer."""

    answer: str = "answer"
    """The column of the gold answer. With `choices`: a letter, a label, a position from 0 or the choice's text. Of an answer that ends with `#### 72`, as in GSM8K, 72 is the gold answer and what is before it the rationale."""

    answer_pattern: str | None = None
    """Regular expression with one group; its last match in the column is the answer, such as `answer: (.+)`. Or `boxed`: the last `\\boxed{…}`. A row that it does not match has no readable gold answer."""

    rationale: str | None = None
    """The column of a rationale written by a human."""

    rationale_pattern: str | None = None
    """Regular expression whose one group is the rationale."""

    choices: str | None = None
    """The column of the choices (a list, an object from letter to text, or label and text), or one column each: `{A} {B} {C} {D}`. They are appended to the question as `Answer choices: (A) …, (B) ….`"""

    id: str | None = None
    """The column of a question's name; unset: `id` if there is one, else the row number."""

    @field_validator("answer_pattern", "rationale_pattern")
    @classmethod
    def _one_group(cls, value: str | None) -> str | None:
        if value is None or value == BOXED:
            return value
        try:
            groups = re.compile(value).groups
        except re.error as error:
            raise ValueError(f"not a valid regular expression: {error}") from None
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
    """How an answer is read and compared; see the table of answer formats below."""

    labelled: bool = True
    """false: its questions have no gold answers (answers in the data are not read), and all of them are for training. Samples count as answered where an answer can be read from them; a student needs `labels = "majority"` in its curation."""

    train: NonNegative | None = None
    """Number of training questions (builtin tasks), or the maximum (files)."""

    dev: NonNegative | None = None
    """Number of dev questions; data without a dev split give a tenth of train for it, and `dev = 0` keeps them in train. They decide early stopping and the best epoch, never the result."""

    test: NonNegative | None = None
    """Number of test questions. Each run reads them once."""

    seed: Seed = 0
    """Seed of the questions (builtin tasks), or of the 70/30 split of a file whose rows have no split."""

    split_by: Literal["question", "template", "paper"] = "question"
    """How data are split. question: as the rows say, or 70/30. template: 70/30, where questions that differ only in names and numbers stay in one split. paper: train and test have exactly the questions that they have in the paper; other questions are left out and counted. Both ignore splits given in the rows."""

    paper_task: str | None = None
    """With `split_by = "paper"`: which of the paper's tasks it is, such as `svamp`. Unset: the data set that `hf:` names, or the task's own name."""

    revision: str | None = None
    """Only for `hf:` data sets: the commit, branch or tag to read from the hub; unset: the newest."""

    splits: dict[str, Literal["train", "dev", "test"]] = Field(default_factory=dict)
    """Only for `hf:` data sets: which of their splits become ours, such as `validation = "test"`; splits that are not named are left out. Empty: by their names."""

    fields: FieldsConfig | None = None
    """Which columns contain what; unset: `question` and `answer`, or the mapping shipped for a known data set."""

    options: dict[str, int | float | str | bool] = Field(default_factory=dict)
    """Settings of a builtin task, such as `people_min`. An unknown one is rejected with a list of the known ones."""

    @model_validator(mode="after")
    def _paper(self) -> Self:
        if not self.labelled:
            for name in ("dev", "test"):
                if getattr(self, name):
                    raise ValueError(
                        f"{name}: questions without gold answers measure nothing: leave it out, or give them answers"
                    )
            if self.split_by != "question":
                raise ValueError(
                    "split_by has no effect on a task without gold answers: all of its questions are for training"
                )
        if self.paper_task is not None and self.split_by != "paper":
            raise ValueError('paper_task needs split_by = "paper"')
        return self
