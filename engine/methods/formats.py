"""The formats that a question can be put in (Fu et al. 2023): with or without a rationale, alone or after worked examples.

    cot            the question; a rationale and the answer are learned
    answer         the question and `(Answer only.)`; the answer alone is learned
    shots-cot      `Q: …` and `A: …` of other training questions, then the question; a rationale and the answer are learned
    shots-answer   the same with answers alone

The question of a row is what the student is asked, so forms and trainers need not know of formats.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from engine.seeded_order import drawn

ANSWER_ONLY = "(Answer only.)"
"""Follows the question in rows that ask for the answer alone, when they are mixed with rows that have rationales."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Example:
    """A worked example: a training question, with what the student learns to write for it."""

    question_id: int
    question: str
    reasoned: str
    """Rationale and answer."""
    answer: str


@dataclass(frozen=True, kw_only=True, slots=True)
class RowFormat:
    """A format."""

    name: str
    reasons: bool
    """Whether the student writes a rationale."""
    shown: bool
    """Whether worked examples come before the question."""

    def put(self, question: str, examples: Sequence[Example]) -> str:
        """What the student is asked."""
        if not self.shown:
            return question if self.reasons else f"{question.rstrip()} {ANSWER_ONLY}"
        worked = "".join(
            f"Q: {each.question.strip()}\nA: {each.reasoned if self.reasons else each.answer}\n\n"
            for each in examples
        )
        return f"{worked}Q: {question.strip()}"


PLAIN = RowFormat(name="cot", reasons=True, shown=False)
"""In which a student is evaluated first, and by which its weights are chosen."""
ALONE = RowFormat(name="answer", reasons=False, shown=False)
FORMATS = {
    each.name: each
    for each in (
        PLAIN,
        ALONE,
        RowFormat(name="shots-cot", reasons=True, shown=True),
        RowFormat(name="shots-answer", reasons=False, shown=True),
    )
}

if TYPE_CHECKING:
    FormatName = str
else:
    FormatName = Literal[tuple(FORMATS)]
    """The name of a format, as a type that pydantic checks."""


def examples_for(
    examples: Sequence[Example], question_id: int, *, count: int, seed: int, key: str
) -> list[Example]:
    """Other questions than this one, drawn by seed and key; fewer than `count` where there are no more."""
    places = drawn(f"{key}|{question_id}", count + 1, len(examples), seed)
    return [examples[place] for place in places if examples[place].question_id != question_id][:count]
