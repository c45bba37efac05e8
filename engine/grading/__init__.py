"""Answer formats: extract, compare, verdict. Graders are pure and versioned.

A verdict depends only on the completion, the gold answer, the format and the question. A change that can alter a
verdict raises the grader's version: stored verdicts name the version that made them. A format whose `in_worker` is set
may wait for another process: an event loop calls it in a thread.
"""

from __future__ import annotations

from typing import Literal

from engine.errors import ConfigError
from engine.grading import paper
from engine.grading.formats import FORMATS
from engine.grading.verdict import Verdict

GraderName = Literal["careful", "paper", "published"]
GRADER_VERSIONS: dict[str, str] = {"careful": "careful:3", "paper": "paper:1", "published": "published:1"}
"""`published` is `paper`, and also reads students' texts without the mark of an answer (`grade_unmarked`)."""

UNLABELLED = "unlabelled:1"
"""The grader of samples without a gold answer: its verdict is whether an answer can be read."""

__all__ = [
    "FORMATS",
    "GRADER_VERSIONS",
    "UNLABELLED",
    "GraderName",
    "Verdict",
    "check_format",
    "check_grader",
    "grade",
    "grade_unlabelled",
    "grade_unmarked",
    "in_worker",
]


def check_format(answer_format: str) -> None:
    """Refuses an unknown answer format.

    Raises:
        ConfigError: names the known ones.
    """
    if answer_format not in FORMATS:
        raise ConfigError(f"unknown answer format {answer_format!r}; use one of: {', '.join(FORMATS)}")


def check_grader(grader: str) -> None:
    """Refuses an unknown grader.

    Raises:
        ConfigError: names the known ones.
    """
    if grader not in GRADER_VERSIONS:
        raise ConfigError(f"unknown grader {grader!r}; use one of: {', '.join(GRADER_VERSIONS)}")


def in_worker(answer_format: str) -> bool:
    """Whether grading this format may wait for another process."""
    known = FORMATS.get(answer_format)
    return known is not None and known.in_worker


def grade(
    completion: str, gold: str, answer_format: str, *, question: str | None = None, grader: str = "careful"
) -> Verdict:
    """Judges one completion.

    Args:
        completion: the answer, or a model's whole text.
        gold: the gold answer.
        answer_format: one of `FORMATS`.
        question: its text; it helps to recognise options and given numbers.
        grader: a name in `GRADER_VERSIONS`.

    Raises:
        ConfigError: the format or grader is unknown.
        JobFailed: the format needs another process, and it cannot be started.
    """
    check_format(answer_format)
    check_grader(grader)
    form = FORMATS[answer_format]
    if grader == "careful":
        return form.judge(completion, gold, question)
    return paper.judge(completion, gold, form.paper, question)


def grade_unlabelled(completion: str, answer_format: str, *, question: str | None = None) -> Verdict:
    """Whether an answer can be read from a completion; nothing is said of whether it is right.

    Raises:
        ConfigError: the format is unknown.
    """
    check_format(answer_format)
    found = FORMATS[answer_format].extract(completion, question)
    if found is None:
        return Verdict(correct=False, extracted=None, reason="no answer was found", flags=("no-answer",))
    return Verdict(correct=True, extracted=found, reason="an answer was found; there is no gold answer")


def grade_unmarked(
    text: str, gold: str, answer_format: str, *, question: str | None = None, grader: str = "careful"
) -> Verdict | None:
    """Judges a student's text in which the mark of the answer is missing; None: for this grader it has no answer.

    Raises:
        ConfigError: the format or grader is unknown.
    """
    check_format(answer_format)
    check_grader(grader)
    if grader != "published":
        return None
    return paper.judge_unmarked(text, gold, FORMATS[answer_format].paper, question)
