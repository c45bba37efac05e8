"""The published regular expressions. They serve to compare with published tables, not to choose training data.

Source: Kojima et al. (2022), kept by Ho et al. (2023): the first candidate of the format counts, after the student's
"-->" if there is one. The evaluator of Ho et al. (`Evaluator.cleanse_prediction` of their public code) takes the last candidate of
a student's text that should have the arrow and has none (`judge_unmarked`). The known faults are kept: "A, B, C or D" answers A, "180 * 7 = 1260" answers 180, "yes!" is
not yes. As in Ho et al., numbers compare within 1e-6, not as strings. Each format brings its own `PaperRules`; where
nothing was published, answers are compared as texts.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from engine.grading.verdict import Verdict, unanswered

PREFIX = "-->"
_BLANK = re.compile(r"\"|'|\n|\.|\s")


@dataclass(frozen=True, kw_only=True, slots=True)
class PaperRules:
    """How the papers read and compare answers of one format."""

    candidates: Callable[[str, str | None], Sequence[str]]
    """The candidates in a text (with its question), in order."""

    same: Callable[[str, str], bool]
    """Whether a candidate is the gold answer."""


def _squeezed(text: str) -> str:
    return _BLANK.sub("", text)


TEXT_RULES = PaperRules(
    candidates=lambda text, question: [_squeezed(text)], same=lambda answer, gold: answer == _squeezed(gold)
)
"""Compares the whole text without quotes, dots and white space."""


def judge(completion: str, gold: str, rules: PaperRules, question: str | None) -> Verdict:
    """The published verdict."""
    text = completion.partition(PREFIX)[2] if PREFIX in completion else completion
    found = rules.candidates(text, question)
    return _verdict(found[0] if found else None, "first", gold, rules)


def judge_unmarked(text: str, gold: str, rules: PaperRules, question: str | None) -> Verdict:
    """The published verdict on a text that should contain the arrow, and does not: its last candidate counts."""
    found = rules.candidates(text, question)
    return _verdict(found[-1] if found else None, "last", gold, rules)


def _verdict(answer: str | None, place: str, gold: str, rules: PaperRules) -> Verdict:
    if answer is None:
        return unanswered("no candidate was found", "no-answer")
    correct = rules.same(answer, gold)
    reason = f"the {place} candidate {answer[:80]!r} {'is' if correct else 'is not'} the gold {gold[:80]!r}"
    return Verdict(correct=correct, extracted=answer, reason=reason)
