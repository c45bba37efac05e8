"""The accuracy of answering at random (Ho et al., table 1, row "Random")."""

from __future__ import annotations

from collections.abc import Sequence

from engine.grading.formats import FORMATS


def chance(answer_format: str, questions: Sequence[tuple[str, str]]) -> float:
    """The expected accuracy over (question, gold) pairs, 0 to 1; 0 for a format this version does not know."""
    known = FORMATS.get(answer_format)
    return known.chance(questions) if known else 0.0
