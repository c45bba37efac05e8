"""Overlap between splits and between tasks: training questions that are a dev or test question too, or nearly.

A training question that *is* a held-out one (`engine.curation.identity`) is left out when a student is trained. One that
is only *alike* is reported, and left out where the student asks for it. Questions are alike if one has four fifths of the
other's distinctive word 8-grams. 8-grams of more than one in twenty training questions belong to the task's template and do
not count; on a task that is little more than a template, alike questions are still different questions.

Within a task, equal texts of two splits are removed when it is read (`engine.tasks.split_assignment`). Across tasks, overlap
matters to a student of several tasks. The counts are reported before anything is paid for.
"""

from __future__ import annotations

import math
import re
from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence

from engine.curation.identity import identity
from engine.question import Question, Split, text_hash

WORDS = re.compile(r"\w+")
GRAM = 8
SHARED = 0.8
COMMON = 0.05
MOST_COMPARED = 100_000
"""Questions of a task beyond which 8-grams are not compared: that would take a gigabyte."""
_PAIRS: tuple[tuple[Split, Split], ...] = (("train", "test"), ("dev", "test"), ("train", "dev"))


def overlaps(tasks: Mapping[str, Sequence[Question]], names: Collection[str]) -> dict[str, list[str]]:
    """The overlap of some tasks' questions, within each of them and with the others, in sentences by task.

    Args:
        tasks: the questions of all tasks, by name.
        names: the tasks to report on.
    """
    if not names:
        return {}
    identities = {name: [identity(each.text) for each in questions] for name, questions in tasks.items()}
    across = _between_tasks(tasks, identities)
    return {
        name: [*_within(questions, identities[name]), *across.get(name, ())]
        for name, questions in tasks.items()
        if name in names
    }


def _within(questions: Sequence[Question], identities: Sequence[str]) -> list[str]:
    splits: dict[Split, dict[int, str]] = {"train": {}, "dev": {}, "test": {}}
    texts: dict[Split, dict[int, str]] = {"train": {}, "dev": {}, "test": {}}
    for index, (question, form) in enumerate(zip(questions, identities, strict=True)):
        splits[question.split][index] = form
        texts[question.split][index] = question.text
    compared = len(questions) <= MOST_COMPARED
    grams = {split: _Grams(own) for split, own in texts.items()} if compared else {}
    said = [] if compared else [f"more than {MOST_COMPARED:,} questions: near-duplicates were not searched"]
    for of, against in _PAIRS:
        if not texts[of] or not texts[against]:
            continue
        held_out = set(splits[against].values())
        same = {key for key, form in splits[of].items() if form in held_out}
        total = len(texts[of])
        left_out = "; students do not read them" if of == "train" else ""
        if same:
            said.append(
                f"{_share(same, of, total)} {'is' if len(same) == 1 else 'are'} also in {against}, in the same or another spelling or order{left_out}"
            )
        near = grams[of].near(grams[against]) - same if compared else frozenset()
        if near:
            kept = "; students read them unless drop_test_alike = true" if of == "train" else ""
            said.append(
                f"{_share(near, of, total)} {'shares most of its' if len(near) == 1 else 'share most of their'} word 8-grams with a {against} question{kept}"
            )
    return said


def _share(found: Collection[int], split: Split, total: int) -> str:
    noun = "question" if len(found) == 1 else "questions"
    return f"{len(found):,} {split} {noun} ({100 * len(found) / total:.1f} %)"


def _between_tasks(
    tasks: Mapping[str, Sequence[Question]], identities: Mapping[str, Sequence[str]]
) -> dict[str, list[str]]:
    """Test questions that are also in the train or dev split of other tasks, by tested task."""
    holders: dict[str, set[tuple[str, str]]] = defaultdict(set)
    for name, questions in tasks.items():
        for question, form in zip(questions, identities[name], strict=True):
            if question.split != "test":
                holders[form].add((name, question.split))
    found: dict[str, list[str]] = {}
    for name, questions in tasks.items():
        counts: dict[tuple[str, str], int] = defaultdict(int)
        for question, form in zip(questions, identities[name], strict=True):
            if question.split == "test":
                for holder in holders.get(form, ()):
                    counts[holder] += holder[0] != name
        said = [
            f"{count:,} of its test questions {'is' if count == 1 else 'are'} also in {split} of {other}"
            for (other, split), count in sorted(counts.items())
            if count
        ]
        if said:
            found[name] = said
    return found


def same_questions(train: Mapping[int, str], held_out: Iterable[str]) -> frozenset[int]:
    """Ids of the training questions that are also among the held-out questions, however they are written."""
    forms = {identity(text) for text in held_out}
    return frozenset(key for key, text in train.items() if identity(text) in forms)


def alike(train: Mapping[int, str], test: Mapping[int, str]) -> frozenset[int]:
    """Ids of the training questions that share most of their 8-grams, or their whole text, with a held-out question."""
    hashes = {text_hash(text) for text in test.values()}
    exact = {key for key, text in train.items() if text_hash(text) in hashes}
    return _Grams(train).near(_Grams(test)) | exact


class _Grams:
    """The word 8-grams of some questions, as hashes."""

    def __init__(self, texts: Mapping[int, str]) -> None:
        self.of = {key: _grams(text) for key, text in texts.items()}
        self.all = frozenset().union(*self.of.values())

    def near(self, other: _Grams) -> frozenset[int]:
        """Ids of these questions that have most of their distinctive 8-grams in common with one of the others."""
        touching = [key for key, own in self.of.items() if not other.all.isdisjoint(own)]
        seen = frozenset().union(*(self.of[key] for key in touching))
        frequency: Counter[int] = Counter()
        for own in self.of.values():
            if not seen.isdisjoint(own):
                frequency.update(seen.intersection(own))
        limit = max(2, COMMON * len(self.of))
        distinctive = frozenset(gram for gram in seen if frequency[gram] <= limit)
        holders: dict[int, list[int]] = defaultdict(list)
        sets = {key: distinctive.intersection(own) for key, own in other.of.items()}
        for key, held in sets.items():
            for gram in held:
                holders[gram].append(key)
        return frozenset(
            key for key in touching if _has_near(distinctive.intersection(self.of[key]), sets, holders)
        )


def _has_near(
    own: frozenset[int], sets: Mapping[int, frozenset[int]], holders: Mapping[int, Sequence[int]]
) -> bool:
    """Whether one of the sets has most of these 8-grams.

    Such a set lacks few of them, so it has one of the rarest few: only the sets that have one of those are compared.
    """
    least = math.ceil(SHARED * len(own))
    shared = [gram for gram in own if gram in holders]
    if not own or len(shared) < least:
        return False
    shared.sort(key=lambda gram: len(holders[gram]))
    tried: set[int] = set()
    for gram in shared[: len(shared) - least + 1]:
        for key in holders[gram]:
            if key not in tried:
                tried.add(key)
                if len(own & sets[key]) >= least:
                    return True
    return False


def _grams(text: str) -> list[int]:
    words = WORDS.findall(text.casefold())
    return list(map(hash, zip(*(words[start:] for start in range(GRAM)), strict=False)))
