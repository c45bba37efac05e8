"""Overlap between splits and between tasks: finds training questions that are also in a test split, exactly or nearly.

Within a task, a question in two splits is kept once (`engine.tasks.splits`), so only near-duplicates by word 8-grams are
left to find. Most questions of a task contain the words of its template, so 8-grams that occur in more than one in twenty
training questions say nothing and are ignored. A training question that shares four fifths of the others with one test
question is a near-duplicate. Short questions are compared exactly only. Across tasks, texts are compared word by word,
without punctuation; that matters to a student of several tasks.

The counts are reported before anything is paid for. Nothing is dropped here; curation drops by the same rule when a
student is trained.
"""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence

from engine.question import Question, text_hash

WORDS = re.compile(r"\w+")
GRAM = 8
SHARED = 0.8
COMMON = 0.05
MOST_COMPARED = 100_000
"""Questions of a task beyond which 8-grams are not compared: that would take minutes and gigabytes."""


def contamination(questions: Sequence[Question]) -> list[str]:
    """The overlap between the splits of one task, in sentences."""
    if len(questions) > MOST_COMPARED:
        return [f"more than {MOST_COMPARED:,} questions: near-duplicates were not searched"]
    texts: dict[str, dict[int, str]] = {"train": {}, "dev": {}, "test": {}}
    for index, question in enumerate(questions):
        texts[question.split][index] = question.text
    said = []
    for of, against in (("train", "test"), ("dev", "test"), ("train", "dev")):
        near = overlapping(texts[of], texts[against]) if texts[of] and texts[against] else frozenset()
        if near:
            share = f"{100 * len(near) / len(texts[of]):.1f} %"
            said.append(
                f"{len(near):,} {of} questions ({share}) share most of their word 8-grams with a {against} question"
            )
    return said


def between_tasks(tasks: Mapping[str, Sequence[Question]]) -> dict[str, list[str]]:
    """Overlap of tasks' test questions with the train or dev split of other tasks, in sentences by tested task."""
    if len(tasks) < 2 or sum(map(len, tasks.values())) > MOST_COMPARED:
        return {}
    holders: dict[str, set[tuple[str, str]]] = defaultdict(set)
    for name, questions in tasks.items():
        for question in questions:
            if question.split != "test":
                holders[_words(question.text)].add((name, question.split))
    found: dict[str, list[str]] = {}
    for name, questions in tasks.items():
        counts: dict[tuple[str, str], int] = defaultdict(int)
        for question in questions:
            if question.split == "test":
                for holder in holders.get(_words(question.text), ()):
                    counts[holder] += holder[0] != name
        said = [
            f"{count:,} of its test questions are also in {split} of {other}"
            for (other, split), count in sorted(counts.items())
            if count
        ]
        if said:
            found[name] = said
    return found


def _words(text: str) -> str:
    return " ".join(WORDS.findall(text.casefold()))


def overlapping(train: Mapping[int, str], test: Mapping[int, str]) -> frozenset[int]:
    """Ids of the training questions that are also among the test questions."""
    test_hashes = {text_hash(text) for text in test.values()}
    exact = {key for key, text in train.items() if text_hash(text) in test_hashes}
    grams = {key: _grams(text) for key, text in train.items()}
    frequency = Counter(gram for own in grams.values() for gram in own)
    limit = max(2, COMMON * len(train))
    distinctive = {key: {gram for gram in own if frequency[gram] <= limit} for key, own in grams.items()}
    by_gram: dict[str, list[int]] = defaultdict(list)
    for key, own in distinctive.items():
        for gram in own:
            by_gram[gram].append(key)
    near = set()
    for text in test.values():
        shared = Counter(key for gram in _grams(text) for key in by_gram.get(gram, ()))
        near |= {key for key, count in shared.items() if count >= SHARED * len(distinctive[key])}
    return frozenset(exact | near)


def _grams(text: str) -> set[str]:
    words = WORDS.findall(text.casefold())
    return {" ".join(words[start : start + GRAM]) for start in range(len(words) - GRAM + 1)}
