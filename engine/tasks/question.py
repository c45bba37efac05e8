"""A question and its gold answer: what every task is made of."""

from __future__ import annotations

import hashlib
import unicodedata
from dataclasses import dataclass
from typing import Literal

Split = Literal["train", "dev", "test"]
SPLITS: tuple[Split, ...] = ("train", "dev", "test")


@dataclass(frozen=True, kw_only=True, slots=True)
class Question:
    """One question of a task.

    `key` is its name within the task (a file's `id`); `rationale` is a human's, where the data has one.
    """

    key: str
    text: str
    answer: str
    split: Split
    rationale: str | None = None

    @property
    def text_hash(self) -> str:
        """Identity of the wording: equal for texts that differ in white space or case only."""
        return text_hash(self.text)


def text_hash(text: str) -> str:
    """A short digest of a normalised text (NFKC, case folded, white space squeezed)."""
    normal = " ".join(unicodedata.normalize("NFKC", text).casefold().split())
    return hashlib.blake2b(normal.encode("utf-8", "surrogatepass"), digest_size=12).hexdigest()
