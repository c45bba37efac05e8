"""The accuracy of answering at random, where the format has something to choose from.

Ho et al., table 1, row "Random": a choice is one of the question's options, yes or no is one of two; a
free answer (number, text, date) is never hit.
"""

from __future__ import annotations

from collections.abc import Sequence

from engine.grading.options import options_of


def chance(answer_format: str, questions: Sequence[tuple[str, str]]) -> float:
    """The expected accuracy over (question, gold) pairs, 0 to 1."""
    if answer_format == "yes_no":
        return 0.5
    if answer_format == "choice" and questions:
        counts = [len(options_of(question)) for question, _ in questions]
        return sum(1 / count for count in counts if count) / len(questions)
    return 0.0
