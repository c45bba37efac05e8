"""Answer formats: extract, compare, verdict. Graders are pure and versioned.

A verdict depends on nothing but the completion, the gold answer, the format and the question. A change that can
alter one raises the grader's version: stored verdicts name the version that made them. `math` is the one format
that asks another process, and waits for it: an event loop calls it in a thread.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

from engine.errors import ConfigError
from engine.grading import choice, date, formula, number, paper, text, yes_no
from engine.grading.verdict import Verdict

GraderName = Literal["careful", "paper"]
GRADER_VERSIONS: dict[str, str] = {"careful": "careful:2", "paper": "paper:1"}

_CAREFUL: dict[str, Callable[[str, str, str | None], Verdict]] = {
    "number": number.judge,
    "choice": choice.judge,
    "yes_no": yes_no.judge,
    "text": text.judge,
    "date": date.judge,
    "math": formula.judge,
}
FORMATS: tuple[str, ...] = tuple(_CAREFUL)
"""The answer formats that can be graded."""

__all__ = ["FORMATS", "GRADER_VERSIONS", "GraderName", "Verdict", "check_format", "check_grader", "grade"]


def check_format(answer_format: str) -> None:
    """Refuses a format that cannot be graded.

    Raises:
        ConfigError: with the formats that can.
    """
    if answer_format not in FORMATS:
        raise ConfigError(
            f"the answer format {answer_format!r} is not available in this version; use one of: {', '.join(FORMATS)}"
        )


def check_grader(grader: str) -> None:
    """Refuses an unknown grader.

    Raises:
        ConfigError: with those there are.
    """
    if grader not in GRADER_VERSIONS:
        raise ConfigError(f"there is no grader {grader!r}; use one of: {', '.join(GRADER_VERSIONS)}")


def grade(
    completion: str, gold: str, answer_format: str, *, question: str | None = None, grader: str = "careful"
) -> Verdict:
    """Judges one completion.

    Args:
        completion: the answer, or the whole text of a model.
        gold: the right answer.
        answer_format: one of `FORMATS`.
        question: its text; it helps to tell options and given numbers.
        grader: `careful` or `paper`.

    Raises:
        ConfigError: the format or grader is not available.
        JobFailed: `math` needs a process, and none can be started.
    """
    check_format(answer_format)
    check_grader(grader)
    if grader == "paper":
        return paper.judge(completion, gold, answer_format, question)
    return _CAREFUL[answer_format](completion, gold, question)
