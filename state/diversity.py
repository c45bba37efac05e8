"""How different the rationales of a question are.

The measure is the mean distance of two of them: 1 minus the Jaccard similarity of their word bigrams, so 0 means that all are the
same and 1 that no two share two successive words. Unlike the share of distinct n-grams it depends neither on the number of
rationales nor on their lengths, so questions with D = 2 and D = 8 can be compared (`docs/decisions/0113-diversity.md`).
"""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations, pairwise

MOST = 24
"""Rationales of a question that are compared: 276 pairs. More are compared by the first ones."""

_WORD = re.compile(r"\w+")


@dataclass(frozen=True, slots=True)
class Diversity:
    """Of at least two rationales: their mean distance, and how many of them differ in more than case and white space."""

    distance: float
    distinct: int
    of: int


def diversity(texts: Sequence[str]) -> Diversity | None:
    """The diversity of some rationales; None with fewer than two."""
    if len(texts) < 2:
        return None
    grams = [_bigrams(text) for text in texts[:MOST]]
    distances = [_distance(one, two) for one, two in combinations(grams, 2)]
    wordings = {" ".join(text.casefold().split()) for text in texts}
    return Diversity(math.fsum(distances) / len(distances), len(wordings), len(texts))


def _bigrams(text: str) -> frozenset[tuple[str, ...]]:
    words = _WORD.findall(text.casefold())
    return frozenset(pairwise(words)) or frozenset((word,) for word in words)


def _distance(one: frozenset[tuple[str, ...]], two: frozenset[tuple[str, ...]]) -> float:
    common = len(one & two)
    union = len(one) + len(two) - common
    return 1 - common / union if union else 0.0
