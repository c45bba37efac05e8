"""The published regular expressions, to compare with published tables; not to train on.

Kojima et al. (2022) clean an answer so, and Ho et al. (2023) kept it: the first candidate of the format counts,
after the student's "-->" where there is one. Known faults are part of it: "A, B, C or D" answers A, "180 * 7 =
1260" answers 180, "yes!" is no yes. As in Ho et al., numbers compare within 1e-6, not as strings.
For dates and mathematical expressions nothing was published; they are compared as texts.
"""

from __future__ import annotations

import re

from engine.grading.options import options_of
from engine.grading.verdict import Verdict

PREFIX = "-->"
_NUMBER = re.compile(r"-?\d+(?:\.\d+)?")
_PUNCTUATION = re.compile(r"\"|'|\n|\.|\s|:|,")
_BLANK = re.compile(r"\"|'|\n|\.|\s")


def judge(completion: str, gold: str, answer_format: str, question: str | None) -> Verdict:
    """The published verdict."""
    text = completion.partition(PREFIX)[2] if PREFIX in completion else completion
    answer = _first(text, answer_format, question)
    if answer is None:
        return Verdict(correct=False, extracted=None, reason="no candidate was found", flags=("no-answer",))
    correct = _same(answer, gold, answer_format)
    reason = f"the first candidate {answer[:80]!r} {'is' if correct else 'is not'} the gold {gold[:80]!r}"
    return Verdict(correct=correct, extracted=answer, reason=reason)


def _first(text: str, answer_format: str, question: str | None) -> str | None:
    if answer_format == "number":
        match = _NUMBER.search(text.replace(",", ""))
        return match[0] if match else None
    if answer_format == "choice":
        letters = "".join(options_of(question)) if question else ""
        match = re.search(f"[{letters or 'ABCDE'}]", text)
        return match[0] if match else None
    if answer_format == "yes_no":
        return next(
            (word for word in _PUNCTUATION.sub(" ", text.lower()).split(" ") if word in ("yes", "no")), None
        )
    return _BLANK.sub("", text)


def _same(answer: str, gold: str, answer_format: str) -> bool:
    if answer_format == "number":
        try:
            return abs(float(answer) - float(gold.replace(",", ""))) <= 1e-6
        except (ValueError, OverflowError):
            return False
    if answer_format == "yes_no":
        return answer == gold.lower()
    return answer == (_BLANK.sub("", gold) if answer_format in ("text", "date", "math") else gold)
