"""Self-consistency: the most frequent answer among several answers to a question.

Source: Wang et al. (2022). It needs no gold answer. Answers are compared as the careful grader extracted them, in the
common form of their format. A completion without an answer does not vote. In a tie the answer given first (lowest
replicate) wins.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from engine.grading.format import casefolded
from engine.grading.formats import FORMATS


@dataclass(frozen=True, slots=True)
class Vote:
    """The winning answer as it was first given, its votes out of `of`, and its place `first` in the group."""

    answer: str
    votes: int
    of: int
    first: int


def majority(answers: Sequence[str | None], answer_format: str) -> Vote | None:
    """The most frequent answer of a group; None if nobody answered.

    Args:
        answers: the extracted answer of each completion, in order of replicate; None where there is none.
        answer_format: the task's.
    """
    groups: dict[str, list[int]] = {}
    for place, answer in enumerate(answers):
        if answer is not None and answer.strip():
            groups.setdefault(common_form(answer, answer_format), []).append(place)
    if not groups:
        return None
    most = max(groups.values(), key=lambda places: (len(places), -places[0]))
    answer = answers[most[0]] or ""
    return Vote(answer, len(most), sum(map(len, groups.values())), most[0])


def common_form(answer: str, answer_format: str) -> str:
    """Equal for answers that are the same: 5, 5.0 and 5,000/1,000; Yes and yes.

    Answers of a format that this version does not know are compared without case and white space.
    """
    known = FORMATS.get(answer_format)
    return known.common_form(answer) if known else casefolded(answer)
