"""The phrases of the six answer formats of the first release, frozen: plan fingerprints are hashed from them.

In that release a strategy's identity held the phrases of all formats. A plan's fingerprint must not change because a
format is added, so for these six it is still made from this text, as long as the plan's own phrase is the one below.
A format that came later, or a phrase that was changed, contributes only itself. Never edit this table.
"""

from __future__ import annotations

from collections.abc import Callable

from engine.grading.format import Phrases
from engine.grading.formats import Format

FIRST_FORMATS: dict[str, Phrases] = {
    "number": Phrases(
        direct="The answer (arabic numerals) is",
        after_rationale="Therefore, the answer (arabic numerals) is",
        described="a number in digits",
    ),
    "choice": Phrases(
        direct="Among A through {last}, the answer is",
        after_rationale="Therefore, among A through {last}, the answer is",
        described="the letter of one choice",
    ),
    "yes_no": Phrases(
        direct="The answer (Yes or No) is",
        after_rationale="Therefore, the answer (Yes or No) is",
        described="yes or no",
    ),
    "text": Phrases(
        direct="The answer is", after_rationale="Therefore, the answer is", described="the answer"
    ),
    "date": Phrases(
        direct="The answer (MM/DD/YYYY) is",
        after_rationale="Therefore, the answer (MM/DD/YYYY) is",
        described="a date as MM/DD/YYYY",
    ),
    "math": Phrases(
        direct="The answer is", after_rationale="Therefore, the answer is", described="the answer"
    ),
}


def identity_of_phrase(answer_format: Format, pick: Callable[[Phrases], str]) -> list[str]:
    """The lines that a format contributes to a strategy's identity; `pick` takes the phrase that the strategy uses."""
    used = [pick(answer_format.phrases)]
    if answer_format.phrases_without_options is not None:
        used.append(pick(answer_format.phrases_without_options))
    first = {name: pick(phrases) for name, phrases in FIRST_FORMATS.items()}
    if used[0] == first.get(answer_format.name) and set(used) <= set(first.values()):
        return [f"{name}: {phrase}" for name, phrase in first.items()]
    return [f"{answer_format.name}: {phrase}" for phrase in used]
