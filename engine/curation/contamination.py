"""What a person should know of overlap between splits before anything is paid for: counts, said in sentences.

Within a task a question that stands in two splits is kept once (`engine.tasks.split_assignment`, which says so), so what is left to
find are near-duplicates by word 8-grams. Across tasks, texts are compared word by word, whatever stands between the words:
they matter to a student of several tasks. Nothing is dropped here; curation drops by the same rule when a student is trained.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence

from engine.curation.overlap import WORDS, overlapping
from engine.question import Question

MOST_COMPARED = 100_000
"""Questions of a task beyond which 8-grams are not compared: they would take minutes and gigabytes."""


def contamination(questions: Sequence[Question]) -> list[str]:
    """What overlaps between the splits of one task."""
    if len(questions) > MOST_COMPARED:
        return [f"more than {MOST_COMPARED:,} questions: not looked through for near-duplicates"]
    texts: dict[str, dict[int, str]] = {"train": {}, "dev": {}, "test": {}}
    for index, question in enumerate(questions):
        texts[question.split][index] = question.text
    said = []
    for of, against in (("train", "test"), ("dev", "test"), ("train", "dev")):
        near = overlapping(texts[of], texts[against]) if texts[of] and texts[against] else frozenset()
        if near:
            share = f"{100 * len(near) / len(texts[of]):.1f} %"
            said.append(
                f"{len(near)} {of} questions ({share}) share most of their word 8-grams with one of {against}"
            )
    return said


def between_tasks(tasks: Mapping[str, Sequence[Question]]) -> dict[str, list[str]]:
    """Which tasks' test questions stand in other tasks' train or dev split, by the task that they test."""
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
            f"{count} of its test questions stand in {split} of {other}"
            for (other, split), count in sorted(counts.items())
            if count
        ]
        if said:
            found[name] = said
    return found


def _words(text: str) -> str:
    return " ".join(WORDS.findall(text.casefold()))
