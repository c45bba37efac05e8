"""The published regular expressions. They serve to compare with published tables, not to choose training data.

Source: Kojima et al. (2022), kept by Ho et al. (2023): the first candidate of the format counts, after the student's
"-->" if there is one. The known faults are kept: "A, B, C or D" answers A, "180 * 7 = 1260" answers 180, "yes!" is
not yes. As in Ho et al., numbers compare within 1e-6, not as strings. Each format brings its own `PaperRules`; where
nothing was published, answers are compared as texts.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass

from engine.grading.verdict import Verdict, unanswered

PREFIX = "-->"
_BLANK = re.compile(r"\"|'|\n|\.|\s")


@dataclass(frozen=True, kw_only=True, slots=True)
class PaperRules:
    """How the papers read and compare answers of one format."""

    candidate: Callable[[str, str | None], str | None]
    """The first candidate in a text (with its question); None if there is none."""

    same: Callable[[str, str], bool]
    """Whether a candidate is the gold answer."""


def _squeezed(text: str, question: str | None = None) -> str:
    return _BLANK.sub("", text)


TEXT_RULES = PaperRules(candidate=_squeezed, same=lambda answer, gold: answer == _squeezed(gold))
"""Compares the whole text without quotes, dots and white space."""


def judge(completion: str, gold: str, rules: PaperRules, question: str | None) -> Verdict:
    """The published verdict."""
    text = completion.partition(PREFIX)[2] if PREFIX in completion else completion
    answer = rules.candidate(text, question)
    if answer is None:
        return unanswered("no candidate was found", "no-answer")
    correct = rules.same(answer, gold)
    reason = f"the first candidate {answer[:80]!r} {'is' if correct else 'is not'} the gold {gold[:80]!r}"
    return Verdict(correct=correct, extracted=answer, reason=reason)
