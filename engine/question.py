"""The records of a question: a draft as it was read or generated, the question in its split, a worked example.

They are outside `engine.tasks`, so that strategies can use them without importing every task.
"""

from __future__ import annotations

import hashlib
import unicodedata
from dataclasses import dataclass
from typing import Literal

Split = Literal["train", "dev", "test"]
SPLITS: tuple[Split, ...] = ("train", "dev", "test")

SPLIT_NAMES: dict[str, Split] = {
    "train": "train",
    "dev": "dev",
    "validation": "dev",
    "valid": "dev",
    "val": "dev",
    "test": "test",
}
"""What data call their splits, in lower case."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Written:
    """What a teacher wrote for a question: a sample that another one scores."""

    rationale: str
    answer: str
    finish_reason: str = "stop"
    flags: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True, slots=True)
class Question:
    """One question of a task, with its gold answer.

    `key` names it within the task (the `id` of a row); `rationale` was written by a human, if the data has one.
    `unreadable` says why its gold answer cannot be read: such a question is stored, and never used. `written` is what is
    scored, where a teacher scores.
    """

    key: str
    text: str
    answer: str
    split: Split
    rationale: str | None = None
    unreadable: str = ""
    written: Written | None = None

    @property
    def text_hash(self) -> str:
        """Identity of the wording: equal for texts that differ in white space or case only."""
        return text_hash(self.text)


@dataclass(kw_only=True, slots=True)
class Draft:
    """A question before it is dealt to a split.

    `split` is the split that its row names, if any; `place` is its file and line, for error messages; `unreadable` says
    why no gold answer was found in its row.
    """

    text: str
    answer: str
    key: str = ""
    rationale: str | None = None
    split: Split | None = None
    place: str = ""
    unreadable: str = ""

    def question(self, split: Split) -> Question:
        """The question in its split."""
        return Question(
            key=self.key,
            text=self.text,
            answer=self.answer,
            split=split,
            rationale=self.rationale,
            unreadable=self.unreadable,
        )


@dataclass(frozen=True, kw_only=True, slots=True)
class Exemplar:
    """A worked example of few-shot-cot. Plans store these three fields, so their names are part of a fingerprint."""

    question: str
    rationale: str
    answer: str


def text_hash(text: str) -> str:
    """A short digest of a normalised text (NFKC, case folded, white space squeezed)."""
    normal = " ".join(unicodedata.normalize("NFKC", text).casefold().split())
    return hashlib.blake2b(normal.encode("utf-8", "surrogatepass"), digest_size=12).hexdigest()
