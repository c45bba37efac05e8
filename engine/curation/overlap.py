"""Which training questions also stand in a test split: exactly, or nearly, by their word 8-grams.

A template's own words are in most questions of a task, so 8-grams that stand in more than one in
twenty training questions say nothing and are left out; of the rest, a training question that shares
four fifths with one test question is a near-duplicate. Short questions are compared exactly only.
"""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Mapping

from engine.question import text_hash

WORDS = re.compile(r"\w+")
GRAM = 8
SHARED = 0.8
COMMON = 0.05


def overlapping(train: Mapping[int, str], test: Mapping[int, str]) -> frozenset[int]:
    """Ids of the training questions that also stand among the test questions."""
    test_hashes = {text_hash(text) for text in test.values()}
    exact = {key for key, text in train.items() if text_hash(text) in test_hashes}
    grams = {key: _grams(text) for key, text in train.items()}
    frequency = Counter(gram for of_one in grams.values() for gram in of_one)
    limit = max(2, COMMON * len(train))
    telling = {key: {gram for gram in of_one if frequency[gram] <= limit} for key, of_one in grams.items()}
    by_gram: dict[str, list[int]] = defaultdict(list)
    for key, of_one in telling.items():
        for gram in of_one:
            by_gram[gram].append(key)
    near = set()
    for text in test.values():
        shared = Counter(key for gram in _grams(text) for key in by_gram.get(gram, ()))
        near |= {key for key, count in shared.items() if count >= SHARED * len(telling[key])}
    return frozenset(exact | near)


def _grams(text: str) -> set[str]:
    words = WORDS.findall(text.casefold())
    return {" ".join(words[start : start + GRAM]) for start in range(len(words) - GRAM + 1)}
